"""Objects of custom resources that are served in another version than they are stored in.

With the conversion strategy None only the apiVersion changes, and each version drops the fields that its schema does
not know (apiextensions-apiserver of Kubernetes v1.35, pkg/apiserver/conversion). Refuses webhooks.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.apiserver.catalog import Definition
from lab.apiserver.definitions.schema import prune, shape
from lab.apiserver.definitions.schema_validation import schema_violations
from lab.apiserver.patches.merge import copied
from lab.apiserver.problems import invalid
from lab.objects import Object


def seen(definition: Definition, found: Object) -> Object:
    """Return a stored object as clients of this version see it; the same if that is the version it is stored in."""
    if not definition.resource.custom or found.get("apiVersion") == definition.resource.api_version:
        return found
    shown: Object = copied(found)
    prune(shown, definition.schema, root=True)
    return {**shown, "apiVersion": definition.resource.api_version}


def to_store(definition: Definition, sent: Object) -> Object:
    """Return what a client of this version sent as it is to be stored; 422 if it is not as the version demands."""
    if definition.storage is None or sent.get("apiVersion", "") != definition.resource.api_version:
        return sent
    held: Object = copied(sent)
    shape(held, definition.schema)
    if found := schema_violations(held, definition.schema):
        raise invalid(definition.resource, (held.get("metadata") or {}).get("name", ""), found)
    return {**held, "apiVersion": definition.storage.resource.api_version}


def acting(definition: Definition, act: Callable[[Object], Object]) -> Callable[[Object], Object]:
    """Return what changes a stored object as `act` changes it in this version."""
    if not definition.resource.custom:
        return act
    return lambda found: to_store(definition, act(seen(definition, found)))
