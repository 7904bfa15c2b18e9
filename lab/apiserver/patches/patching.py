"""Turns the body of a PATCH into a change of an object. Refuses to store it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.apiserver.patches.merge import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    json_patch,
    merge_patch,
    undecodable_patch,
)
from lab.apiserver.patches.strategic import strategic_merge_patch
from lab.apiserver.problems import bad_request, unsupported_media_type
from lab.errors import ApiError
from lab.objects import Object
from lab.resources import Resource


def patch_action(resource: Resource, media_type: str, patch: Any) -> Callable[[Object], Object]:
    """Return what a patch that is no apply does to an object; 415 for a kind that the resource does not take."""
    if media_type == JSON_PATCH:
        return lambda found: _an_object(json_patch(found, patch))
    if media_type == STRATEGIC_MERGE_PATCH and resource.custom:
        raise unsupported_media_type((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
    if media_type not in (MERGE_PATCH, STRATEGIC_MERGE_PATCH):
        raise ApiError(415, "415: Unsupported Media Type", details={})
    _an_object(patch)
    if media_type == MERGE_PATCH:
        return lambda found: merge_patch(found, patch)
    return lambda found: _strategically(found, patch)


def _strategically(found: Object, patch: Object) -> Object:
    try:
        return strategic_merge_patch(found, patch)  # type: ignore[no-any-return]
    except (TypeError, AttributeError) as error:
        raise bad_request(f"error decoding patch: a list or a directive in it is malformed: {error}") from error


def _an_object(value: Any) -> Object:
    if not isinstance(value, dict):
        raise undecodable_patch(value, "map[string]interface {}")
    return value
