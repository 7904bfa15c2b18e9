"""Reads Calico's selector language: `has(tier) && role in {'db', "cache"} || !(env == 'dev')`.

Source: the grammar of Calico's `libcalico-go/lib/selector` (docs/platform.md 5.7). As there, only blanks and tabs
separate words, `||` binds weakest, a string can't contain its own quote, and an empty text selects everything.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

from migration.policies.reading import Unreadable
from migration.policies.selectors import All, Compared, Global, Has, In, Not, Selector, every, some

DEEPEST: Final = 50
"""How many parentheses may lie in each other: none that people write, and far below Python's own limit."""

_LABEL: Final = r"[a-zA-Z0-9_./-]{1,512}"
_CALL: Final = re.compile(rf"[ \t]*(?:(all|global)\([ \t]*\)|has\([ \t]*({_LABEL})[ \t]*\))")
_KEY: Final = re.compile(rf"[ \t]*({_LABEL})")
_OPERATOR: Final = re.compile(r"[ \t]*(==|!=|contains|starts[ \t]*with|ends[ \t]*with|not[ \t]*in|in)")
_STRING: Final = re.compile(r"""[ \t]*(?:"([^"]*)"|'([^']*)')""")
_NOT: Final = re.compile(r"[ \t]*!(?!=)")
_END: Final = re.compile(r"[ \t]*\Z")
_OPERATORS: Final = {"starts": "starts with", "ends": "ends with"}


class NoSelector(Unreadable):
    """A text isn't in Calico's selector language; the message says where it goes wrong."""


def parse(text: str) -> Selector:
    """Return the selector that a text stands for. Raises NoSelector, and nothing else."""
    return All() if _END.match(text) else _Reader(text).read()


class _Reader:
    """One text and how far it is read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> Selector:
        found = self._alternatives()
        if not self._take(_END):
            raise self._wrong("an operator or the end")
        return found

    def _alternatives(self) -> Selector:
        operands = [self._conjunction()]
        while self._sign("||"):
            operands.append(self._conjunction())
        return some(tuple(operands))

    def _conjunction(self) -> Selector:
        operands = [self._operation()]
        while self._sign("&&"):
            operands.append(self._operation())
        return operands[0] if len(operands) == 1 else every(tuple(operands))

    def _operation(self) -> Selector:
        negated = False
        while self._take(_NOT):
            negated = not negated
        found = self._parenthesised() if self._sign("(") else self._term()
        return Not(found) if negated else found

    def _parenthesised(self) -> Selector:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong(f"at most {DEEPEST} parentheses in each other")
        found = self._alternatives()
        if not self._sign(")"):
            raise self._wrong("`)`")
        self._depth -= 1
        return found

    def _term(self) -> Selector:
        if call := self._take(_CALL):
            if call[2]:
                return Has(call[2])
            return All() if call[1] == "all" else Global()
        key = self._take(_KEY)
        if key is None:
            raise self._wrong("a label or `(`")
        operator = self._take(_OPERATOR)
        if operator is None:
            raise self._wrong("an operator such as == or in")
        return self._compared(key[1], operator[1])

    def _compared(self, key: str, operator: str) -> Selector:
        if operator == "in" or operator.startswith("not"):
            return In(key, self._set(), negated=operator != "in")
        word = next((word for start, word in _OPERATORS.items() if operator.startswith(start)), operator)
        value = self._string()
        if value is None:
            raise self._wrong("a string in quotes")
        # The pattern of operators has no other words than the type.
        return Compared(key, cast("Any", word), value)

    def _set(self) -> tuple[str, ...]:
        if not self._sign("{"):
            raise self._wrong("`{`")
        values: list[str] = []
        while (value := self._string()) is not None:
            values.append(value)
            if not self._sign(","):
                break
        if not self._sign("}"):
            raise self._wrong("`}`")
        return tuple(values)

    def _string(self) -> str | None:
        found = self._take(_STRING)
        return None if found is None else found[1] if found[1] is not None else found[2]

    def _sign(self, sign: str) -> bool:
        return self._take(re.compile(rf"[ \t]*{re.escape(sign)}")) is not None

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _wrong(self, wanted: str) -> NoSelector:
        return NoSelector(f"the selector has at character {self._at + 1} not {wanted}")
