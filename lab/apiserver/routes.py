"""Reads what a request's path and method mean. Refuses to look at bodies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from lab.apiserver.problems import bad_request

_SUBRESOURCES_OF_NAMESPACES = frozenset({"status", "finalize"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_FALSE = frozenset({"0", "false"})
"""All other values count as true (k8s.io/apimachinery v0.35, pkg/runtime/conversion.go)."""


@dataclass(frozen=True, slots=True)
class Route:
    """The resource, and perhaps the object and subresource, that a path names."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def group_resource(self) -> str:
        """`plural.group`, with `/subresource` if there is one."""
        base = f"{self.plural}.{self.group}" if self.group else self.plural
        return f"{base}/{self.subresource}" if self.subresource else base


def route_of(path: str) -> Route | None:
    """Return what a path names, None for one that is not a resource's."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        return _within("", parts[1], parts[2:])
    if parts[0] == "apis" and len(parts) > 3:
        return _within(parts[1], parts[2], parts[3:])
    return None


def _within(group: str, version: str, rest: list[str]) -> Route | None:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (not group and rest[2] in _SUBRESOURCES_OF_NAMESPACES):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    return Route(group, version, rest[0], namespace, name, subresource)


def verb_of(method: str, route: Route, query: dict[str, str]) -> str:
    """Return the verb as audit logs and RBAC rules name it; empty for a method that no resource takes."""
    if method == "GET":
        if route.name:
            return "get"
        return "watch" if is_set(query, "watch") else "list"
    if method == "DELETE":
        return "delete" if route.name else "deletecollection"
    return _VERBS.get(method, "")


def name_selected(query: dict[str, str]) -> str:
    """Return the one name that a field selector lets through, empty if it is none or several."""
    terms = (term.strip() for term in query.get("fieldSelector", "").split(","))
    found = (term.partition("=")[2].lstrip("=") for term in terms if term.startswith("metadata.name="))
    return next(found, "")


def query_of(query_string: bytes) -> dict[str, str]:
    """Return the query's parameters, the first of each name."""
    if not query_string:
        return {}
    return dict(reversed(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)))


def number_in(query: dict[str, str], name: str) -> int | None:
    """Return a parameter that is an int64, None if it is not there; 400 for anything else, in Go's words."""
    text = query.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if not -(1 << 63) <= int(text) < 1 << 63:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def is_set(query: dict[str, str], name: str) -> bool:
    """Tell whether a boolean parameter is true."""
    return name in query and query[name] not in _FALSE
