"""Applies patches to JSON. Refuses to know which object a patch is for: the registry checks and stores the outcome.

Results share the untouched parts with the original, which is never changed.
"""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer
import orjson

from lab.apiserver.problems import bad_request
from lab.errors import ApiError

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_MALFORMED = (
    jsonpatch.JsonPatchException,
    jsonpointer.JsonPointerException,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What jsonpatch raises for operations that are not as RFC 6902 has them."""


def copied(value: Any) -> Any:
    """Return a deep copy of JSON, several times faster than `copy.deepcopy`."""
    return orjson.loads(orjson.dumps(value))


def merge_patch(original: Any, patch: Any) -> Any:
    """Return the original with an RFC 7386 merge patch applied."""
    if not isinstance(patch, dict):
        return patch
    result = dict(original) if isinstance(original, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merge_patch(result.get(key), value)
        else:
            result[key] = value
    return result


def json_patch(original: Any, operations: Any) -> Any:
    """Return the original with an RFC 6902 patch applied; 422 when a test fails or a path is missing."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        return jsonpatch.JsonPatch(operations).apply(copied(original))
    except _MALFORMED as error:
        raise ApiError(422, f"the server rejected our request due to an error in our request: {error}") from error
