"""How a write is meant, by its query: CreateOptions, UpdateOptions and PatchOptions of meta.k8s.io/v1.

Follows apimachinery's pkg/apis/meta/v1/validation of Kubernetes v1.35. Refuses to read bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.apiserver.patches.merge import APPLY_PATCH
from lab.apiserver.problems import Violation, invalid
from lab.resources import Resource

LONGEST_MANAGER = 128
VALIDATIONS = ("", "Ignore", "Strict", "Warn")

_KINDS = {
    "create": "CreateOptions",
    "update": "UpdateOptions",
    "patch": "PatchOptions",
    "delete": "DeleteOptions",
    "deletecollection": "DeleteOptions",
}


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How one write is meant. `manager` is who owns what it changes."""

    manager: str = ""
    validation: str = "Warn"
    force: bool = False
    dry_run: bool = False


def options_of(verb: str, query: Mapping[str, str], *, user_agent: str, patch: str) -> WriteOptions:
    """Return the options of a request, `patch` being the media type of its body; 422 for one that makes no sense."""
    if verb not in _KINDS:
        return WriteOptions()
    is_apply = verb == "patch" and patch == APPLY_PATCH
    manager, validation = query.get("fieldManager", ""), query.get("fieldValidation", "")
    dry_run = query.get("dryRun", "")
    found: list[Violation] = []
    if verb == "patch" and not is_apply and _is_true(query.get("force")):
        found.append(Violation.forbidden("force", "may not be specified for non-apply patch"))
    if is_apply and not manager:
        found.append(Violation.required("fieldManager", "is required for apply patch"))
    if len(manager.encode()) > LONGEST_MANAGER:
        found.append(Violation.too_long("fieldManager", LONGEST_MANAGER))
    if dry_run not in ("", "All"):
        found.append(Violation("FieldValueNotSupported", "dryRun", _unsupported(f'["{dry_run}"]', ("All",))))
    if validation not in VALIDATIONS:
        found.append(Violation.unsupported("fieldValidation", validation, VALIDATIONS))
    if found:
        raise invalid(Resource(group="meta.k8s.io", plural="", kind=_KINDS[verb]), "", found)
    return WriteOptions(
        manager=manager or user_agent.partition("/")[0][:LONGEST_MANAGER],
        validation=validation or "Warn",
        force=_is_true(query.get("force")),
        dry_run=bool(dry_run),
    )


def _unsupported(shown: str, supported: tuple[str, ...]) -> str:
    return (
        f"Unsupported value: {shown}: supported values: {', '.join(f'{chr(34)}{item}{chr(34)}' for item in supported)}"
    )


def _is_true(text: str | None) -> bool:
    """Tell whether a flag is set: to anything but a way of saying no (apimachinery, Convert_Slice_string_To_bool)."""
    return text is not None and text.lower() not in ("false", "0")
