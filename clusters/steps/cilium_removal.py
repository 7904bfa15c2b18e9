"""Taking Cilium out of a user cluster whose CNI is Canal: prepared, uninstalled, and swept after.

Source: docs/platform.md 4.6, 5.1, 5.2. Refuses to touch nodes, whose kernels keep traces until they are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from clusters import narrowing
from clusters.journal import read_migration
from clusters.kinds import (
    APPLICATION_INSTALLATIONS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    NODES,
    SECRETS,
)
from clusters.seed import OpenedCluster
from clusters.steps.addon_inventory import CILIUM_GROUPS
from clusters.steps.addon_removal import remove_addon
from clusters.steps.cilium import APPLICATION, NAMESPACE, remove_application, remove_releases
from clusters.steps.cni_backup import CILIUM, helm_values, secure_backups
from clusters.steps.custom_resources import definitions_of
from clusters.steps.helm_leftovers import remove_leftovers
from clusters.steps.manifest_removal import Removal, read_plan, remove_by_manifest
from clusters.steps.marks import AGENTS, REMOVAL, has_rolled_since, mark_workloads, record_marks, restart_workload
from clusters.steps.result import StepResult, already, changed, skipped
from clusters.watching import Live, watching, with_faults
from migration.cilium import is_deployed, is_installed
from migration.errors import OperatorActionNeeded, Rejected
from migration.journal import CNI_UNINSTALL, Migration
from migration.models import CniType
from migration.patches import removal_values, tunnel_port, values_spec

CONFIG: Final = "cilium-config"
# Cilium's certgen writes them, so Helm doesn't know them (chart 1.19.4, templates/hubble/tls-cronjob).
CERTIFICATES: Final = ("cilium-ca", "hubble-server-certs", "hubble-relay-client-certs", "hubble-relay-server-certs")
# Cilium's operator sets it, and nobody removes it once the operator is gone (chart value agentNotReadyTaintKey).
AGENT_NOT_READY: Final = "node.cilium.io/agent-not-ready"
CILIUM_PODS: Final = ("cilium",)


async def prepare_cilium_removal(opened: OpenedCluster, migration_id: str, *, deadline: timedelta) -> StepResult:
    """Leave Cilium on a tunnel port that is not flannel's, and with agents that take their CNI configuration along.

    Without the first Canal's agents could not start, without the second no new pod could, on nodes that stay: the
    file of a Cilium that is gone comes before Canal's. KKP's webhook refuses the second on clusters that were always
    on ebpf (docs/platform.md 1.4); pods then move with their nodes.
    """
    migration = await read_migration(opened.api, migration_id)
    cluster = await opened.seed.cluster(opened.ref.name)
    found = await opened.api.find(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE)
    if CNI_UNINSTALL in migration.marks:
        return already("it was prepared before")
    if found is None:
        takes_along = await _takes_its_file_along(opened)
        await record_marks(opened, migration_id, {CNI_UNINSTALL: str(takes_along).lower()})
        return already("Cilium is no ApplicationInstallation here")
    has_begun = any(mark.startswith(f"{REMOVAL}/") for mark in migration.marks)
    is_kept = has_begun or (is_installed(narrowing.application(found)) and await _serves(opened))
    if cluster.cni.type is CniType.CANAL or not is_kept:
        # Agents may have run for a while and left their file: nothing can be configured any more, so nodes must go.
        await record_marks(opened, migration_id, {CNI_UNINSTALL: "false"})
        return skipped("KKP does not keep Cilium deployed: its traces go with the nodes")
    await mark_workloads(opened, migration_id, before=REMOVAL)
    wanted = await _write_values(opened, found)
    migration = await _until_configured(opened, migration_id, wanted, deadline=deadline)
    await _until_agents_run_with_it(opened, migration, deadline=deadline)
    await record_marks(opened, migration_id, {CNI_UNINSTALL: str(CNI_UNINSTALL in wanted).lower()})
    return changed(", ".join(f"{key} {value}" for key, value in wanted.items()))


async def _serves(opened: OpenedCluster) -> bool:
    """Tell whether an agent is ready anywhere: Helm is content with none on small clusters (docs/platform.md 4.5)."""
    agents = await opened.api.find(DAEMON_SETS, AGENTS, namespace=NAMESPACE)
    return agents is not None and narrowing.rollout(agents).ready > 0


async def _takes_its_file_along(opened: OpenedCluster) -> bool:
    """Tell whether the agents of a Cilium that is no application remove their CNI configuration when they go.

    Those of KKP's former addon do whenever they go (docs/platform.md 11.2), others if they were told to (5.2).
    """
    agents = await opened.api.find(DAEMON_SETS, AGENTS, namespace=NAMESPACE)
    if agents is None or (agents["metadata"].get("labels") or {}).get("kubermatic-addon") == CILIUM:
        return True
    config = await opened.api.find(CONFIG_MAPS, CONFIG, namespace=NAMESPACE)
    return bool(((config or {}).get("data") or {}).get("cni-uninstall") == "true")


async def _write_values(opened: OpenedCluster, found: Any) -> dict[str, str]:
    """Leave the values in the ApplicationInstallation; returns what cilium-config will say by them."""
    values = helm_values(found["spec"])
    moved = removal_values(values, uninstall=False)
    wanted = {"tunnel-port": str(tunnel_port(moved))}
    try:
        await _patch_values(opened, found, removal_values(values, uninstall=True))
    except Rejected:
        await _patch_values(opened, found, moved)
        return wanted
    return {**wanted, CNI_UNINSTALL: "true"}


async def _patch_values(opened: OpenedCluster, found: Any, values: Mapping[str, Any]) -> None:
    if values == helm_values(found["spec"]):
        return
    spec = values_spec(values, in_block=bool(found["spec"].get("valuesBlock")))
    patch = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "spec": spec}
    await opened.api.patch(APPLICATION_INSTALLATIONS, APPLICATION, patch, namespace=NAMESPACE)


async def _until_configured(
    opened: OpenedCluster, migration_id: str, wanted: Mapping[str, str], *, deadline: timedelta
) -> Migration:
    application = Live(
        opened.api,
        APPLICATION_INSTALLATIONS,
        narrowing.application,
        namespace=NAMESPACE,
        fields=f"metadata.name={APPLICATION}",
    )
    config: Live[Any] = Live(
        opened.api,
        CONFIG_MAPS,
        lambda item: item.get("data") or {},
        namespace=NAMESPACE,
        fields=f"metadata.name={CONFIG}",
    )

    def missing() -> str | None:
        now, data = application.get(APPLICATION, namespace=NAMESPACE), config.get(CONFIG, namespace=NAMESPACE) or {}
        off = [f"{key} {value}" for key, value in wanted.items() if data.get(key) != value]
        if off:
            return with_faults(f"ConfigMap {CONFIG} to say {', '.join(off)}", application, config)
        is_done = now is not None and is_deployed(now)
        return None if is_done else with_faults("Helm to end the upgrade of Cilium", application, config)

    async with watching(application, config) as view:
        await view.until(
            missing,
            what="Cilium to be configured for its removal",
            deadline=deadline,
            tell=opened.tell,
            advice="Look at ApplicationInstallation kube-system/cilium; start the flow again to go on.",
        )
    return await read_migration(opened.api, migration_id)


async def _until_agents_run_with_it(opened: OpenedCluster, migration: Migration, *, deadline: timedelta) -> None:
    """Have the agents replaced unless Helm's upgrade did: they read their configuration when they start."""
    found = await opened.api.find(DAEMON_SETS, AGENTS, namespace=NAMESPACE)
    if found is not None and not has_rolled_since(found, migration, REMOVAL):
        await restart_workload(opened.api, DAEMON_SETS, AGENTS, migration.id, reason=REMOVAL)
    agents = Live(opened.api, DAEMON_SETS, narrowing.rollout, namespace=NAMESPACE, fields=f"metadata.name={AGENTS}")

    def rolling() -> str | None:
        now = agents.get(AGENTS, namespace=NAMESPACE)
        if now is None or now.is_rolled_out:
            return None
        text = f"the cilium DaemonSet: {now.updated} of {now.desired} agents are new, {now.ready} ready"
        return with_faults(text, agents)

    async with watching(agents) as view:
        await view.until(rolling, what="Cilium's agents to be new", deadline=deadline, tell=opened.tell)


