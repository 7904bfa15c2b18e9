"""Everything that the lab's platform writes, taken down, and sent once more to another API server.

Bodies go out as the controllers made them, but for uids and resourceVersions, which every server chooses itself.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.apiserver.inprocess import InProcessClient
from lab.errors import ApiError
from lab.resources import CUSTOM_RESOURCE_DEFINITIONS, PODS, Resource
from tests.running_lab import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    import pytest

    from lab.objects import Object

ALIKE = 2
"""How many objects of the same form are sent again: what is said of one is said of all."""
_MERGE_PATCH = {"content-type": "application/merge-patch+json"}
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Write:
    """One write that the lab has accepted. Of an update `body` is the merge patch that does the same."""

    resource: Resource
    verb: str
    subresource: str
    namespace: str
    name: str
    body: Object
    uid: str
    """What the lab calls the object; nothing after a deletion."""

    @property
    def collection(self) -> str:
        """The path that such objects are created at."""
        resource = self.resource
        root = f"/apis/{resource.group}" if resource.group else "/api"
        where = f"/namespaces/{self.namespace}" if resource.namespaced else ""
        return f"{root}/{resource.version}{where}/{resource.plural}"

    @property
    def key(self) -> tuple[Resource, str, str]:
        """What tells objects apart."""
        return self.resource, self.namespace, self.name

    def __str__(self) -> str:
        what = "/".join(filter(None, (self.resource.plural, self.subresource)))
        return f"{self.verb} {what} {self.namespace}/{self.name}"


@dataclass
class Writes:
    """The writes through every in-process client, in order, and the clients in the order of their first write."""

    by_client: dict[InProcessClient, list[Write]] = field(default_factory=dict)

    def record(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take down every successful write from now on."""
        for verb in ("create", "update", "patch", "delete"):
            monkeypatch.setattr(InProcessClient, verb, self._recording(verb, getattr(InProcessClient, verb)))

    def _recording(self, verb: str, act: Any) -> Any:
        async def recorded(
            client: InProcessClient, resource: Resource, subject: Any, *rest: Any, **options: Any
        ) -> Any:
            sent = json.loads(json.dumps(rest[0] if rest else subject))
            if verb == "update":
                sent = difference(_held(client, resource, subject), sent)
            made = await act(client, resource, subject, *rest, **options)
            whole = made or {"metadata": {"name": subject, "namespace": options.get("namespace", "")}}
            metadata = whole["metadata"]
            write = Write(
                resource=resource,
                verb=verb,
                subresource=options.get("subresource", ""),
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
                body={} if verb == "delete" else sent,
                uid=metadata.get("uid", ""),
            )
            self.by_client.setdefault(client, []).append(write)
            return made

        return recorded


def _held(client: InProcessClient, resource: Resource, body: Object) -> Object:
    metadata = body["metadata"]
    try:
        return client._registry.get(resource, metadata["name"], namespace=metadata.get("namespace", "")).object
    except ApiError:
        return {}


def difference(old: Object, new: Object) -> Object:
    """Return the merge patch that makes `new` of `old`."""
    patch: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        held = old.get(key)
        if isinstance(held, dict) and isinstance(value, dict):
            if inner := difference(held, value):
                patch[key] = inner
        elif held != value:
            patch[key] = value
    return patch


def without_repetitions(writes: list[Write]) -> list[Write]:
    """Return the writes of the first `ALIKE` objects of each form, after those of all definitions.

    A server takes seconds until it serves a definition, but for many at once.
    """
    seen: Counter[tuple[Resource, frozenset[str]]] = Counter()
    kept = set()
    for write in writes:
        if write.verb != "create":
            continue
        form = write.resource, frozenset(_paths(write.body, ""))
        seen[form] += 1
        if seen[form] <= ALIKE or write.resource == CUSTOM_RESOURCE_DEFINITIONS or not write.namespace:
            kept.add(write.key)
    repeated = [write for write in writes if write.key in kept]
    return sorted(repeated, key=lambda write: write.resource != CUSTOM_RESOURCE_DEFINITIONS)


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, f"{path}[]")
    else:
        yield path


class Replay:
    """Sends writes to a server."""

    def __init__(self, api: httpx.Client) -> None:
        self._api = api
        self._uids: dict[str, str] = {}

    def refusals(self, writes: list[Write]) -> Iterator[str]:
        """Send the writes and yield what the server says against those that it refuses."""
        for write in writes:
            answer = self._send(write)
            if answer.is_success:
                if write.verb == "create":
                    self._uids[write.uid] = answer.json()["metadata"]["uid"]
            elif not _has_it_so_already(write, answer.status_code):
                yield f"{write}: {answer.status_code} {answer.text[:600]}\n    {json.dumps(write.body)[:1500]}"

    def _send(self, write: Write) -> httpx.Response:
        method, path, body, headers = self._request(write)
        content = _UID.sub(lambda found: self._uids.get(found[0], found[0]), json.dumps(body))

        def answered() -> httpx.Response | None:
            found = self._api.request(
                method, path, content=content, params={"fieldValidation": "Strict"}, headers=headers
            )
            # A definition takes a moment until it is served; its objects have no Status to say so yet.
            return None if found.text.startswith("404 page") else found

        return eventually(answered, what=f"{path} to be served")

    def _request(self, write: Write) -> tuple[str, str, Object, dict[str, str]]:
        metadata = {**write.body.get("metadata", {})}
        metadata.pop("resourceVersion", None)
        json_body = {"content-type": "application/json"}
        path = "/".join(filter(None, (write.collection, write.name, write.subresource)))
        if write.verb == "create":
            kind = {"apiVersion": write.resource.api_version, "kind": write.resource.kind}
            body = {**kind, **write.body, "metadata": {**metadata, "name": write.name}}
            return "POST", write.collection, body, json_body
        if write.subresource == "binding":
            target = {"apiVersion": "v1", "kind": "Node", "name": write.body["spec"]["nodeName"]}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {**metadata, "name": write.name}}
            return "POST", path, {**body, "target": target}, json_body
        if write.verb == "delete":
            at_once = {"gracePeriodSeconds": 0} if write.resource == PODS else {}  # there is no kubelet
            return "DELETE", path, {"propagationPolicy": "Background", **at_once}, json_body
        return "PATCH", path, {**write.body, "metadata": metadata}, _MERGE_PATCH


def _has_it_so_already(write: Write, code: int) -> bool:
    return (write.verb, code) in (("create", 409), ("delete", 404))
