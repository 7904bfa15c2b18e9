"""Makes what a client sent into what may be stored: the part that counts, defaults filled in, violations found.

Refuses to store and to ask admission hooks.
"""

from __future__ import annotations

from dataclasses import replace

from lab.apiserver.access.bodies import GROUP as RBAC_GROUP
from lab.apiserver.access.bodies import apply_role_defaults, role_violations
from lab.apiserver.bodies.content import content_violations
from lab.apiserver.catalog import Definition
from lab.apiserver.defaults import (
    apply_builtin_defaults,
    first_status,
    keep_cluster_address,
    name_namespace,
    tolerate_node_trouble,
    with_pod_addresses,
)
from lab.apiserver.definitions.lifecycle import KIND, fill_definition
from lab.apiserver.definitions.schema import shape
from lab.apiserver.definitions.schema_validation import schema_violations, type_violations
from lab.apiserver.definitions.validation import definition_violations, stored_version_violations
from lab.apiserver.owners import finalizer_violations, owner_violations
from lab.apiserver.patches.merge import copied
from lab.apiserver.problems import Violation, bad_request, invalid
from lab.apiserver.scaling import replica_violations
from lab.apiserver.small_kinds import kind_violations
from lab.apiserver.validation import metadata_violations, pod_update_violations, pod_violations, workload_violations
from lab.objects import Object
from lab.resources import BUILT_IN, Resource

_CHECKED_METADATA = ("labels", "annotations")


def check_type(resource: Resource, body: Object) -> None:
    """Have the body carry its type; 400 if it is of another."""
    _check_built_in_type(resource, body)
    if body.setdefault("apiVersion", resource.api_version) != resource.api_version:
        raise bad_request(
            f"the API version in the data ({body['apiVersion']}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if body.setdefault("kind", resource.kind) != resource.kind:
        raise bad_request(f'invalid kind "{body["kind"]}": must be {resource.kind}')


def _check_built_in_type(resource: Resource, body: Object) -> None:
    version, kind = body.get("apiVersion") or resource.api_version, body.get("kind") or resource.kind
    if resource.custom or (version, kind) == (resource.api_version, resource.kind):
        return
    known = any((other.api_version, other.kind) == (version, kind) for other in BUILT_IN)
    why = (
        f"converting ({version.rpartition('/')[2]}.{kind}) to ({resource.group or 'core'}.{resource.kind}): "
        "unknown conversion"
        if known
        else f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
    )
    raise bad_request(f'{kind} in version "{version.rpartition("/")[2]}" cannot be handled as a {resource.kind}: {why}')


def changed_part(resource: Resource, old: Object, new: Object, subresource: str) -> Object:
    """Return the old object with that part replaced which a request may change."""
    if subresource in ("binding", "scale"):
        return new
    if subresource == "finalize":
        return {**old, "spec": new.get("spec") or {}}
    if subresource == "status":
        kept = {**old} if resource.custom else {**old, "metadata": _status_metadata(resource, old, new)}
        kept.pop("status", None)
        return {**kept, "status": new["status"]} if "status" in new else kept
    if "status" in resource.subresources:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    if resource.group_resource == "namespaces":
        new["spec"] = old.get("spec") or {}
        name_namespace(new)
    return new


def _status_metadata(resource: Resource, old: Object, new: Object) -> Object:
    """Return the metadata that comes with a status: of Deployments not the labels (pkg/registry/apps/deployment)."""
    metadata: Object = new["metadata"]
    if resource.group_resource != "deployments.apps":
        return metadata
    kept = {key: value for key, value in metadata.items() if key != "labels"}
    return {**kept, "labels": old["metadata"]["labels"]} if "labels" in old["metadata"] else kept


def with_defaults(definition: Definition, old: Object | None, new: Object, subresource: str) -> Object:
    """Return the draft with what the server fills in; `old` is None for a new object."""
    resource = definition.resource
    if resource.custom:
        if definition.schema and (old is None or _has_new_content(old, new)):
            new = copied(new)
            shape(new, definition.schema)
        return new
    if resource.group == RBAC_GROUP:
        apply_role_defaults(new)
    if resource.kind == KIND and not subresource:
        fill_definition(new, old)
        return new
    if old is None:
        _fill_first(resource, new)
    elif resource.kind == "Secret":
        apply_builtin_defaults(resource.kind, new)
    elif resource.kind == "Pod" and subresource == "status":
        new = with_pod_addresses(new)
    elif not subresource and new.get("spec") is not old.get("spec") and isinstance(new.get("spec"), dict):
        new["spec"] = copied(new["spec"])
        keep_cluster_address(old, new)
        apply_builtin_defaults(resource.kind, new)
    return new


def _fill_first(resource: Resource, new: Object) -> None:
    apply_builtin_defaults(resource.kind, new)
    if resource.kind == "Pod":
        tolerate_node_trouble(new)
    status = first_status(resource.kind, new)
    if status is not None:
        new["status"] = status


def _has_new_content(old: Object, new: Object) -> bool:
    return any(new.get(key) is not old.get(key) for key in new if key != "metadata")


def refuse_wrong_types(definition: Definition, new: Object) -> None:
    """Raise the 422 of a custom resource whose fields have other types than its schema's: hooks rely on them."""
    if definition.resource.custom and definition.schema:
        wrong = type_violations(new, definition.schema)
        if wrong:
            raise invalid(definition.resource, new["metadata"].get("name", ""), wrong)


def _tie_violations(resource: Resource, old: Object | None, metadata: Object) -> list[Violation]:
    """Return what is wrong with the owners and finalizers that a write brings."""
    held = old["metadata"] if old is not None else {}
    found: list[Violation] = []
    if metadata.get("ownerReferences") is not held.get("ownerReferences"):
        found += owner_violations(metadata)
    if metadata.get("finalizers") is not held.get("finalizers"):
        found += finalizer_violations(resource, metadata)
    return found


def _custom_violations(definition: Definition, old: Object | None, new: Object, subresource: str) -> list[Violation]:
    """Return what is wrong with a custom resource, of its status alone if only that is written."""
    if subresource == "status":
        schema = (definition.schema.get("properties") or {}).get("status")
        before = (old or {}).get("status")
        found = schema_violations(new["status"], schema, old=before) if schema and "status" in new else []
        return [replace(v, field=v.field if v.field == "<nil>" else f"status.{v.field}") for v in found]
    found = schema_violations(new, definition.schema, old=old)
    return found + replica_violations(definition, new)


def violations_in(definition: Definition, old: Object | None, new: Object, subresource: str) -> list[Violation]:
    """Return what is wrong with a draft; parts that are the old object's are not looked at again."""
    resource = definition.resource
    found: list[Violation] = []
    if old is None or any(new["metadata"].get(part) is not old["metadata"].get(part) for part in _CHECKED_METADATA):
        found += metadata_violations(resource, new["metadata"])
    found += _tie_violations(resource, old, new["metadata"])
    if resource.custom:
        return found + _custom_violations(definition, old, new, subresource)
    if resource.kind == KIND:
        return [*found, *(stored_version_violations(new) if subresource else definition_violations(new, old))]
    if resource.group == RBAC_GROUP:
        return found + role_violations(new, old)
    if not subresource:
        found += content_violations(new, old)
    if subresource or (old is not None and new.get("spec") is old.get("spec")):
        return found
    if resource.kind == "Pod":
        found += pod_violations(new) if old is None else pod_update_violations(new, old)
    else:
        found += workload_violations(new, old) or kind_violations(new)
    return found
