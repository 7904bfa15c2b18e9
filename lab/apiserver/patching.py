"""Turns the body of a PATCH into a change of an object. Refuses to store it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.apiserver.patch import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, json_patch, merge_patch
from lab.apiserver.problems import bad_request, unsupported_media_type
from lab.apiserver.strategic import strategic_merge_patch
from lab.objects import Object
from lab.resources import Resource


def patch_action(resource: Resource, media_type: str, patch: Any) -> Callable[[Object], Object]:
    """Return what a patch does to an object; 415 for a kind of patch that the resource does not take.

    An apply patch is merged without looking at field managers: fields that were applied before and are left out now,
    stay.
    """
    if media_type == JSON_PATCH:
        return lambda found: _an_object(json_patch(found, patch))
    _an_object(patch)
    if media_type == MERGE_PATCH or (media_type == APPLY_PATCH and resource.custom):
        return lambda found: merge_patch(found, patch)
    if media_type in (STRATEGIC_MERGE_PATCH, APPLY_PATCH) and not resource.custom:
        return lambda found: _strategically(found, patch)
    strategic = () if resource.custom else (STRATEGIC_MERGE_PATCH,)
    raise unsupported_media_type((JSON_PATCH, MERGE_PATCH, *strategic, APPLY_PATCH))


def _strategically(found: Object, patch: Object) -> Object:
    try:
        return strategic_merge_patch(found, patch)  # type: ignore[no-any-return]
    except (TypeError, AttributeError) as error:
        raise bad_request(f"error decoding patch: a list or a directive in it is malformed: {error}") from error


def _an_object(value: Any) -> Object:
    if not isinstance(value, dict):
        raise bad_request("error decoding patch: the patch is not a JSON object")
    return value
