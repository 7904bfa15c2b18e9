"""What a migration from Canal to Cilium must leave as it was, and what it must leave changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clusters.journal import read_journal
from clusters.kinds import LEASES, NODES, PODS
from clusters.steps.addon_inventory import ADDON_KINDS, addon_label, calico_objects
from clusters.steps.observing import observe_baseline
from clusters.steps.survey import list_cilium_endpoints, list_pods
from migration.models import Cni, CniType
from migration.patches import UNSAFE_CNI_MIGRATION
from migration.restart import needs_network, pods_to_move
from migration.verification import Baseline, regressions

if TYPE_CHECKING:
    from clusters.api import KubeApi
    from clusters.seed import Seed
    from migration.models import MigrationReport

CILIUM = Cni(type=CniType.CILIUM, version="1.19.4")


@dataclass(frozen=True)
class Before:
    """What there was before a migration."""

    baseline: Baseline
    nodes: frozenset[str]
    calico: list[Any]


async def look(api: KubeApi) -> Before:
    """Return what there is, to be compared after the migration."""
    return Before(await observe_baseline(api), await node_uids(api), await calico_objects(api))


async def node_uids(api: KubeApi) -> frozenset[str]:
    """Return the uids of all nodes."""
    return frozenset(node["metadata"]["uid"] for node in await api.list(NODES))


async def assert_migrated(seed: Seed, api: KubeApi, cluster: str, report: MigrationReport, before: Before) -> None:
    """Fail unless all is on Cilium, on new nodes, nothing of Canal is left and everything else is as before."""
    pods, endpoints = await list_pods(api), await list_cilium_endpoints(api)
    assert report.outcome == "migrated"
    assert report.outage_seconds > 0
    assert report.outage
    assert (await seed.cluster(cluster)).cni == CILIUM
    assert pods_to_move(pods, endpoints, target=CniType.CILIUM) == ()
    # One more may be that of a pod that is gone, which its node did not live to remove.
    assert {pod.key for pod in pods if needs_network(pod)} <= set(endpoints)
    assert [item for kind, _ in ADDON_KINDS for item in await api.list(kind, labels=addon_label("canal"))] == []
    assert await node_uids(api) & before.nodes == set()
    assert UNSAFE_CNI_MIGRATION not in (await seed.cluster(cluster)).labels
    journal = await read_journal(api)
    assert journal.open_migration() is None
    assert journal.last_finished().id == report.migration_id
    assert regressions(before.baseline, await observe_baseline(api)) == ()
    assert (await api.get(PODS, "debug-shell", namespace="shop"))["status"]["phase"] == "Running"
    assert await calico_objects(api) == before.calico
    lease = await api.get(LEASES, "cni-migration", namespace="kube-system")
    assert lease["spec"]["holderIdentity"] == ""
