"""The options of lists, as kube-apiserver reads and checks them. Refuses to carry them out: `paging` does.

Source: k8s.io/apimachinery v0.35, pkg/apis/meta/internalversion/validation/validation.go and pkg/runtime/conversion.go.
"""

from __future__ import annotations

from lab.apiserver.lists.paging import PageRequest, decode_token
from lab.apiserver.problems import Violation, bad_request, invalid_options
from lab.apiserver.routes import number_in
from lab.errors import ApiError

_EXACT, _NOT_OLDER = "Exact", "NotOlderThan"
_MOST = 2**64 - 1


def page_request(query: dict[str, str]) -> PageRequest:
    """Return which part of which version of a list is asked for; 400 or 422 if the options make no sense."""
    number_in(query, "timeoutSeconds")
    limit = max(number_in(query, "limit") or 0, 0)
    text, match, token = (query.get(name, "") for name in ("resourceVersion", "resourceVersionMatch", "continue"))
    violations = [*_match_violations(text, match, token), *_initial_violations(query)]
    if violations:
        raise invalid_options(violations)
    if token:
        version, after = decode_token(token)
        if text not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        return PageRequest(limit=limit, version=version, after=after, continued=True)
    version = _list_version(text)
    # A limit without a match means exactly that version (k8s.io/apiserver pkg/storage/etcd3/store.go).
    if match == _EXACT or (limit and not match and version):
        return PageRequest(limit=limit, version=version)
    return PageRequest(limit=0 if text == "0" else limit, at_least=version, waits=True)


def read_version(query: dict[str, str]) -> int:
    """Return the version that a single object must at least have; refuses as kube-apiserver, with a 500 (sic)."""
    try:
        return _version(query.get("resourceVersion", ""))
    except ValueError as error:
        raise ApiError(500, str(error), reason="") from error


def _list_version(text: str) -> int:
    try:
        return _version(text)
    except ValueError as error:
        raise bad_request(f"invalid resource version: {error}") from error


def _version(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal()):
        why = "invalid syntax"
    elif int(text) > _MOST:
        why = "value out of range"
    else:
        return int(text)
    raise ValueError(f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}')


def _match_violations(version: str, match: str, token: str) -> list[Violation]:
    field = "resourceVersionMatch"
    if not match:
        return []
    found = []
    if not version:
        found.append(Violation.forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
    if token:
        found.append(Violation.forbidden(field, f"{field} is forbidden when continue is provided"))
    if match not in (_EXACT, _NOT_OLDER):
        found.append(Violation.unsupported(field, match, [_EXACT, _NOT_OLDER, ""]))
    if match == _EXACT and version == "0":
        found.append(Violation.forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    return found


def _initial_violations(query: dict[str, str]) -> list[Violation]:
    field = "sendInitialEvents"
    return [Violation.forbidden(field, f"{field} is forbidden for list")] if field in query else []
