"""Violations worded as Kubernetes' field errors (apimachinery util/validation/field). Refuses to find any."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence


def required(path: str, detail: str) -> str:
    """Return the text for a value that is missing."""
    return f"{path}: Required value: {detail}"


def forbidden(path: str, detail: str) -> str:
    """Return the text for a change that is not allowed."""
    return f"{path}: Forbidden: {detail}"


def invalid(path: str, value: object, detail: str) -> str:
    """Return the text for a value that breaks a rule."""
    return f"{path}: Invalid value: {json.dumps(value, separators=(',', ':'))}: {detail}"


def not_supported(path: str, value: object, supported: Sequence[str]) -> str:
    """Return the text for a value outside a closed set."""
    listed = ", ".join(json.dumps(item) for item in supported)
    return f"{path}: Unsupported value: {json.dumps(value)}: supported values: {listed}"


def not_found(path: str, value: object) -> str:
    """Return the text for a reference to something that does not exist."""
    return f"{path}: Not found: {json.dumps(value)}"


def immutable(path: str, new: object, old: object) -> list[str]:
    """Return a violation if a value that may not change did."""
    return [] if new == old else [invalid(path, new, "field is immutable")]


def aggregate(violations: Iterable[str]) -> str:
    """Return one message for all violations, as ErrorList.ToAggregate words it: repeated ones once, several in []."""
    distinct = list(dict.fromkeys(violations))
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"
