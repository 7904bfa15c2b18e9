"""Label selectors as `kubectl get -l` takes them (Kubernetes, apimachinery/pkg/labels/selector.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

_KEY: Final = r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_VALUE: Final = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_SET: Final = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)\Z")
_EQUALITY: Final = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})\Z")
_EXISTENCE: Final = re.compile(rf"(!?)\s*({_KEY})\Z")
_PART: Final = re.compile(r"(?:[^,()]|\([^()]*\))+")


class Requirement(NamedTuple):
    """One condition: whether a label's value is one of these; without values, whether the label is there."""

    key: str
    values: frozenset[str] | None
    holds: bool
    """False for its opposite, which an absent label fulfils as well."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether these labels fulfil it."""
        found = labels.get(self.key)
        has = found is not None and (self.values is None or found in self.values)
        return has is self.holds


Selector = Callable[[Mapping[str, str]], bool]


def parse_selector(text: str) -> Selector:
    """Return the predicate that a selector is; an empty one holds of everything. Raises ValueError, saying where."""
    requirements = [_requirement(part) for part in _parts(text)]
    return lambda labels: all(requirement.matches(labels) for requirement in requirements)


def _parts(text: str) -> list[str]:
    if not text.strip():
        return []
    parts = _PART.findall(text)
    if ",".join(parts) != text:
        raise ValueError(f"the label selector {text!r} has an empty condition, or brackets that don't match")
    return [part.strip() for part in parts]


def _requirement(part: str) -> Requirement:
    if match := _SET.match(part):
        key, operator, listed = match.groups()
        values = frozenset(value.strip() for value in listed.split(","))
        if all(re.fullmatch(_VALUE, value) for value in values):
            return Requirement(key, values, operator == "in")
    elif match := _EQUALITY.match(part):
        key, operator, value = match.groups()
        return Requirement(key, frozenset({value}), operator != "!=")
    elif match := _EXISTENCE.match(part):
        return Requirement(match.group(2), None, not match.group(1))
    raise ValueError(
        f"{part!r} is no condition of a label selector: those are key=value, key!=value, key in (a, b), "
        "key notin (a, b), key and !key"
    )
