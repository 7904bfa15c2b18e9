"""Reads what a request's path and method mean. Refuses to look at bodies."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from lab.apiserver.problems import bad_request

_SUBRESOURCES_OF_NAMESPACES = frozenset({"status", "finalize"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_TRUE = frozenset({"1", "true", "True", "TRUE", "t", "T"})


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
        if is_set(query, "watch"):
            return "watch"
        return "get" if route.name else "list"
    if method == "DELETE":
        return "delete" if route.name else "deletecollection"
    return _VERBS.get(method, "")


def query_of(query_string: bytes) -> dict[str, str]:
    """Return the query's parameters, the last of each name."""
    return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)) if query_string else {}


def seconds_in(query: dict[str, str], name: str) -> int | None:
    """Return a parameter that counts seconds, None if it is not there; 400 if it is no whole number from 0."""
    text = query.get(name)
    if text is not None and not (text.isascii() and text.isdecimal()):
        raise bad_request(f'invalid options: {name}: Invalid value: "{text}": must be a whole number from 0')
    return None if text is None else int(text)


def is_set(query: dict[str, str], name: str) -> bool:
    """Tell whether a boolean parameter is true."""
    return query.get(name) in _TRUE
