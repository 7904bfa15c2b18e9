"""Field ownership: server-side apply with its conflicts, and what other writes do to `managedFields`.

Follows k8s.io/apimachinery/pkg/util/managedfields and structured-merge-diff/merge (Kubernetes v1.35). Only objects that
have ever been applied keep `managedFields`, as kube-apiserver's own skipNonAppliedManager would have it; until then an
object's fields count as those of whoever created it. Refuses to store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lab.apiserver.catalog import Definition
from lab.apiserver.metadata import now
from lab.apiserver.ownership.fieldsets import (
    FieldSet,
    Path,
    decoded_fields,
    differences,
    dotted,
    encoded,
    field_set,
    in_order,
    merged,
    with_prefixes,
    without,
)
from lab.apiserver.ownership.shapes import shape_of
from lab.errors import ApiError
from lab.objects import Object

BEFORE_FIRST_APPLY = "before-first-apply"

_NEVER_OWNED = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    }
)


_REPLICAS = ("f:spec", "f:replicas")


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, and how: the identity of an entry of `managedFields`."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        """Return how a conflict names the manager."""
        with_subresource = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {self.api_version}" if self.operation == "Update" else ""
        return f'"{self.name}"{with_subresource}{using}'


@dataclass(frozen=True, slots=True)
class Owned:
    """What a manager owns, and since when."""

    fields: FieldSet
    time: str


Owners = dict[Manager, Owned]


@dataclass(frozen=True, slots=True)
class Application:
    """A configuration that somebody applies. `creator` is who is taken for the owner of what nobody has applied yet."""

    config: Object
    manager: str
    subresource: str = ""
    force: bool = False
    creator: str = BEFORE_FIRST_APPLY


def apply(definition: Definition, live: Object | None, application: Application) -> Object:
    """Return the live object with the configuration in it, and who owns what; 409 for fields of other managers."""
    shape = shape_of(definition)
    version = definition.resource.api_version
    me = Manager(application.manager, "Apply", version, application.subresource)
    config = _counting_part(definition, application.config, application.subresource)
    applied = field_set(config, shape)
    owners = _owners(live) if live is not None else {}
    if live is not None and not owners:
        everything = differences({}, live, shape)[0] - _NEVER_OWNED
        owners = {Manager(application.creator, "Update", version): Owned(everything, now())}
    last = owners.pop(me, None)
    new = merged(live, config, shape)
    if last is not None:
        kept = with_prefixes(applied.union(*(owned.fields for owned in owners.values())))
        new = without(new, shape, with_prefixes(last.fields) - kept)
    changed, removed = differences(live or {}, new, shape)
    if not application.force:
        _refuse_conflicts(owners, changed)
    owners = _without_fields(owners, changed | removed)
    mine = applied - _NEVER_OWNED
    if mine:
        is_same = last is not None and last.fields == mine and not changed and not removed
        owners[me] = last if last is not None and is_same else Owned(mine, now())
    return with_entries(new, _entries(owners))


def after_update(definition: Definition, old: Object, new: Object, *, manager: str, subresource: str) -> list[Object]:
    """Return the `managedFields` of an object that a manager has changed without applying it."""
    owners = _owners(old)
    if not owners:
        return []
    shape = shape_of(definition)
    me = Manager(manager, "Update", definition.resource.api_version, subresource)
    changed, removed = differences(old, new, shape)
    changed, removed = changed - _NEVER_OWNED, removed - _NEVER_OWNED
    own = owners.pop(me, None)
    owners = _without_fields(owners, changed | removed)
    before = own.fields if own is not None else frozenset()
    mine = (before - removed) | changed
    if mine:
        owners[me] = own if own is not None and mine == before else Owned(mine, now())
    return _entries(owners)


def owns_replicas(found: Object) -> bool:
    """Tell whether somebody owns the replicas: a Scale that says who changes them is only then kept in the books.

    Source: apimachinery v0.35, managedfields/scalehandler.go with internal/skipnonapplied.go.
    """
    return any(_REPLICAS in owned.fields for owned in _owners(found).values())


def with_entries(found: Object, entries: list[Object]) -> Object:
    """Return the object with other `managedFields`; nothing of what is shared is changed."""
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return {**found, "metadata": metadata}


def is_same(new: Object, old: Object) -> bool:
    """Tell whether two versions of an object differ in nothing but the times of their `managedFields`."""
    if new == old:
        return True
    return "managedFields" in old["metadata"] and _without_times(new) == _without_times(old)


def _without_times(found: Object) -> Object:
    entries = found["metadata"].get("managedFields")
    if not entries:
        return found
    return with_entries(found, [{key: value for key, value in entry.items() if key != "time"} for entry in entries])


def _counting_part(definition: Definition, config: Object, subresource: str) -> Object:
    """Return what of a configuration its path takes, as the strategies' GetResetFields have it."""
    if subresource == "status":
        named = {key: value for key, value in config["metadata"].items() if key in ("name", "namespace")}
        metadata = named if definition.resource.custom else config["metadata"]
        return {**{key: config[key] for key in config if key != "spec"}, "metadata": metadata}
    if "status" in definition.resource.subresources:
        return {key: value for key, value in config.items() if key != "status"}
    return config


def _refuse_conflicts(owners: Owners, changed: FieldSet) -> None:
    found = {str(manager): list(in_order(owned.fields & changed)) for manager, owned in owners.items()}
    conflicts = {manager: paths for manager, paths in found.items() if paths}
    if not conflicts:
        return
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": dotted(path)}
        for manager, paths in conflicts.items()
        for path in paths
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [line for manager in sorted(conflicts) for line in _conflict_lines(manager, conflicts[manager])]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    raise ApiError(409, message, details={"causes": causes})


def _conflict_lines(manager: str, paths: list[Path]) -> list[str]:
    return [f"conflicts with {manager}:", *(f"- {dotted(path)}" for path in paths)]


def _without_fields(owners: Owners, fields: FieldSet) -> Owners:
    left = {manager: replace(owned, fields=owned.fields - fields) for manager, owned in owners.items()}
    return {manager: owned for manager, owned in left.items() if owned.fields}


def _owners(found: Object) -> Owners:
    return {
        Manager(
            entry.get("manager", ""), entry["operation"], entry.get("apiVersion", ""), entry.get("subresource", "")
        ): Owned(decoded_fields(entry.get("fieldsV1") or {}), entry.get("time", ""))
        for entry in found["metadata"].get("managedFields") or ()
    }


def _entries(owners: Owners) -> list[Object]:
    """Return owners as `managedFields`: those who applied first, then the oldest."""
    ordered = sorted(owners.items(), key=lambda item: (item[0].operation, item[1].time, item[0].name))
    return [_entry(manager, owned) for manager, owned in ordered]


def _entry(manager: Manager, owned: Owned) -> Object:
    entry: dict[str, Any] = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": encoded(owned.fields),
    }
    return {**entry, "subresource": manager.subresource} if manager.subresource else entry
