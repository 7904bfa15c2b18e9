"""Reads the bodies of writes: parsed, of the right type, and without fields that their kind does not have.

What a client sends too much is refused, warned about or dropped, by the `fieldValidation` that it asks for
(k8s.io/apiserver/pkg/endpoints/handlers, Kubernetes v1.35). Refuses to store anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import yaml

from lab.apiserver.bodies import protobuf
from lab.apiserver.bodies.decoding import WrongType, decoded
from lab.apiserver.ownership.fieldsets import dotted, repeated
from lab.apiserver.ownership.shapes import Shape, shape_of, unknown_fields, without_unknown
from lab.apiserver.patches.merge import JSON_PATCH, STRATEGIC_MERGE_PATCH, go_map, undecodable_patch
from lab.apiserver.problems import Violation, bad_request, invalid
from lab.errors import ApiError
from lab.objects import Object
from lab.resources import Resource

if TYPE_CHECKING:
    from lab.apiserver.endpoints import Asked

_NO_KIND = Resource(plural="", kind="")


async def read(asked: Asked) -> Object:
    """Return the object that is created or replaced; 400 if it is none of the resource's kind."""
    asked.exchange.check_media_type()
    raw = await asked.exchange.body()
    resource = asked.resource
    if not raw:
        raise _unrecognized(resource, "unexpected end of JSON input", b"<empty>")
    try:
        body = asked.exchange.parsed(raw)
    except ApiError as error:
        ended = raw.strip() in (b"{", b"[") or f"(char {len(raw)})" in error.message
        why = "unexpected end of JSON input" if ended else error.message.rpartition("unrecognized: ")[2]
        raise _unrecognized(resource, why, raw) from error
    if not isinstance(body, dict):
        raise _unrecognized(resource, f"json: cannot unmarshal {_kind_of(body)} into a typed object", raw)
    duplicates = [] if asked.exchange.media_type == protobuf.MEDIA_TYPE else _duplicates(raw)
    complaint = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
    return _known_part(asked, body, shape_of(asked.definition), duplicates, lambda why: bad_request(complaint + why))


async def read_patch(asked: Asked) -> Any:
    """Return a patch that is no apply; 400 if it can't be parsed."""
    raw = await asked.exchange.body()
    try:
        patch = json.loads(raw)
    except ValueError as error:
        ended = str(error).endswith(f"(char {len(raw)})") or raw in (b"{", b"[")
        raise bad_request(f"error decoding patch: {'unexpected end of JSON input' if ended else error}") from error
    if asked.exchange.media_type != JSON_PATCH and not isinstance(patch, dict):
        raise undecodable_patch(patch, "map[string]interface {}")
    return patch


async def read_applied(asked: Asked) -> Object:
    """Return a configuration to apply; 400 if it is none of the resource's kind, 500 for fields that it can't have."""
    raw = await asked.exchange.body()
    try:
        config = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: yaml: {error}") from error
    config = {} if config is None else config
    if not isinstance(config, dict):
        where = "error decoding YAML: error unmarshaling JSON: while decoding JSON: json"
        raise bad_request(
            f"{where}: cannot unmarshal {_kind_of(config)} into Go value of type map[string]interface {{}}"
        )
    resource = asked.resource
    group, _, version = str(config.get("apiVersion", "")).rpartition("/")
    if (config.get("apiVersion"), config.get("kind")) != (resource.api_version, resource.kind):
        raise bad_request(f"invalid object type: {group}/{version}, Kind={config.get('kind', '')}")
    metadata = config.get("metadata") or {}
    if isinstance(metadata, dict) and metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    return _typed(asked, config)


def patched_part(asked: Asked, found: Object, new: Object, patch: Any) -> Object:
    """Return a patched object, decoded; 422 for a patch that leaves it undecodable."""
    shown = go_map(patch) if asked.exchange.media_type == STRATEGIC_MERGE_PATCH else json.dumps(new)

    def refusal(why: str) -> ApiError:
        return invalid(_NO_KIND, "", [Violation.invalid("patch", shown, why)])

    metadata = new.get("metadata")
    if not metadata or (isinstance(metadata, dict) and not metadata.get("name")):
        name = asked.route.name
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    new = _known_part(asked, new, shape_of(asked.definition), [], refusal, held=found)
    try:
        return decoded(asked.resource, new, held=found)
    except WrongType as error:
        raise refusal(error.detail) from error


def _typed(asked: Asked, config: Object) -> Object:
    """Return a configuration, decoded; 500 as structured-merge-diff has it for one of another shape."""
    resource, metadata = asked.resource, config.get("metadata") or {}
    name, namespace = asked.route.name, ""
    if isinstance(metadata, dict):
        name, namespace = metadata.get("name", name), metadata.get("namespace", "")
    gvk = f"{resource.api_version}, Kind={resource.kind}"
    group = "" if resource.group else "/"
    prefix = f"failed to create typed patch object ({namespace}/{name}; {group}{gvk}): "
    shape = shape_of(asked.definition)
    lines = [f".{path}: field not declared in schema" for path in unknown_fields(config, shape)]
    lines += [f"{dotted(path)}: duplicate entries for key {dotted((key,))}" for path, key in repeated(config, shape)]
    if lines:
        text = lines[0] if len(lines) == 1 else "errors:\n" + "".join(f"  {line}\n" for line in lines)
        raise ApiError(500, prefix + text, reason="")
    try:
        return decoded(resource, config)
    except WrongType as error:
        raise ApiError(500, prefix + error.detail, reason="") from error


def _known_part(
    asked: Asked,
    body: Object,
    shape: Shape,
    duplicates: list[str],
    refusal: Callable[[str], ApiError],
    *,
    held: Object | None = None,
) -> Object:
    """Return a body without the fields that its kind does not have; with `held`, what is that one's own is known."""
    fresh = body if held is None else {key: item for key, item in body.items() if item is not held.get(key)}
    validation = asked.exchange.query.get("fieldValidation") or "Warn"
    unknown = unknown_fields(fresh, shape)
    complaints = [f'duplicate field "{path}"' for path in duplicates] + [f'unknown field "{path}"' for path in unknown]
    if complaints and validation == "Strict":
        raise refusal(f"strict decoding error: {', '.join(complaints)}")
    if validation == "Warn":
        asked.exchange.warnings += complaints
    if not unknown:
        return body
    kept = {key: item for key, item in body.items() if key not in fresh}
    return {**kept, **without_unknown(fresh, shape)}


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all of its members, those of the same name among them."""


def _duplicates(raw: bytes) -> list[str]:
    """Return the paths of the fields that a JSON document has twice."""
    try:
        return list(_repeated(json.loads(raw, object_pairs_hook=_Pairs), ""))
    except ValueError:
        return []  # YAML, which has told of them already


def _repeated(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, item in value:
            where = f"{path}.{name}" if path else name
            if name in seen:
                yield where
            seen.add(name)
            yield from _repeated(item, where)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _repeated(item, f"{path}[{i}]")


def _unrecognized(resource: Resource, why: str, raw: bytes) -> ApiError:
    shown = raw[:30].decode(errors="replace")
    return bad_request(
        f"the object provided is unrecognized (must be of type {resource.kind}): "
        f"couldn't get version/kind; json parse error: {why} ({shown})"
    )


def _kind_of(value: Any) -> str:
    kinds = ((dict, "object"), (list, "array"), (str, "string"), (bool, "bool"), (int, "number"), (float, "number"))
    return next((name for held, name in kinds if isinstance(value, held)), "null")
