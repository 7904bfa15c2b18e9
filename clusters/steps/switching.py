"""Changing the Cluster's spec: the label that unlocks it, then CNI and kube-proxy mode."""

from __future__ import annotations

from typing import Any

from clusters.backups import load_backup
from clusters.journal import read_journal
from clusters.seed import OpenedCluster
from clusters.steps.cni_backup import CILIUM, installed_values
from clusters.steps.marks import PROXY_MODE, mark_workloads
from clusters.steps.result import StepResult, already, changed
from migration.errors import OperatorActionNeeded
from migration.journal import Migration
from migration.models import CniType, Network
from migration.patches import tunnel_port
from migration.versions import FLANNEL_VXLAN_PORT, initial_helm_values


async def allow_cni_migration(opened: OpenedCluster) -> StepResult:
    """Leave the Cluster labelled so that KKP's webhook lets its network be changed."""
    if await opened.seed.label(opened.ref.name, present=True):
        return changed("label unsafe-cni-migration added")
    return already("label unsafe-cni-migration was there")


async def switch_cni(opened: OpenedCluster, migration: Migration) -> StepResult:
    """Leave the Cluster's spec on the desired CNI.

    To Cilium it goes with a tunnel port that does not clash with flannel's, and the proxy mode stays for later: Canal
    still needs kube-proxy. To Canal, which can't do without it, both change in one patch (docs/platform.md 1.2).
    """
    if migration.desired_cni.type is CniType.CILIUM:
        values = await _first_values(opened, migration) if migration.platform == "applications" else None
        desired = Network(cni=migration.desired_cni, proxy_mode=migration.previous_proxy_mode)
    else:
        await mark_workloads(opened, migration.id, before=PROXY_MODE)
        values, desired = None, migration.desired
    cluster = await opened.seed.cluster(opened.ref.name)
    if cluster.network == migration.desired:
        return already(f"the Cluster said {migration.desired_cni}")
    if await opened.seed.switch_network(
        opened.ref.name, expected=migration.previous, desired=desired, helm_values=values
    ):
        port = f", tunnel port {values['tunnelPort']}" if values is not None else ""
        mode = f", kube-proxy mode {desired.proxy_mode}" if cluster.proxy_mode != desired.proxy_mode else ""
        return changed(f"{migration.previous_cni} -> {desired.cni}{mode}{port}")
    return already(f"the Cluster said {desired.cni}")


async def switch_proxy_mode(opened: OpenedCluster, migration: Migration) -> StepResult:
    """Leave the Cluster's spec on the desired kube-proxy mode, what runs before noted down."""
    if not migration.changes_proxy_mode:
        return already(f"kube-proxy mode {migration.previous_proxy_mode} stays")
    await mark_workloads(opened, migration.id, before=PROXY_MODE)
    expected = Network(cni=migration.desired_cni, proxy_mode=migration.previous_proxy_mode)
    if await opened.seed.switch_network(opened.ref.name, expected=expected, desired=migration.desired):
        return changed(f"kube-proxy mode {migration.previous_proxy_mode} -> {migration.desired.proxy_mode}")
    return already(f"the Cluster said kube-proxy mode {migration.desired.proxy_mode}")


async def _first_values(opened: OpenedCluster, migration: Migration) -> dict[str, Any]:
    """Return the values for Cilium's installation: those that it had before, if this brings it back."""
    reverted = (await read_journal(opened.api)).find(migration.reverts)
    stored = reverted.backup(CILIUM) if reverted else None
    if stored is not None:
        try:
            before = installed_values(await load_backup(opened.api, stored))
        except OperatorActionNeeded as error:
            raise OperatorActionNeeded(f"Cilium's former Helm values are lost: {error}") from error
        if before is not None:
            former = tunnel_port(before)
            # Nodes may let no other port through than the one that it had.
            port = migration.tunnel_port if former == FLANNEL_VXLAN_PORT else former
            return initial_helm_values(before, port)
    return initial_helm_values(await opened.seed.cilium_defaults(), migration.tunnel_port)
