"""What a manifest names: the kind, namespace and name of each of its objects, and nothing else of it.

The text may come from anywhere. So nothing is constructed from it: it is composed into nodes, within bounds, and only
the fields that tell which object is meant are looked at. Refuses to quote the text: it may hold Secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from migration.errors import InvalidRequest

LONGEST_TEXT: Final = 5 * 1024 * 1024
MOST_OBJECTS: Final = 2000
MOST_ALIASES: Final = 100
MOST_VALUES: Final = 300_000
"""Scalars, and beginnings and ends of collections; canal.yaml of Calico 3.31, with 350 kB, stays far below."""
DEEPEST: Final = 100
"""Levels of nesting; the schemas in Calico's definitions, the deepest of what is to be read here, have less than 40."""
DEEPEST_LIST: Final = 3

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_NULL_TAG: Final = "tag:yaml.org,2002:null"
_TEMPLATE: Final = "{{"
# Kubernetes v1.35, staging/src/k8s.io/apimachinery/pkg/api/validation/path: RBAC's names are the most liberal ones.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9:._-]{0,251}[A-Za-z0-9])?")
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_API_VERSION: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?/)?v[0-9][a-z0-9]{0,30}")


@dataclass(frozen=True)
class Manifested:
    """An object that a manifest names; without a namespace if it says none."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        """Its API group, empty for the core's."""
        return self.api_version.rpartition("/")[0]

    @property
    def is_workload(self) -> bool:
        """Whether it is a DaemonSet or Deployment, as agents and operators are."""
        return self.kind in ("DaemonSet", "Deployment")

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class _Document:
    """One of a manifest's documents, for what is to be said of it."""

    source: str
    number: int
    lines: tuple[str, ...]

    def wrong(self, line: int | None, what: str, advice: str) -> InvalidRequest:
        """Return the error for a line (counted from 0), or for one that is a template."""
        if line is not None and line < len(self.lines) and _TEMPLATE in self.lines[line]:
            what, advice = "this is a template", "Render it first, for example with `helm template`"
        place = f", line {line + 1}" if line is not None else ""
        return InvalidRequest(f"manifest {self.source}, document {self.number}{place}: {what}. {advice}")


def parse_manifest(text: str, *, source: str) -> tuple[Manifested, ...]:
    """Return what a manifest of one or more YAML or JSON documents names, Lists unfolded, each object once.

    `source` is how messages call it. Raises InvalidRequest with document and line for whatever can't be acted on.
    """
    if len(text) > LONGEST_TEXT:
        raise InvalidRequest(f"manifest {source} is longer than {LONGEST_TEXT >> 20} MiB: name one of the CNI alone")
    if text.lstrip()[:1] == "<":
        raise InvalidRequest(f"manifest {source} is a web page and no manifest: name the address of the raw file")
    lines = tuple(text.split("\n"))
    found: dict[Manifested, None] = {}
    for number, root in enumerate(_composed(text, source, lines), start=1):
        document = _Document(source, number, lines)
        for item in _objects(document, root, depth=0):
            found[item] = None
            if len(found) > MOST_OBJECTS:
                raise document.wrong(None, f"more than {MOST_OBJECTS} objects", "Name a manifest of the CNI alone")
    if not found:
        raise InvalidRequest(f"manifest {source} names no object: check that it is the right one")
    return tuple(found)


def _composed(text: str, source: str, lines: tuple[str, ...]) -> list[yaml.Node]:
    """Return the documents. Raises InvalidRequest unless the text is YAML that can be composed without harm."""
    number = aliases = depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
            number += isinstance(event, yaml.DocumentStartEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if number > MOST_OBJECTS or aliases > MOST_ALIASES or depth > DEEPEST or count > MOST_VALUES:
                what = (
                    f"more than {MOST_OBJECTS} documents, {MOST_ALIASES} aliases, {DEEPEST} levels of nesting or "
                    f"{MOST_VALUES} values"
                )
                raise _Document(source, number, lines).wrong(None, what, "No manifest of a CNI has that: check it")
        # This finds what events don't show: aliases of nothing, and anchors given twice.
        return list(yaml.compose_all(text, Loader=_LOADER))
    except (yaml.YAMLError, ValueError) as error:
        # The parser's message may quote the text.
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        document = _Document(source, max(number, 1), lines)
        line = None if mark is None else mark.line
        raise document.wrong(line, "this is not valid YAML", "Correct it, or get it again") from None


def _objects(document: _Document, node: yaml.Node, *, depth: int) -> Iterator[Manifested]:
    if node.tag == _NULL_TAG:
        return
    line = node.start_mark.line
    if not isinstance(node, yaml.MappingNode):
        raise document.wrong(line, "this is no object", "Each document has to be a Kubernetes object or a List")
    fields = _fields(document, node)
    kind = _text(document, fields, "kind", line, _KIND)
    api_version = _text(document, fields, "apiVersion", line, _API_VERSION)
    items = fields.get("items")
    if not kind.endswith("List") or items is None:
        yield Manifested(api_version, kind, *_place(document, fields, kind, line))
        return
    if not isinstance(items, yaml.SequenceNode) or depth >= DEEPEST_LIST:
        raise document.wrong(line, "the items of this List are no objects", "Name a manifest with plain objects")
    for item in items.value:
        yield from _objects(document, item, depth=depth + 1)


def _place(document: _Document, fields: dict[str, yaml.Node], kind: str, line: int) -> tuple[str, str]:
    """Return namespace and name of an object."""
    metadata = fields.get("metadata")
    if not isinstance(metadata, yaml.MappingNode):
        raise document.wrong(line, f"this {kind} has no metadata", "Every object needs a name to be found by")
    inner, line = _fields(document, metadata), metadata.start_mark.line
    if "name" not in inner and "generateName" in inner:
        advice = "Its name is only known to the server: take it out of the manifest, and remove the object by hand"
        raise document.wrong(line, f"this {kind} has a generateName", advice)
    namespace = inner.get("namespace")
    unsaid = namespace is None or namespace.tag == _NULL_TAG or namespace.value == ""
    return "" if unsaid else _text(document, inner, "namespace", line, _NAMESPACE), _text(
        document, inner, "name", line, _NAME
    )


def _fields(document: _Document, node: yaml.MappingNode) -> dict[str, yaml.Node]:
    """Return a mapping's values by their keys. Raises InvalidRequest if they can be read in two ways."""
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        line = key.start_mark.line
        if not isinstance(key, yaml.ScalarNode):
            raise document.wrong(line, "a key here is no word", "Correct the manifest")
        if key.value in found or key.value == "<<":
            what = "a key stands here twice, or by reference"
            raise document.wrong(line, what, "Write it out, once, so that it is clear which object is meant")
        found[key.value] = value
    return found


def _text(document: _Document, fields: dict[str, yaml.Node], key: str, line: int, pattern: re.Pattern[str]) -> str:
    node = fields.get(key)
    if node is None or node.tag == _NULL_TAG:
        raise document.wrong(line, f"there is no {key}", "Every object needs apiVersion, kind and metadata.name")
    line = node.start_mark.line
    if not isinstance(node, yaml.ScalarNode) or node.tag != _TEXT_TAG or not pattern.fullmatch(node.value):
        raise document.wrong(line, f"this is no usable {key}", "Correct the manifest, or render it if it is a template")
    return str(node.value)
