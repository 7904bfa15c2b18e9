"""Which document stands at which non-resource path: health, version, discovery, OpenAPI. Refuses to authenticate."""

from __future__ import annotations

from lab.apiserver import discovery
from lab.apiserver.catalog import Catalog
from lab.apiserver.exchange import Answer
from lab.apiserver.problems import no_such_path
from lab.objects import Object

OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""Readable without a token (ClusterRole system:public-info-viewer)."""

_OPENAPI_V2_TYPE = b"application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_OPENAPI_V3 = "/openapi/v3"


def document(catalog: Catalog, version: str, path: str, accept: str) -> Answer:
    """Return the document at a path; 404 if there is none. `version` is the API server's, as `v1.34.11`."""
    if path == "/version":
        return Answer.of(_version_info(version))
    if path in OPEN_PATHS:
        return Answer(200, b"ok", b"text/plain")
    if path == "/openapi/v2":
        return Answer(200, discovery.OPENAPI_V2_PROTOBUF, _OPENAPI_V2_TYPE)
    if path in ("/api", "/apis") and _wants_aggregated(accept):
        return Answer.of(discovery.aggregated(catalog, core=path == "/api"), content_type=discovery.AGGREGATED.encode())
    found = _openapi(catalog, path) if path.startswith(_OPENAPI_V3) else _discovered(catalog, path.split("/")[1:])
    if found is None:
        raise no_such_path()
    return Answer.of(found)


def _wants_aggregated(accept: str) -> bool:
    return any("as=APIGroupDiscoveryList" in offer and "v=v2;" in f"{offer};" for offer in accept.split(","))


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
            return discovery.openapi_index(catalog)
        case ["api", version]:
            return discovery.openapi_document(catalog, "", version)
        case ["apis", group, version]:
            return discovery.openapi_document(catalog, group, version)
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
