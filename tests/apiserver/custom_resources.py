"""Definitions of custom resources for the contract, each with names of its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.running_lab import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"content-type": "application/merge-patch+json"}
JSON_PATCH = {"content-type": "application/json-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
TABLE = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}

_numbers = itertools.count(1)


def an_object(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object with these fields."""
    return {"type": "object", "properties": properties}


STRING = {"type": "string"}
INTEGER = {"type": "integer"}


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> dict[str, Any]:
    """Return a version of a definition; `spec` and `status` are the schemas of these fields, `schema` is a whole one."""
    spec, status = more.pop("spec", an_object(size=INTEGER)), more.pop("status", an_object(phase=STRING))
    schema = more.pop("schema", an_object(spec=spec, status=status))
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


def definition(*versions: dict[str, Any], scope: str = "Namespaced", **names: Any) -> dict[str, Any]:
    """Return the body of a definition in a group of its own, so that no other has its names."""
    number = next(_numbers)
    group, plural = f"g{number}.lab.example.com", names.pop("plural", "gears")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "kind": "Gear", **names},
            "versions": list(versions) or [version()],
        },
    }


@dataclass(frozen=True)
class Defined:
    """A resource that is served, and how to reach it."""

    api: httpx.Client
    body: dict[str, Any]
    namespace: str

    @property
    def group(self) -> str:
        return str(self.body["spec"]["group"])

    @property
    def kind(self) -> str:
        return str(self.body["spec"]["names"]["kind"])

    @property
    def own_path(self) -> str:
        return f"{DEFINITIONS}/{self.body['metadata']['name']}"

    def path(self, name: str = "", *, version: str = "") -> str:
        spec = self.body["spec"]
        version = version or spec["versions"][0]["name"]
        where = f"/namespaces/{self.namespace}" if spec["scope"] == "Namespaced" else ""
        return f"/apis/{self.group}/{version}{where}/{spec['names']['plural']}" + (f"/{name}" if name else "")

    def object(self, name: str, *, version: str = "", **parts: Any) -> dict[str, Any]:
        version = version or self.body["spec"]["versions"][0]["name"]
        return {"apiVersion": f"{self.group}/{version}", "kind": self.kind, "metadata": {"name": name}, **parts}

    def create(self, name: str, *, version: str = "", **parts: Any) -> httpx.Response:
        """Ask for an object."""
        return self.api.post(self.path(version=version), json=self.object(name, version=version, **parts))

    def created(self, name: str, **parts: Any) -> dict[str, Any]:
        """Return an object that has been created."""
        answer = self.create(name, **parts)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def patch(self, name: str, change: Any, headers: dict[str, str] = MERGE) -> httpx.Response:
        return self.api.patch(self.path(name), json=change, headers=headers)

    def change_definition(self, change: dict[str, Any]) -> httpx.Response:
        return self.api.patch(self.own_path, json=change, headers=MERGE)

    def held(self) -> dict[str, Any]:
        """Return the definition as it is now."""
        return dict(self.api.get(self.own_path).json())


def define(api: httpx.Client, bodies: Iterable[dict[str, Any]]) -> list[Defined]:
    """Return the resources of new definitions once all are served: a server takes its time, but for many at once."""
    found = [Defined(api, body, "default") for body in bodies]
    for item in found:
        answer = api.post(DEFINITIONS, json=item.body)
        assert answer.status_code == 201, answer.text
    for path in [item.path(version=v["name"]) for item in found for v in item.body["spec"]["versions"] if v["served"]]:
        # Before it is served it is not found, and then its storage is being made (429).
        eventually(partial(is_served, api, path), what=f"{path} to be served")
    return found


def is_served(api: httpx.Client, path: str) -> bool:
    """Tell whether objects can be listed there."""
    return api.get(path).status_code == 200


def causes(answer: httpx.Response) -> list[tuple[str, str, str]]:
    """Return field, reason and message of what a 422 complains of, sorted: a server walks maps in any order."""
    found = answer.json()
    assert (answer.status_code, found.get("reason")) == (422, "Invalid"), answer.text
    return sorted((cause["field"], cause["reason"], cause["message"]) for cause in found["details"]["causes"])


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Return the conditions of a definition by type: status, reason and message."""
    listed = found["status"]["conditions"] or ()
    return {item["type"]: (item["status"], item["reason"], item["message"]) for item in listed}
