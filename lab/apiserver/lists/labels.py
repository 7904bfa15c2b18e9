"""Label selectors in string form, as `app in (web, db),!tier`. Refuses what kube-apiserver refuses, in its words.

Source: k8s.io/apimachinery v0.35, pkg/labels/selector.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from lab.apiserver.problems import bad_request
from lab.objects import Object

Predicate = Callable[[Object], bool]

_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+|$)")
_SYMBOLS = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">", ""})
_OPERATORS = frozenset({"in", "notin", "=", "==", "!=", ">", "<"})
_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_BAD_KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_BAD_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@lru_cache(maxsize=1024)
def label_predicates(selector: str) -> tuple[Predicate, ...]:
    """Return one predicate per requirement of a label selector; raises the 400."""
    tokens = _Tokens(selector)
    found: list[Predicate] = []
    while tokens.ahead:
        if tokens.ahead in _SYMBOLS and tokens.ahead != "!":
            raise bad_request(f"found '{tokens.ahead}', expected: !, identifier, or 'end of string'")
        try:
            found.append(_requirement(tokens))
        except ValueError as error:
            raise bad_request(f"unable to parse requirement: {error}") from error
        end = tokens.take()
        if end not in (",", ""):
            raise bad_request(f"found '{end}', expected: ',' or 'end of string'")
        if end and tokens.ahead in _SYMBOLS and tokens.ahead != "!":
            raise bad_request(f"found '{tokens.ahead}', expected: identifier after ','")
    return tuple(found)


class _Tokens:
    """Reads a selector token by token; the empty one is its end."""

    def __init__(self, selector: str) -> None:
        self._left = iter([match[1] for match in _TOKEN.finditer(selector)])
        self.ahead = next(self._left, "")

    def take(self) -> str:
        """Return the token ahead and go on."""
        taken, self.ahead = self.ahead, next(self._left, "")
        return taken


def _requirement(tokens: _Tokens) -> Predicate:
    negated = tokens.ahead == "!"
    if negated:
        tokens.take()
    key = tokens.take()
    if key in _SYMBOLS:
        raise ValueError(f"found '{key}', expected: identifier")
    _check_key(key)
    if negated:
        return lambda found: key not in (found["metadata"].get("labels") or ())
    if tokens.ahead in (",", ""):
        return lambda found: key in (found["metadata"].get("labels") or ())
    operator = tokens.take()
    if operator not in _OPERATORS:
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
    values = _listed(tokens) if operator in ("in", "notin") else [_single(tokens)]
    _check_values(key, operator, sorted(set(values)))
    if operator in (">", "<"):
        return _compared(key, int(values[0]), greater=operator == ">")
    return _in_values(key, frozenset(values), negated=operator in ("!=", "notin"))


def _single(tokens: _Tokens) -> str:
    if tokens.ahead in (",", ""):
        return ""
    value = tokens.take()
    if value in _SYMBOLS:
        raise ValueError(f"found '{value}', expected: identifier")
    return value


def _listed(tokens: _Tokens) -> list[str]:
    opened = tokens.take()
    if opened != "(":
        raise ValueError(f"found '{opened}' expected: '('")
    if tokens.ahead in _SYMBOLS and tokens.ahead not in (",", ")"):
        raise ValueError(f"found '{tokens.ahead}', expected: ',', ')' or identifier")
    values = []
    while True:
        values.append("" if tokens.ahead in (",", ")") else tokens.take())
        if tokens.ahead not in (",", ")"):
            raise ValueError(f"found '{tokens.ahead}', expected: ',' or ')'")
        if tokens.take() == ")":
            return values


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if (slash and not _PREFIX.fullmatch(prefix)) or not _PART.fullmatch(name):
        raise ValueError(f'<nil>: Invalid value: "{key}": {_BAD_KEY}')


def _check_values(key: str, operator: str, values: list[str]) -> None:
    for i, value in enumerate(values):
        if operator in (">", "<") and not re.fullmatch(r"[+-]?[0-9]+", value):
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise ValueError(f'values[{i}]: Invalid value: "{value}": {why}')
        if value and not _PART.fullmatch(value):
            raise ValueError(f'values[{i}][{key}]: Invalid value: "{value}": {_BAD_VALUE}')


def _in_values(key: str, values: frozenset[str], *, negated: bool) -> Predicate:
    if negated:
        return lambda found: (found["metadata"].get("labels") or {}).get(key) not in values
    return lambda found: (found["metadata"].get("labels") or {}).get(key) in values


def _compared(key: str, bound: int, *, greater: bool) -> Predicate:
    def holds(found: Object) -> bool:
        text = (found["metadata"].get("labels") or {}).get(key, "")
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            return False
        return int(text) > bound if greater else int(text) < bound

    return holds
