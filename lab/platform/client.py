"""The one way in which the platform's controllers reach an API server, in-process or over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lab.objects import Object
from lab.resources import Resource


@dataclass(frozen=True)
class WatchEvent:
    """One line of a watch. Objects are shared: read them, never change them."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


class Client(Protocol):
    """The Kubernetes API as controllers need it. Every method raises `lab.errors.ApiError` for a refused request."""

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object:
        """Return one object."""

    async def list(
        self, resource: Resource, *, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[Object], str]:
        """Return the objects and the resourceVersion of the list; an empty namespace means all of them."""

    def watch(self, resource: Resource, resource_version: str) -> AsyncIterator[WatchEvent]:
        """Yield what changes in all namespaces after the resourceVersion; ends when the server closes it."""

    async def create(self, resource: Resource, body: Object, *, namespace: str = "") -> Object:
        """Create an object; the namespace is the body's unless given."""

    async def update(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Replace an object, or its status with `subresource="status"`; 409 on a stale resourceVersion."""

    async def patch(
        self, resource: Resource, name: str, patch: dict[str, Any], *, namespace: str = "", subresource: str = ""
    ) -> Object:
        """Apply an RFC 7386 merge patch. Optimistic locking by a `metadata.resourceVersion` in it."""

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> None:
        """Delete an object; with `uid` only the one that has it (409 otherwise)."""

    async def evict(self, name: str, *, namespace: str) -> None:
        """Evict a pod; 429 while a PodDisruptionBudget forbids it."""
