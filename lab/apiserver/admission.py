"""Who asks, and the hooks that may refuse or change a write before it is stored. Refuses to hold any rule itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lab.errors import ApiError
from lab.objects import Object
from lab.resources import Resource

Operation = Literal["CREATE", "UPDATE", "DELETE"]


@dataclass(frozen=True)
class User:
    """Somebody who has been authenticated."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Caller:
    """A user and whether the request is only a rehearsal."""

    user: User
    dry_run: bool = False
    manager: str = "lab"
    """The field manager who owns what is changed."""


LAB = Caller(User("system:lab", ("system:masters", "system:authenticated")))
"""The lab's own controllers."""


@dataclass
class AdmissionRequest:
    """A write that is about to happen. `new` is a draft that hooks may change; None for a deletion."""

    operation: Operation
    resource: Resource
    subresource: str
    old: Object | None
    new: Object | None
    user: User
    dry_run: bool


AdmissionHook = Callable[[AdmissionRequest], None]
"""Raises `lab.errors.ApiError` to refuse."""


class Hooks:
    """The admission hooks of one API server, by resource, in the order of their registration."""

    def __init__(self) -> None:
        self._hooks: dict[str, list[AdmissionHook]] = defaultdict(list)

    def register(self, resource: Resource, hook: AdmissionHook) -> None:
        """Ask a hook about the writes of a resource and of its subresources."""
        self._hooks[resource.group_resource].append(hook)

    def any_for(self, resource: Resource) -> bool:
        """Tell whether a resource has hooks."""
        return resource.group_resource in self._hooks

    def run(self, request: AdmissionRequest) -> ApiError | None:
        """Have the hooks change the request's draft; returns the first refusal."""
        try:
            for hook in self._hooks.get(request.resource.group_resource, ()):
                hook(request)
        except ApiError as refusal:
            return refusal
        return None
