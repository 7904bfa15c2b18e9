"""Clusters that are on Cilium as KKP leaves them, and migrations that set out from there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import yaml

from clusters.api import KubeApi
from clusters.journal import read_migration
from clusters.kinds import APPLICATION_INSTALLATIONS, CLUSTERS, CONFIG_MAPS, DAEMON_SETS, PODS, Kind
from clusters.seed import OpenedCluster
from clusters.steps import addon_removal, bookkeeping, canal_arrival, cilium, cilium_removal, cni_backup, switching
from migration.journal import Migration
from migration.models import Cni, CniType, MigrationRequest, Network, ProxyMode, Runbook
from tests.clusters.conftest import VERSION, LabCluster
from tests.clusters.looking import becomes
from tests.seed_api import seed_api

# A whole installation, on a machine that has other work as well.
LONG = timedelta(seconds=60)
CANAL_VERSION = "v3.30"
SYSTEM = "kube-system"


async def put_on_cilium(
    opened: OpenedCluster, *, mode: ProxyMode = ProxyMode.IPTABLES, tunnel_port: int = 8473, with_canal: bool = False
) -> None:
    """Have a fresh cluster on Cilium in this mode from its first value on, the orphaned Canal gone unless wanted."""
    seed, name = opened.seed, opened.ref.name
    await seed.label(name, present=True)
    before = (await seed.cluster(name)).network
    desired = Network(cni=Cni(type=CniType.CILIUM, version=VERSION), proxy_mode=mode)
    values = {**await seed.cilium_defaults(), "tunnelPort": 8473}
    await seed.switch_network(name, expected=before, desired=desired, helm_values=values)
    await cilium.wait_for_cilium(opened, version=VERSION, deadline=LONG)
    if not with_canal:
        pods = ("canal", "calico-kube-controllers")
        await addon_removal.remove_addon(opened, "canal", pods=pods, remove_crds=False, deadline=LONG)
    if tunnel_port != 8473:
        await change_values(opened.api, tunnelPort=tunnel_port)
        await becomes(lambda: is_configured(opened.api, "tunnel-port", str(tunnel_port)))
        await cilium.wait_for_cilium(opened, version=VERSION, deadline=LONG)


async def have_arrived(opened: OpenedCluster, migration: Migration | None) -> None:
    """Have the Cluster say what a migration leads to, as its switch would."""
    assert migration is not None
    await opened.seed.label(opened.ref.name, present=True)
    cni = migration.desired_cni.model_dump(mode="json")
    spec = {"cniPlugin": cni, "clusterNetwork": {"proxyMode": migration.desired.proxy_mode}}
    await seed_api(opened.seed).patch(CLUSTERS, opened.ref.name, {"spec": spec})


async def begin(cluster: LabCluster, opened: OpenedCluster, runbook: Runbook, **changes: Any) -> Migration:
    """Return a migration that was begun just now, with the backups of the CNI that is to go."""
    request = MigrationRequest(cluster=cluster.ref, runbook=runbook, requested_by="a test", **changes)
    begun = await bookkeeping.begin_migration(opened, request)
    assert begun is not None
    await cni_backup.back_up(opened, begun.id)
    return await read_migration(opened.api, begun.id)


async def begin_to_canal(cluster: LabCluster, opened: OpenedCluster, **changes: Any) -> Migration:
    """Return a migration from Cilium to Canal that was begun just now."""
    canal = Cni(type=CniType.CANAL, version=CANAL_VERSION)
    return await begin(cluster, opened, Runbook.CILIUM_TO_CANAL, desired_cni=canal, **changes)


async def values_of(api: KubeApi) -> dict[str, Any]:
    """Return Cilium's Helm values."""
    found = await api.get(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM)
    return dict(yaml.safe_load(found["spec"]["valuesBlock"]))


async def change_values(api: KubeApi, **changes: Any) -> None:
    """Change Helm values of Cilium's at their top."""
    block = yaml.safe_dump({**await values_of(api), **changes})
    await api.patch(APPLICATION_INSTALLATIONS, "cilium", {"spec": {"valuesBlock": block}}, namespace=SYSTEM)


async def is_configured(api: KubeApi, key: str, value: str | None) -> bool:
    """Tell whether cilium-config has this value."""
    found = await api.get(CONFIG_MAPS, "cilium-config", namespace=SYSTEM)
    return bool(found["data"].get(key) == value)


async def uids_of(api: KubeApi, program: str) -> set[str]:
    """Return the uids of the pods of a program that are to stay, as `cilium` or `kube-proxy`."""
    pods = await api.list(PODS, namespace=SYSTEM, labels=f"k8s-app={program}")
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


async def generation_of(api: KubeApi, name: str, *, kind: Kind = DAEMON_SETS) -> int:
    """Return how often the spec of a DaemonSet of kube-system was changed."""
    return int((await api.get(kind, name, namespace=SYSTEM))["metadata"]["generation"])


async def with_canal_beside(cluster: LabCluster, opened: OpenedCluster) -> Migration:
    """Have a cluster on its way from Cilium to Canal: KKP has brought Canal up, Cilium still runs."""
    await put_on_cilium(opened)
    migration = await begin_to_canal(cluster, opened)
    await cilium_removal.prepare_cilium_removal(opened, migration.id, deadline=LONG)
    await switching.switch_cni(opened, migration)
    await canal_arrival.wait_for_canal(opened, version=CANAL_VERSION, deadline=LONG)
    return await read_migration(opened.api, migration.id)
