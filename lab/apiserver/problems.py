"""The refusals of a Kubernetes API server, worded as kube-apiserver words them. Refuses to decide when one is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
        return Violation("FieldValueInvalid", field, f"Invalid value: {_shown(value)}: {detail}")

    @staticmethod
    def unsupported(field: str, value: object, supported: Sequence[object]) -> Violation:
        """Tell that a value is none of an enumeration's."""
        listed = ", ".join(_shown(item) for item in supported)
        return Violation(
            "FieldValueNotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {listed}"
        )

    @staticmethod
    def forbidden(field: str, detail: str) -> Violation:
        """Tell that a field may not be set."""
        return Violation("FieldValueForbidden", field, f"Forbidden: {detail}")

    @staticmethod
    def wrong_type(field: str, value: object, detail: str) -> Violation:
        """Tell that a value has another JSON type than the schema's."""
        return Violation("FieldValueTypeInvalid", field, f"Invalid value: {_shown(value)}: {detail}")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
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


def already_exists(resource: Resource, name: str) -> ApiError:
    """Return the 409 for a name that is taken."""
    message = f'{resource.group_resource} "{name}" already exists'
    return ApiError(409, message, reason="AlreadyExists", details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    """Return the 409 for a stale resourceVersion, or for another precondition with `why`."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}'
    return ApiError(409, message, details=_details(resource, name))


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


def expired_list(*, continued: bool) -> ApiError:
    """Return the 410 for a list at a version, or after a token, that is no longer known."""
    if continued:
        return ApiError(
            410,
            "The provided continue parameter is too old to display a consistent list result. "
            "You must start a new list without the continue parameter.",
        )
    return ApiError(410, "The resourceVersion for the provided list is too old.")


def expired_watch(version: int, oldest: int) -> ApiError:
    """Return the 410 for a watch from a version whose successors have been forgotten."""
    return ApiError(410, f"too old resource version: {version} ({oldest})")


def version_ahead(version: int, current: int) -> ApiError:
    """Return the 504 for a resourceVersion that this server has not reached."""
    return ApiError(
        504,
        f"Too large resource version: {version}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
        retry_after_seconds=1,
    )