async def remove_cilium(
    opened: OpenedCluster, migration_id: str, *, deadline: timedelta, manifest: str = ""
) -> StepResult:
    """Leave nothing of Cilium that runs, is configured or has rights; its CustomResourceDefinitions stay for now.

    `manifest` is a file or URL that names what neither KKP nor Helm knows; what of it stays is among the findings.
    Refuses with OperatorActionNeeded unless Canal is the cluster's CNI and the backups are intact or can be renewed.
    """
    cluster = await opened.seed.cluster(opened.ref.name)
    if cluster.cni.type is not CniType.CANAL:
        raise OperatorActionNeeded(
            f"Cluster {cluster.name} is on {cluster.cni}: Cilium is not removed while it is the cluster's CNI, for KKP "
            "would make it anew. Somebody changed it back: start the flow again, or leave it as it is"
        )
    plan = await read_plan(manifest, old_cni=CniType.CILIUM) if manifest else None
    await secure_backups(opened, await read_migration(opened.api, migration_id), refresh=False)
    was_there = await remove_application(opened, deadline=deadline)
    by_manifest = Removal()
    if plan is not None:
        # First, for what was installed by hand has pods as well, and those are waited for below.
        by_manifest = await remove_by_manifest(
            opened, migration_id, plan, remove_crds=False, pods=CILIUM_PODS, deadline=deadline
        )
    removed = by_manifest.removed + await remove_leftovers(opened, deadline=deadline)
    removed += await remove_releases(opened)
    removed += await remove_addon(opened, CILIUM, pods=CILIUM_PODS, remove_crds=False, deadline=deadline)
    removed += await _remove_certificates(opened)
    untainted = await _remove_taints(opened)
    if not was_there and not removed and not untainted:
        return replace(already("nothing of Cilium was left"), findings=by_manifest.findings)
    how = "uninstalled by KKP, " if was_there else ""
    result = changed(f"{how}{removed} objects that stayed removed, {untainted} nodes untainted")
    return replace(result, findings=by_manifest.findings)


