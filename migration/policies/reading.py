"""Narrows the raw JSON of a policy field by field. What doesn't have the form that it must have is `Unreadable`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Unreadable(ValueError):
    """A policy isn't what its kind should be; the message names the field. It never leaves this package."""


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return an object; an absent one is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise Unreadable(f"{where} is no object")
    return value


def entries(value: Any, where: str) -> tuple[Any, ...]:
    """Return the items of a list; an absent one is empty."""
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise Unreadable(f"{where} is no list")
    return tuple(value)


def mappings(value: Any, where: str) -> tuple[Mapping[str, Any], ...]:
    """Return a list of objects; an absent one is empty, and so is an item that is null."""
    return tuple(mapping(entry, where) for entry in entries(value, where))


def text(value: Any, where: str) -> str:
    """Return a string; an absent one is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f"{where} is no string")
    return value


def texts(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of strings; an absent one is empty."""
    return tuple(text(entry, where) for entry in entries(value, where))


def flag(value: Any, where: str, *, default: bool) -> bool:
    """Return a boolean."""
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Unreadable(f"{where} is neither true nor false")
    return value


def string_map(value: Any, where: str) -> Mapping[str, str]:
    """Return an object whose values are all strings."""
    found = mapping(value, where)
    if not all(isinstance(entry, str) for entry in found.values()):
        raise Unreadable(f"{where} has a value that is no string")
    return found
