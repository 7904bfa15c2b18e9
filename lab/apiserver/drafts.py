"""Makes what a client sent into what may be stored: the part that counts, defaults filled in, violations found.

Refuses to store and to ask admission hooks.
"""

from __future__ import annotations

from lab.apiserver.catalog import Definition, definition_name
from lab.apiserver.defaults import apply_builtin_defaults, first_status, tolerate_node_trouble
from lab.apiserver.patch import copied
from lab.apiserver.problems import Violation, bad_request, invalid
from lab.apiserver.schema import apply_defaults, schema_violations
from lab.apiserver.validation import metadata_violations, pod_update_violations, pod_violations, workload_violations
from lab.objects import Object
from lab.resources import Resource


def check_type(resource: Resource, body: Object) -> None:
    """Have the body carry its type; 400 if it is of another."""
    if body.setdefault("apiVersion", resource.api_version) != resource.api_version:
        raise bad_request(
            f"the API version in the data ({body['apiVersion']}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if body.setdefault("kind", resource.kind) != resource.kind:
        raise bad_request(f'invalid kind "{body["kind"]}": must be {resource.kind}')


def changed_part(resource: Resource, old: Object, new: Object, subresource: str) -> Object:
    """Return the old object with that part replaced which a request may change."""
    if subresource == "binding":
        return new
    if subresource == "finalize":
        return {**old, "spec": new.get("spec") or {}}
    if subresource == "status":
        kept = {**old} if resource.custom else {**old, "metadata": new["metadata"]}
        kept.pop("status", None)
        return {**kept, "status": new["status"]} if "status" in new else kept
    if "status" in resource.subresources:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    if resource.group_resource == "namespaces":
        new["spec"] = old.get("spec") or {}
    return new


def with_defaults(definition: Definition, old: Object | None, new: Object, subresource: str) -> Object:
    """Return the draft with what the server fills in; `old` is None for a new object."""
    resource = definition.resource
    if resource.custom:
        if definition.schema and (old is None or _has_new_content(old, new)):
            new = copied(new)
            apply_defaults(new, definition.schema)
        return new
    if old is None:
        apply_builtin_defaults(resource.kind, new)
        if resource.kind == "Pod":
            tolerate_node_trouble(new)
        status = first_status(resource.kind, new)
        if status is not None:
            new["status"] = status
    elif resource.kind == "Secret":
        apply_builtin_defaults(resource.kind, new)
    elif not subresource and new.get("spec") is not old.get("spec") and isinstance(new.get("spec"), dict):
        new["spec"] = copied(new["spec"])
        apply_builtin_defaults(resource.kind, new)
    return new


def _has_new_content(old: Object, new: Object) -> bool:
    return any(new.get(key) is not old.get(key) for key in new if key != "metadata")


def refuse_wrong_types(definition: Definition, new: Object) -> None:
    """Raise the 422 of a custom resource whose fields have other types than its schema's: hooks rely on them."""
    if definition.resource.custom and definition.schema:
        wrong = [v for v in schema_violations(new, definition.schema) if v.reason == "FieldValueTypeInvalid"]
        if wrong:
            raise invalid(definition.resource, new["metadata"].get("name", ""), wrong)


def violations_in(definition: Definition, old: Object | None, new: Object, subresource: str) -> list[Violation]:
    """Return what is wrong with a draft; parts that are the old object's are not looked at again."""
    resource = definition.resource
    found: list[Violation] = []
    if old is None or new["metadata"].get("labels") is not old["metadata"].get("labels"):
        found += metadata_violations(resource, new["metadata"])
    if resource.custom:
        if definition.schema:
            found += schema_violations(new, definition.schema)
        return found
    if subresource or (old is not None and new.get("spec") is old.get("spec")):
        return found
    if resource.kind == "Pod":
        found += pod_violations(new) if old is None else pod_update_violations(new, old)
    elif resource.kind == "CustomResourceDefinition":
        if new["metadata"]["name"] != definition_name(new):
            found.append(Violation.invalid("metadata.name", new["metadata"]["name"], f"must be {definition_name(new)}"))
    else:
        found += workload_violations(new, old)
    return found
