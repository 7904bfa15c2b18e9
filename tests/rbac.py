"""Manifests of Roles and bindings as single rights, and which of them allow what an audit event tells of.

Knows ServiceAccounts as subjects, and Roles that the manifests themselves hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, kw_only=True, order=True)
class Atom:
    """One verb on one resource that a rule allows: everywhere or in a namespace, on all objects or on one."""

    verb: str
    group: str
    resource: str
    """With `/subresource` if there is one; `*` for all of the group."""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        name = f' "{self.name}"' if self.name else ""
        return f"{self.verb} {resource}{name}{f' in {self.namespace}' if self.namespace else ''}"

    def allows(self, wanted: Atom) -> bool:
        """Tell whether this right is enough for another one."""
        return (
            self.verb in ("*", wanted.verb)
            and self.group in ("*", wanted.group)
            and self._is_for(wanted.resource)
            and self.namespace in ("", wanted.namespace)
            and self.name in ("", wanted.name)
        )

    def _is_for(self, resource: str) -> bool:
        subresource = resource.partition("/")[2]
        return self.resource in ("*", resource) or (bool(subresource) and self.resource == f"*/{subresource}")


def read_manifests(file: Path, **words: str) -> list[Any]:
    """Return the objects of a file, with words in it replaced, as `CLUSTER_ID="abc"`."""
    text = file.read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    return [found for found in yaml.safe_load_all(text) if found]


def atoms_of(manifests: Sequence[Mapping[str, Any]], *, user: str = "") -> set[Atom]:
    """Return what the bindings among the manifests let a user do, or everybody whom they name."""
    roles = {
        (found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]): found["rules"]
        for found in manifests
        if found["kind"] in ("Role", "ClusterRole")
    }
    atoms: set[Atom] = set()
    for binding in manifests:
        if "roleRef" in binding and _is_for(binding, user):
            namespace = binding["metadata"].get("namespace", "")
            reference = binding["roleRef"]
            where = namespace if reference["kind"] == "Role" else ""
            rules = roles[reference["kind"], where, reference["name"]]
            atoms.update(atom for rule in rules for atom in atoms_of_rule(rule, namespace))
    return atoms


def atoms_of_rule(rule: Mapping[str, Sequence[str]], namespace: str = "") -> Iterator[Atom]:
    """Yield every right of a rule that holds in a namespace, or everywhere."""
    for group in rule.get("apiGroups", ()):
        for resource in rule.get("resources", ()):
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames") or ("",):
                    yield Atom(verb=verb, group=group, resource=resource, namespace=namespace, name=name)


def atom_of_event(event: Mapping[str, Any]) -> Atom | None:
    """Return what the request of an audit event wanted; None for a path that is not a resource's."""
    found = event.get("objectRef")
    if not found:
        return None
    resource = found["resource"]
    if found.get("subresource"):
        resource = f"{resource}/{found['subresource']}"
    return Atom(
        verb=event["verb"],
        group=found.get("apiGroup", ""),
        resource=resource,
        namespace=found.get("namespace", ""),
        name=found.get("name", ""),
    )


def allowing(event: Mapping[str, Any], atoms: Iterable[Atom]) -> set[Atom]:
    """Return which rights allow the request of an audit event: any one of them was enough."""
    wanted = atom_of_event(event)
    return set() if wanted is None else {atom for atom in atoms if atom.allows(wanted)}


def unused(events: Iterable[Mapping[str, Any]], atoms: Iterable[Atom]) -> set[Atom]:
    """Return the rights that no request needed: without any of them, every request would have been allowed as well.

    Of several rights that allow the same request the narrowest counts as the one that was used.
    """
    atoms = set(atoms)
    for event in events:
        found = allowing(event, atoms)
        if found:
            atoms.discard(max(found, key=lambda atom: (bool(atom.name), bool(atom.namespace), atom)))
    return atoms


def denied_events(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the events of requests that were refused for want of a right."""
    return [event for event in events if (event.get("responseStatus") or {}).get("code") == 403]


def _is_for(binding: Mapping[str, Any], user: str) -> bool:
    names = [f"{SERVICE_ACCOUNT}{subject['namespace']}:{subject['name']}" for subject in binding["subjects"]]
    return not user or user in names