async def remove_cilium_definitions(opened: OpenedCluster, migration_id: str, *, deadline: timedelta) -> StepResult:
    """Leave no CustomResourceDefinition of Cilium, nor its resources; what people wrote is backed up anew."""
    found = await definitions_of(opened.api, CILIUM_GROUPS)
    if not found:
        return already("there was none")
    await secure_backups(opened, await read_migration(opened.api, migration_id), refresh=True)
    names = {item["metadata"]["name"] for item in found}
    for item in found:
        await opened.api.delete(CUSTOM_RESOURCE_DEFINITIONS, item["metadata"]["name"], uid=item["metadata"]["uid"])
    definitions = Live(opened.api, CUSTOM_RESOURCE_DEFINITIONS, lambda item: item["metadata"]["name"])

    def left() -> str | None:
        there = names & set(definitions.values())
        return f"{len(there)} definitions of Cilium to go ({min(there)})" if there else None

    async with watching(definitions) as view:
        await view.until(left, what="Cilium's definitions to go", deadline=deadline, tell=opened.tell)
    return changed(f"{len(found)} CustomResourceDefinitions of Cilium removed")


async def _remove_certificates(opened: OpenedCluster) -> int:
    removed = 0
    for name in CERTIFICATES:
        found = await opened.api.find(SECRETS, name, namespace=NAMESPACE)
        if found is not None:
            removed += await opened.api.delete(SECRETS, name, namespace=NAMESPACE, uid=found["metadata"]["uid"])
    return removed


async def _remove_taints(opened: OpenedCluster) -> int:
    """Leave no node closed to pods by a Cilium that can't open it any more; returns how many were."""
    removed = 0
    for node in await opened.api.list(NODES):
        taints = node["spec"].get("taints") or []
        kept = [taint for taint in taints if taint["key"] != AGENT_NOT_READY]
        if len(kept) == len(taints):
            continue
        version = {"resourceVersion": node["metadata"]["resourceVersion"]}
        await opened.api.patch(NODES, node["metadata"]["name"], {"metadata": version, "spec": {"taints": kept or None}})
        removed += 1
    return removed
