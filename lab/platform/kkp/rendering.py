"""Manifests from the package's data files, filled in for one cluster. Refuses to apply them.

Two conventions of the data files: a mapping with a key `when` is left out unless that condition holds, and `${name}` is
replaced, by a value of any type where it is all of a string. An item whose value is `OMIT` is left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from lab.objects import Object
from lab.resources import BUILT_IN, Resource


class _Omit:
    """Stands for an item that is left out of its list or mapping."""


OMIT: Final = _Omit()

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where PyYAML comes with libyaml."""

_TOKEN = re.compile(r"\$\{(\w+)\}")
_RESOURCES: Final = {(resource.api_version, resource.kind): resource for resource in BUILT_IN}


def resource_of(found: Object) -> Resource:
    """Return the built-in resource of an object by its type."""
    return _RESOURCES[found["apiVersion"], found["kind"]]


@cache
def documents(name: str) -> tuple[Any, ...]:
    """Return the documents of a data file. They are shared: `render` copies, nobody else changes them."""
    text = (resources.files("lab.platform.kkp") / "manifests" / f"{name}.yaml").read_text(encoding="utf-8")
    return tuple(document for document in yaml.load_all(text, _LOADER) if document is not None)


def render(name: str, values: Mapping[str, Any], conditions: Collection[str] = ()) -> list[Any]:
    """Return a file's documents with the values filled in, those left out whose condition does not hold."""
    filled = (_fill(document, values, conditions) for document in documents(name))
    return [document for document in filled if document is not OMIT]


def _fill(value: Any, values: Mapping[str, Any], conditions: Collection[str]) -> Any:
    if isinstance(value, str):
        return _fill_text(value, values)
    if isinstance(value, dict):
        if "when" in value and value["when"] not in conditions:
            return OMIT
        filled = {key: _fill(item, values, conditions) for key, item in value.items() if key != "when"}
        return {key: item for key, item in filled.items() if item is not OMIT}
    if isinstance(value, list):
        return [item for part in value if (item := _fill(part, values, conditions)) is not OMIT]
    return value


def _fill_text(text: str, values: Mapping[str, Any]) -> Any:
    whole = _TOKEN.fullmatch(text)
    return values[whole[1]] if whole else _TOKEN.sub(lambda found: str(values[found[1]]), text)
