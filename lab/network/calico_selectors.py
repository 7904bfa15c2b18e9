"""Calico's selector expressions. Pure; refuses what it does not know, so that nothing is selected by mistake.

https://docs.tigera.io/calico/latest/reference/resources/networkpolicy#selectors
"""

from __future__ import annotations

import re
from collections.abc import Callable

Labels = Callable[[str], str | None]
"""Label key to its value, None when it is absent."""
Selector = Callable[[Labels], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<symbol>&&|\|\||==|!=|[!(){},])|(?P<text>'[^']*'|\"[^\"]*\")|(?P<word>[\w./\-]+))", re.ASCII
)


class UnknownSelector(ValueError):
    """An expression that is not understood."""


def parsed(expression: str) -> Selector:
    """Return the selector of an expression; an empty one selects everything. Raises UnknownSelector."""
    return _Parser(expression).whole() if expression.strip() else lambda _labels: True


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = _tokens(expression)
        self._at = 0

    def whole(self) -> Selector:
        selector = self._either()
        if self._at != len(self._tokens):
            raise self._trouble()
        return selector

    def _either(self) -> Selector:
        parts = [self._both()]
        while self._take("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda labels: any(part(labels) for part in parts)

    def _both(self) -> Selector:
        parts = [self._one()]
        while self._take("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda labels: all(part(labels) for part in parts)

    def _one(self) -> Selector:
        if self._take("!"):
            inner = self._one()
            return lambda labels: not inner(labels)
        if self._take("("):
            inner = self._either()
            self._expect(")")
            return inner
        return self._test(self._word())

    def _test(self, word: str) -> Selector:
        if word in ("all", "global", "has") and self._take("("):
            key = self._word() if word == "has" else ""
            self._expect(")")
            return _FUNCTIONS[word](key)
        return self._comparison(word)

    def _comparison(self, key: str) -> Selector:
        if self._take("=="):
            value = self._text()
            return lambda labels: labels(key) == value
        if self._take("!="):
            value = self._text()
            return lambda labels: labels(key) != value
        negated = self._take("not")
        self._expect("in")
        values = self._set()
        return lambda labels: (labels(key) in values) is not negated

    def _set(self) -> frozenset[str | None]:
        self._expect("{")
        values: set[str | None] = set()
        while not self._take("}"):
            values.add(self._text())
            self._take(",")
        return frozenset(values)

    def _take(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._trouble()

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise self._trouble()
        self._at += 1
        return self._tokens[self._at - 1]

    def _word(self) -> str:
        word = self._next()
        if not re.fullmatch(r"[\w./\-]+", word, re.ASCII):
            raise self._trouble()
        return word

    def _text(self) -> str:
        text = self._next()
        if text[0] not in "'\"":
            raise self._trouble()
        return text[1:-1]

    def _trouble(self) -> UnknownSelector:
        return UnknownSelector(f"the selector {self._expression!r} is not understood")


_FUNCTIONS: dict[str, Callable[[str], Selector]] = {
    "all": lambda _key: lambda _labels: True,
    "global": lambda _key: lambda labels: labels("projectcalico.org/namespace") is None,
    "has": lambda key: lambda labels: labels(key) is not None,
}


def _tokens(expression: str) -> list[str]:
    tokens, at = [], 0
    expression = expression.rstrip()
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise UnknownSelector(f"the selector {expression!r} is not understood")
        tokens.append(found.group("symbol") or found.group("text") or found.group("word"))
        at = found.end()
    return tokens
