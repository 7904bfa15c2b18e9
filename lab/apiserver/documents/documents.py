"""Which document stands at which non-resource path: health, version, discovery, OpenAPI. Refuses to authenticate."""

from __future__ import annotations

from lab.apiserver.catalog import Catalog
from lab.apiserver.documents import discovery, openapi
from lab.apiserver.documents.forms import MEDIA_TYPES
from lab.apiserver.exchange import TEXT, Answer
from lab.apiserver.problems import NoSuchPage, no_such_path, not_acceptable
from lab.objects import Object

_HEALTH = ("healthz", "livez", "readyz")
_CHECKS = ("ping", "log", "etcd")

_OPENAPI_V2_TYPE = b"application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_OPENAPI_V3 = "/openapi/v3"


def document(catalog: Catalog, version: str, path: str, accept: str, *, verbose: bool = False) -> Answer:
    """Return the document at a path; 404 if there is none. `version` is the API server's, as `v1.34.11`."""
    parts = path.split("/")[1:]
    if path == "/version":
        return Answer.of(_version_info(version))
    if parts[0] in _HEALTH:
        return _health(parts, verbose=verbose)
    if path == "/openapi/v2":
        return Answer(200, openapi.V2_PROTOBUF, _OPENAPI_V2_TYPE)
    if path in ("/api", "/apis") and _wants_aggregated(accept):
        return Answer.of(discovery.aggregated(catalog, core=path == "/api"), content_type=discovery.AGGREGATED.encode())
    found = _openapi(catalog, path) if path.startswith(_OPENAPI_V3) else _discovered(catalog, path.split("/")[1:])
    if found is None:
        raise no_such_path() if _is_of_a_group(catalog, path.split("/")[1:]) else NoSuchPage()
    return Answer.of(found)


def _is_of_a_group(catalog: Catalog, parts: list[str]) -> bool:
    return parts[0] == "api" or (parts[0] == "apis" and discovery.is_group(catalog, parts[1]))


def _health(parts: list[str], *, verbose: bool) -> Answer:
    if len(parts) > 2 or (len(parts) == 2 and parts[1] not in _CHECKS):
        raise NoSuchPage
    if not verbose or len(parts) == 2:
        return Answer(200, b"ok", TEXT)
    lines = [*(f"[+]{check} ok" for check in _CHECKS), f"{parts[0]} check passed", ""]
    return Answer(200, "\n".join(lines).encode(), TEXT)


def _wants_aggregated(accept: str) -> bool:
    """Tell whether a client takes discovery in one piece; 406 if it takes no form that there is."""
    offers = [offer.strip() for offer in accept.split(",")]
    if any("as=APIGroupDiscoveryList" in offer and "v=v2;" in f"{offer};" for offer in offers):
        return True
    if accept and all("as=" in offer for offer in offers):
        raise not_acceptable(f"only the following media types are accepted: {', '.join(MEDIA_TYPES)}")
    return False


def _discovered(catalog: Catalog, parts: list[str]) -> Object | None:
    match parts:
        case ["api"]:
            return discovery.core_versions()
        case ["apis"]:
            return discovery.group_list(catalog)
        case ["api", version]:
            return discovery.resource_list(catalog, "", version)
        case ["apis", group]:
            return discovery.group(catalog, group)
        case ["apis", group, version]:
            return discovery.resource_list(catalog, group, version)
    return None


def _openapi(catalog: Catalog, path: str) -> Object | None:
    match path.removeprefix(_OPENAPI_V3).split("/")[1:]:
        case []:
            return openapi.index(catalog)
        case ["api", version]:
            return openapi.document_of(catalog, "", version)
        case ["apis", group, version]:
            return openapi.document_of(catalog, group, version)
    return None


def _version_info(version: str) -> Object:
    major, minor = version.removeprefix("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": version,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }
