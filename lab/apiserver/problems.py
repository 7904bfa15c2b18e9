"""The refusals of a Kubernetes API server, worded as kube-apiserver words them. Refuses to decide when one is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lab.errors import ApiError
from lab.resources import Resource


@dataclass(frozen=True)
class Violation:
    """One field that is not as it must be, as `field.Error` of apimachinery."""

    reason: str
    """A metav1.CauseType, as `FieldValueRequired`."""
    field: str
    message: str

    @staticmethod
    def required(field: str, detail: str = "") -> Violation:
        """Tell that a field is missing."""
        return Violation("FieldValueRequired", field, f"Required value{': ' + detail if detail else ''}")

    @staticmethod
    def invalid(field: str, value: object, detail: str) -> Violation:
        """Tell that a value is malformed or may not change."""
        return Violation("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {detail}")

    @staticmethod
    def unsupported(field: str, value: object, supported: Sequence[object]) -> Violation:
        """Tell that a value is none of an enumeration's."""
        listed = ", ".join(shown(item) for item in supported)
        return Violation(
            "FieldValueNotSupported", field, f"Unsupported value: {shown(value)}: supported values: {listed}"
        )

    @staticmethod
    def too_many(field: str, count: int, most: int) -> Violation:
        """Tell that a list or a map has too many items."""
        items = "item" if most == 1 else "items"
        return Violation("FieldValueTooMany", field, f"Too many: {count}: must have at most {most} {items}")

    @staticmethod
    def forbidden(field: str, detail: str) -> Violation:
        """Tell that a field may not be set."""
        return Violation("FieldValueForbidden", field, f"Forbidden: {detail}")

    @staticmethod
    def too_long(field: str, longest: int) -> Violation:
        """Tell that a text has too many bytes."""
        return Violation("FieldValueTooLong", field, f"Too long: may not be more than {longest} bytes")

    @staticmethod
    def wrong_type(field: str, value: object, detail: str) -> Violation:
        """Tell that a value has another JSON type than the schema's."""
        return Violation("FieldValueTypeInvalid", field, f"Invalid value: {shown(value)}: {detail}")


def shown(value: object) -> str:
    """Return a value as error messages write it."""
    if isinstance(value, (dict, list)):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return orjson.dumps(value).decode()
    return "null" if value is None else f"{value}"


def _details(resource: Resource, name: str = "", **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return {**details, "kind": resource.plural, **more}


def not_found(resource: Resource, name: str) -> ApiError:
    """Return the 404 for an object that does not exist."""
    return ApiError(404, f'{resource.group_resource} "{name}" not found', details=_details(resource, name))


def no_such_path() -> ApiError:
    """Return the 404 for a path that no resource is served at."""
    return ApiError(404, "the server could not find the requested resource", details={})


class NoSuchPage(ApiError):
    """The 404 for a path that nothing at all is served below: plain text instead of a Status."""

    def __init__(self) -> None:
        super().__init__(404, "404 page not found")


def already_exists(resource: Resource, name: str, *, terminating: bool = False) -> ApiError:
    """Return the 409 for a name that is taken, perhaps by an object that is on its way out."""
    message = f'{resource.group_resource} "{name}" already exists'
    if terminating:  # k8s.io/apiserver v0.35, pkg/registry/generic/registry/store.go
        message = f"object is being deleted: {message}"
    return ApiError(409, message, reason="AlreadyExists", details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    """Return the 409 for a stale resourceVersion, or for another precondition with `why`."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}'
    return ApiError(409, message, details=_details(resource, name))


def other_object(resource: Resource, name: str, *, field: str, wanted: str, found: str, happened: str) -> ApiError:
    """Return the 409 for a deletion that is meant for another object or version (apiserver v0.35, rest/delete.go)."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    why = (
        f"the {field} in the precondition ({wanted}) does not match the {field} in record ({found}). "
        f"The object might have been {happened}"
    )
    message = f'Operation cannot be fulfilled on {kind} "{name}": {why}'
    return ApiError(409, message, details={**_details(resource, name), "kind": resource.kind})


def invalid_deletion(violations: Sequence[Violation]) -> ApiError:
    """Return the 422 for DeleteOptions that make no sense."""
    return invalid(Resource(group="meta.k8s.io", plural="", kind="DeleteOptions"), "", violations)


def forbidden(resource: Resource, name: str, why: str, *, causes: list[dict[str, str]] | None = None) -> ApiError:
    """Return the 403 for an act that is refused because of `why`."""
    subject = f'{resource.group_resource} "{name}"' if name else resource.group_resource
    more: dict[str, Any] = {"causes": causes} if causes else {}
    return ApiError(403, f"{subject} is forbidden: {why}", details=_details(resource, name, **more))


def invalid(resource: Resource, name: str, violations: Sequence[Violation]) -> ApiError:
    """Return the 422 that names every violated field."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    texts = list(dict.fromkeys(f"{v.field}: {v.message}" for v in violations))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [{"reason": v.reason, "message": v.message, "field": v.field} for v in violations]
    details: dict[str, Any] = {"name": name, "group": resource.group, "kind": resource.kind, "causes": causes}
    return ApiError(422, f'{kind} "{name}" is invalid: {text}', details={k: v for k, v in details.items() if v})


def bad_request(why: str) -> ApiError:
    """Return the 400 for a request that makes no sense."""
    return ApiError(400, why)


def method_not_allowed() -> ApiError:
    """Return the 405 for a verb that a resource lacks."""
    return ApiError(405, "the server does not allow this method on the requested resource", details={})


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """Return the 415 for a body whose format is unknown."""
    listed = ", ".join(accepted)
    return ApiError(415, f"the body of the request was in an unknown format - accepted media types include: {listed}")


def not_acceptable(why: str, *, details: dict[str, Any] | None = None) -> ApiError:
    """Return the 406 for an answer that can't be written as the client takes it."""
    return ApiError(406, why, reason="NotAcceptable", details=details)


def expired_list(token: str = "") -> ApiError:
    """Return the 410 for a list at a version that is no longer known; a token goes on with the list as it is now."""
    if token:
        error = ApiError(
            410,
            "The provided continue parameter is too old to display a consistent list result. You can start a new list "
            "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
            "the results. Continuing with the provided token results in an inconsistent list - objects that were "
            "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
            "list.",
        )
        error.metadata["continue"] = token
        return error
    return ApiError(410, "The resourceVersion for the provided list is too old.")


def invalid_options(violations: Sequence[Violation]) -> ApiError:
    """Return the 422 for options of a list or watch that contradict each other."""
    texts = [f"{v.field}: {v.message}" for v in violations]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [{"reason": v.reason, "message": v.message, "field": v.field} for v in violations]
    return ApiError(
        422,
        f'ListOptions.meta.k8s.io "" is invalid: {text}',
        details={"group": "meta.k8s.io", "kind": "ListOptions", "causes": causes},
    )


def expired_watch(version: int, oldest: int) -> ApiError:
    """Return the 410 for a watch from a version whose successors have been forgotten."""
    return ApiError(410, f"too old resource version: {version} ({oldest})")


def version_ahead(version: int, current: int, *, retry: bool = True) -> ApiError:
    """Return the 504 for a resourceVersion that this server has not reached."""
    details: dict[str, Any] = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    }
    message = f"Timeout: Too large resource version: {version}, current: {current}"
    if not retry:
        return ApiError(504, message, details=details)
    return ApiError(504, message, details={**details, "retryAfterSeconds": 1}, retry_after_seconds=1)
