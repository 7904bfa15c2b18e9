"""Selectors over labels, as a tree that every kind of policy is read into.

Source of what each node means: Calico `libcalico-go/lib/selector/parser/ast.go` (docs/platform.md 5.7); Kubernetes'
label selectors need no node beyond these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Labels = Mapping[str, str]

# Calico gives every pod this label, so that its absence means an object without a namespace.
NAMESPACE_LABEL: Final = "projectcalico.org/namespace"


class Selector(ABC):
    """Something that labels match or don't. Its text is Calico's selector language."""

    @abstractmethod
    def matches(self, labels: Labels) -> bool:
        """Tell whether something with these labels is selected."""

    def label_keys(self) -> frozenset[str]:
        """Return the labels that decide."""
        return frozenset()


@dataclass(frozen=True)
class All(Selector):
    """Selects everything."""

    def matches(self, labels: Labels) -> bool:  # noqa: ARG002
        """Tell that it is selected."""
        return True

    def __str__(self) -> str:
        return "all()"


@dataclass(frozen=True)
class Nothing(Selector):
    """Selects nothing; no language has a word for it."""

    def matches(self, labels: Labels) -> bool:  # noqa: ARG002
        """Tell that it isn't selected."""
        return False

    def __str__(self) -> str:
        return "!all()"


@dataclass(frozen=True)
class Global(Selector):
    """Selects what has no namespace."""

    def matches(self, labels: Labels) -> bool:
        """Tell whether it has no namespace."""
        return NAMESPACE_LABEL not in labels

    def __str__(self) -> str:
        return "global()"


@dataclass(frozen=True)
class Has(Selector):
    """Selects what has a label."""

    key: str

    def matches(self, labels: Labels) -> bool:
        """Tell whether the label is there."""
        return self.key in labels

    def label_keys(self) -> frozenset[str]:
        """Return the one label."""
        return frozenset({self.key})

    def __str__(self) -> str:
        return f"has({self.key})"


@dataclass(frozen=True)
class In(Selector):
    """Selects what has a label with one of these values, or (negated) all others: also what lacks the label."""

    key: str
    values: tuple[str, ...]
    negated: bool = False

    def matches(self, labels: Labels) -> bool:
        """Tell whether the label's value decides for it."""
        return (labels.get(self.key) in self.values) is not self.negated

    def label_keys(self) -> frozenset[str]:
        """Return the one label."""
        return frozenset({self.key})

    def __str__(self) -> str:
        words = "not in" if self.negated else "in"
        return f"{self.key} {words} {{{', '.join(map(_quoted, self.values))}}}"


@dataclass(frozen=True)
class Compared(Selector):
    """Selects by one value of a label; `!=` also what lacks the label."""

    key: str
    operator: Literal["==", "!=", "contains", "starts with", "ends with"]
    value: str

    def matches(self, labels: Labels) -> bool:
        """Tell whether the label's value compares so."""
        found = labels.get(self.key)
        if self.operator == "==":
            return found == self.value
        if self.operator == "!=":
            return found != self.value
        if found is None:
            return False
        if self.operator == "contains":
            return self.value in found
        return found.startswith(self.value) if self.operator == "starts with" else found.endswith(self.value)

    def label_keys(self) -> frozenset[str]:
        """Return the one label."""
        return frozenset({self.key})

    def __str__(self) -> str:
        return f"{self.key} {self.operator} {_quoted(self.value)}"


@dataclass(frozen=True)
class Not(Selector):
    """Selects what another doesn't."""

    operand: Selector

    def matches(self, labels: Labels) -> bool:
        """Tell whether the operand doesn't match."""
        return not self.operand.matches(labels)

    def label_keys(self) -> frozenset[str]:
        """Return the operand's labels."""
        return self.operand.label_keys()

    def __str__(self) -> str:
        return f"!{self.operand}"


@dataclass(frozen=True)
class Every(Selector):
    """Selects what all operands select."""

    operands: tuple[Selector, ...]

    def matches(self, labels: Labels) -> bool:
        """Tell whether all match."""
        return all(operand.matches(labels) for operand in self.operands)

    def label_keys(self) -> frozenset[str]:
        """Return the labels of all operands."""
        return frozenset[str]().union(*(operand.label_keys() for operand in self.operands))

    def __str__(self) -> str:
        return f"({' && '.join(map(str, self.operands))})"


@dataclass(frozen=True)
class Some(Selector):
    """Selects what any operand selects."""

    operands: tuple[Selector, ...]

    def matches(self, labels: Labels) -> bool:
        """Tell whether one matches."""
        return any(operand.matches(labels) for operand in self.operands)

    def label_keys(self) -> frozenset[str]:
        """Return the labels of all operands."""
        return frozenset[str]().union(*(operand.label_keys() for operand in self.operands))

    def __str__(self) -> str:
        return f"({' || '.join(map(str, self.operands))})"


def every(operands: tuple[Selector, ...]) -> Selector:
    """Return what selects as all of these together; everything if there are none."""
    needed = tuple(operand for operand in operands if not isinstance(operand, All))
    if not needed:
        return All()
    return needed[0] if len(needed) == 1 else Every(needed)


def some(operands: tuple[Selector, ...]) -> Selector:
    """Return what selects as any of these does; nothing if there are none."""
    if not operands:
        return Nothing()
    return operands[0] if len(operands) == 1 else Some(operands)


def _quoted(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'
