"""Custom resources of whole API groups, as they are before something could lose them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from clusters.api import KubeApi
from clusters.backups import portable
from clusters.kinds import CUSTOM_RESOURCE_DEFINITIONS, Kind
from migration.errors import OperatorActionNeeded

Choice = Callable[[str], bool]


async def custom_objects(
    api: KubeApi, groups: Collection[str], *, wanted: Choice = lambda _plural: True
) -> list[dict[str, Any]]:
    """Return every custom resource of these groups whose plural is wanted, ready to be applied again."""
    definitions = [
        definition for definition in await definitions_of(api, groups) if wanted(definition["spec"]["names"]["plural"])
    ]
    found = await asyncio.gather(*(_instances(api, definition) for definition in definitions))
    return [item for items in found for item in items]


async def definitions_of(api: KubeApi, groups: Collection[str]) -> list[Any]:
    """Return the CustomResourceDefinitions of these groups."""
    return [item for item in await api.list(CUSTOM_RESOURCE_DEFINITIONS) if item["spec"]["group"] in groups]


def kind_of(definition: Mapping[str, Any]) -> Kind:
    """Return how a custom resource is addressed. Raises OperatorActionNeeded if no version of it is served."""
    spec = definition["spec"]
    # Only a served version can be read; the stored one, if it is, needs no conversion.
    served = [entry for entry in spec["versions"] if entry.get("served", True)]
    version = next((entry["name"] for entry in served if entry.get("storage")), served[0]["name"] if served else "")
    if not version:
        raise OperatorActionNeeded(
            f"CustomResourceDefinition {definition['metadata']['name']} serves no version: nothing of it can be read"
        )
    return Kind(spec["group"], version, spec["names"]["plural"], namespaced=spec["scope"] == "Namespaced", custom=True)


async def _instances(api: KubeApi, definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    kind, name = kind_of(definition), definition["spec"]["names"]["kind"]
    return [portable(item, api_version=f"{kind.group}/{kind.version}", kind=name) for item in await api.list(kind)]


def place_of(found: Mapping[str, Any]) -> str:
    """Return `namespace/name`, or the name alone of what has no namespace."""
    metadata = found["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}".lstrip("/")
