"""Bringing back what a migration that is taken back had backed up: the policies that only the former CNI reads."""

from __future__ import annotations

from typing import Any, Final

from clusters.backups import load_backup
from clusters.journal import read_journal
from clusters.kinds import APPLICATION_INSTALLATIONS, Kind
from clusters.seed import OpenedCluster
from clusters.steps.addon_inventory import CALICO_GROUPS, CILIUM_GROUPS, NAMESPACE
from clusters.steps.cni_backup import APPLICATION, CALICO, CILIUM, CILIUM_RESOURCES, helm_values, installed_values
from clusters.steps.custom_resources import definitions_of, kind_of, place_of
from clusters.steps.result import StepResult, already, changed
from migration.errors import AlreadyExists, ClusterError, Forbidden, NotFound, ServerFault
from migration.journal import Migration
from migration.models import CniType
from migration.patches import values_spec

_BACKUPS: Final = {
    CniType.CANAL: (CALICO, CALICO_GROUPS),
    CniType.CILIUM: (CILIUM_RESOURCES, CILIUM_GROUPS),
}


async def restore_policies(opened: OpenedCluster, migration: Migration) -> StepResult:
    """Leave every resource of the former CNI's backup there; one that is there stays as it is.

    Only a migration that takes another back has something to restore. What belonged to a namespace that was removed
    since stays away.
    """
    reverted = (await read_journal(opened.api)).find(migration.reverts)
    name, groups = _BACKUPS[migration.desired_cni.type]
    if reverted is not None and migration.desired_cni.type is CniType.CILIUM:
        await _restore_uninstall(opened, reverted)
    stored = reverted.backup(name) if reverted else None
    if stored is None:
        return already("there is no backup to restore from")
    kinds = {
        (definition["spec"]["group"], definition["spec"]["names"]["kind"]): kind_of(definition)
        for definition in await definitions_of(opened.api, groups)
    }
    restored = 0
    for found in await load_backup(opened.api, stored):
        group = found["apiVersion"].partition("/")[0]
        kind = kinds.get((group, found["kind"]))
        if kind is None:
            opened.tell(f"{found['kind']} {place_of(found)} is not restored: nothing defines it any more")
            continue
        restored += await _restore(opened, kind, found)
    if not restored:
        return already(f"all {stored.objects} resources of the backup are there")
    return changed(f"{restored} of {stored.objects} resources restored, from migration {migration.reverts}")


async def _restore_uninstall(opened: OpenedCluster, reverted: Migration) -> None:
    """Leave agents that were prepared to take their CNI configuration along as they were: else each restart would.

    The tunnel keeps the port to which it moved, for to move it back would restart every agent.
    """
    found, stored = (
        await opened.api.find(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE),
        reverted.backup(CILIUM),
    )
    former = None if stored is None else installed_values(await load_backup(opened.api, stored))
    if found is None or former is None:
        return
    values = helm_values(found["spec"])
    was, now = (known.get("cni") or {} for known in (former, values))
    if bool(was.get("uninstall")) == bool(now.get("uninstall")):
        return
    changed_back = {**values, "cni": {**now, "uninstall": bool(was.get("uninstall"))}}
    version = {"resourceVersion": found["metadata"]["resourceVersion"]}
    spec = values_spec(changed_back, in_block=bool(found["spec"].get("valuesBlock")))
    patch = {"metadata": version, "spec": spec}
    await opened.api.patch(APPLICATION_INSTALLATIONS, APPLICATION, patch, namespace=NAMESPACE)
    opened.tell("Cilium's agents leave their CNI configuration in place again, from their next restart on")


async def _restore(opened: OpenedCluster, kind: Kind, found: dict[str, Any]) -> bool:
    metadata = found["metadata"]
    namespace = metadata.get("namespace", "")
    if await opened.api.find(kind, metadata["name"], namespace=namespace) is not None:
        return False
    body = {**found, "metadata": {key: value for key, value in metadata.items() if key != "ownerReferences"}}
    try:
        await opened.api.create(kind, body, namespace=namespace)
    except AlreadyExists:
        return False
    except (NotFound, Forbidden) as error:
        if _has_lost_its_namespace(error, namespace):
            opened.tell(f"{found['kind']} {place_of(found)} is not restored: its namespace was removed")
            return False
        if isinstance(error, Forbidden):
            raise
        # The definition was there a moment ago, for it named the path.
        raise ServerFault(f"{error}: {kind.group_resource} is not served yet") from error
    return True


def _has_lost_its_namespace(error: ClusterError, namespace: str) -> bool:
    """Tell a namespace that is gone, or going, from a kind that is not served: only the text does.

    Source: Kubernetes, plugin/pkg/admission NamespaceLifecycle.
    """
    gone, going = f'namespaces "{namespace}" not found', f"in namespace {namespace} because it is being terminated"
    return bool(namespace) and (gone in str(error) or going in str(error))
