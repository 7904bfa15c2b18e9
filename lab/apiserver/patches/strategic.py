"""Strategic merge patches of built-in objects. Refuses custom resources: they have no merge keys.

Which lists merge, and by which key, follows the patchStrategy and patchMergeKey tags of k8s.io/api (v0.34); a list
that is not named here is replaced whole, as kube-apiserver does for untagged and atomic lists.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.patches.merge import go_map
from lab.apiserver.problems import bad_request
from lab.errors import ApiError

MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "port"),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "addresses": ("type",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "resourceClaims": ("name",),
    "webhooks": ("name",),
}
MERGED_PRIMITIVES = frozenset({"finalizers", "podCIDRs"})

_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_merge_patch(original: Any, patch: Any) -> Any:
    """Return the original with a strategic merge patch applied."""
    return _merge_maps(original if isinstance(original, dict) else {}, patch)


def _merge_maps(original: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {key: _clean(value) for key, value in patch.items() if key != "$patch"}
    if directive not in (None, "merge"):
        raise ApiError(500, f"unknown patch type: {directive} in map: {go_map(patch)}", reason="")
    result = dict(original)
    if (kept := patch.get("$retainKeys")) is not None:
        if not isinstance(kept, list):
            raise bad_request("invalid patch format of retainKeys")
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(result, key, value)
    _follow_list_directives(result, patch)
    return result


def _merge_field(result: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        held = result.get(key)
        result[key] = _merge_maps(held if isinstance(held, dict) else {}, value)
    elif isinstance(value, list):
        held = result.get(key)
        result[key] = _merge_lists(key, held if isinstance(held, list) else [], value)
    else:
        result[key] = value


def _merge_lists(field: str, original: list[Any], patch: list[Any]) -> list[Any]:
    if field in MERGED_PRIMITIVES:
        return _interleaved([item for item in original if item not in patch], patch, original)
    merge_key = _merge_key(field, patch) or _merge_key(field, original)
    if merge_key is None or any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [_clean(item) for item in patch if not (isinstance(item, dict) and set(item) == {"$patch"})]
    result = list(original)
    for item in patch:
        if isinstance(item, dict) and merge_key not in item:
            why = f"map: {go_map(item)} does not contain declared merge key: {merge_key}"
            raise ApiError(500, why, reason="")
        _merge_element(result, merge_key, item)
    by_key = {item.get(merge_key): item for item in result}
    patched = list(dict.fromkeys(item.get(merge_key) for item in patch if item.get(merge_key) in by_key))
    others = [key for key in by_key if key not in patched]
    return [by_key[key] for key in _interleaved(others, patched, [item.get(merge_key) for item in original])]


def _interleaved(others: list[Any], patched: list[Any], before: list[Any]) -> list[Any]:
    """Return the patched elements, with the others before those that they preceded (apimachinery, mergeSortedSlice)."""
    result: list[Any] = []
    left = list(others)
    for item in patched:
        while left and item in before and left[0] in before and before.index(left[0]) < before.index(item):
            result.append(left.pop(0))
        result.append(item)
    return [*result, *left]


def _merge_element(result: list[Any], merge_key: str, item: dict[str, Any]) -> None:
    at = next((i for i, held in enumerate(result) if held.get(merge_key) == item.get(merge_key)), None)
    if item.get("$patch") == "delete":
        if at is not None:
            del result[at]
    elif at is None:
        result.append(_clean(item))
    else:
        result[at] = _merge_maps(result[at], item)


def _merge_key(field: str, items: list[Any]) -> str | None:
    keys = MERGE_KEYS.get(field, ())
    return next((key for key in keys if any(isinstance(item, dict) and key in item for item in items)), None)


def _follow_list_directives(result: dict[str, Any], patch: dict[str, Any]) -> None:
    for directive, value in patch.items():
        if directive.startswith(_DELETE):
            field = directive.removeprefix(_DELETE)
            result[field] = [item for item in result.get(field) or [] if item not in value]
        elif directive.startswith(_ORDER):
            field = directive.removeprefix(_ORDER)
            if isinstance(result.get(field), list):
                result[field] = _ordered(field, result[field], value)


def _ordered(field: str, items: list[Any], order: list[Any]) -> list[Any]:
    """Put the ordered elements in their order; the others stay behind the element that they followed."""
    key = _merge_key(field, order)
    wanted = [element.get(key) if key else element for element in order]
    position = {name: i for i, name in enumerate(wanted) if not isinstance(name, (dict, list))}
    ranked: list[tuple[int, int, Any]] = []
    last = -1
    for i, item in enumerate(items):
        last = position.get(item.get(key) if key else item, last)
        ranked.append((last, i, item))
    return [item for _, _, item in sorted(ranked, key=lambda entry: entry[:2])]


def _clean(value: Any) -> Any:
    """Return what a patch adds, without directives and deletions."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if not k.startswith("$") and v is not None}
    if isinstance(value, list):
        return [_clean(v) for v in value if not (isinstance(v, dict) and v.get("$patch") == "delete")]
    return value
