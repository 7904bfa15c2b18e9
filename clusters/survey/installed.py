"""What there is of each CNI in the user cluster: who installed it, with which values, and what would be removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from clusters import narrowing
from clusters.api import KubeApi
from clusters.kinds import (
    APPLICATION_INSTALLATIONS,
    CILIUM_NODES,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    SECRETS,
    Kind,
)
from clusters.seed import Seed
from clusters.steps.addon_inventory import ADDON_KINDS, CILIUM_GROUPS, labelled
from clusters.steps.cilium import APPLICATION, NAMESPACE, RELEASE
from clusters.steps.cilium_removal import CERTIFICATES
from clusters.steps.cni_backup import CANAL, CILIUM, helm_values
from clusters.steps.custom_resources import definitions_of, place_of
from clusters.steps.helm_leftovers import HELM, OWNED_KINDS
from migration.cilium import is_deployed
from migration.errors import NotFound, OperatorActionNeeded, Permanent
from migration.models import CniType
from migration.removal_plans import ADDON_LABEL, RELEASE_ANNOTATION
from migration.survey import ADDON, APPLICATION_OF_KKP, SOMEBODY, ApplicationValues, CniFacts, OwnedObject

_DEFINITION: Final = "CustomResourceDefinition"
_KIND_NAMES: Final = {
    "cronjobs": "CronJob",
    "namespaces": "Namespace",
    "jobs": "Job",
    "services": "Service",
    "rolebindings": "RoleBinding",
    "roles": "Role",
    **{kind.plural: name for kind, name in ADDON_KINDS},
}


def installer_of(found: Any) -> str:
    """Return who installed an object: KKP's addon of a CNI, KKP's release of Cilium, or somebody else."""
    metadata = found["metadata"]
    if (metadata.get("labels") or {}).get(ADDON_LABEL) in (CniType.CANAL, CniType.CILIUM):
        return ADDON
    is_released = (metadata.get("annotations") or {}).get(RELEASE_ANNOTATION) == RELEASE
    return APPLICATION_OF_KKP if is_released else SOMEBODY


async def canal_facts(api: KubeApi, *, remove_crds: bool) -> CniFacts:
    """Return what there is of Canal, in the order in which it is removed."""
    agents, objects = await asyncio.gather(_agents(api, CANAL), _addon(api, CANAL, remove_crds=remove_crds))
    return CniFacts(agents=agents, objects=objects)


async def cilium_facts(api: KubeApi, *, remove_crds: bool) -> CniFacts:
    """Return what there is of Cilium, in the order in which it is removed."""
    agents, owned, addon, records, certificates, definitions = await asyncio.gather(
        _agents(api, CILIUM),
        asyncio.gather(*(_released(api, kind) for kind in OWNED_KINDS)),
        _addon(api, CILIUM, remove_crds=False),
        api.list(SECRETS, namespace=NAMESPACE, labels=f"owner=helm,name={RELEASE}"),
        asyncio.gather(*(api.find(SECRETS, name, namespace=NAMESPACE) for name in CERTIFICATES)),
        definitions_of(api, CILIUM_GROUPS) if remove_crds else _nothing(),
    )
    secrets = [*records, *(found for found in certificates if found is not None)]
    objects = (
        *(found for kind in owned for found in kind),
        *addon,
        *_narrowed(secrets, "Secret"),
        *_narrowed(definitions, _DEFINITION),
    )
    return CniFacts(agents=agents, objects=objects)


async def application_values(api: KubeApi) -> ApplicationValues | None:
    """Return the Helm values of the ApplicationInstallation of Cilium; None if there is none."""
    found = await api.find(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE)
    if found is None:
        return None
    try:
        values = helm_values(found["spec"])
    except OperatorActionNeeded:
        values = None
    return ApplicationValues(
        values=values,
        in_block=bool(found["spec"].get("valuesBlock")),
        deployed=is_deployed(narrowing.application(found)),
        resource_version=found["metadata"]["resourceVersion"],
    )


async def helm_defaults(seed: Seed) -> dict[str, Any] | None:
    """Return the values with which this KKP would install Cilium; None if it has none, or none that can be read."""
    try:
        return await seed.cilium_defaults()
    except (NotFound, Permanent):
        return None


async def count_cilium_nodes(api: KubeApi) -> int:
    """Return how many node ranges Cilium has given out."""
    return len(await api.list(CILIUM_NODES))


async def _agents(api: KubeApi, name: str) -> str:
    found = await api.find(DAEMON_SETS, name, namespace=NAMESPACE)
    return "" if found is None else installer_of(found)


async def _addon(api: KubeApi, addon: str, *, remove_crds: bool) -> tuple[OwnedObject, ...]:
    kinds = [*ADDON_KINDS, *([(CUSTOM_RESOURCE_DEFINITIONS, _DEFINITION)] if remove_crds else [])]
    listed = await asyncio.gather(*(labelled(api, kind, addon) for kind, _ in kinds))
    return tuple(found for (_, name), items in zip(kinds, listed, strict=True) for found in _narrowed(items, name))


async def _released(api: KubeApi, kind: Kind) -> tuple[OwnedObject, ...]:
    listed = await api.list(kind, namespace=NAMESPACE if kind.namespaced else "", labels=HELM)
    return _narrowed([found for found in listed if installer_of(found) == APPLICATION_OF_KKP], _KIND_NAMES[kind.plural])


async def _nothing() -> list[Any]:
    return []


def _narrowed(items: Iterable[Any], kind: str) -> tuple[OwnedObject, ...]:
    return tuple(
        OwnedObject(kind=kind, place=place_of(found), gitops_owner=narrowing.owner_of(found["metadata"]))
        for found in items
    )
