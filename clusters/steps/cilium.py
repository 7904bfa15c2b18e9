"""Bringing Cilium in: away with what would keep it out, the wait for its installation, the proof of every pod."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from clusters import narrowing
from clusters.api import KubeApi
from clusters.kinds import (
    APPLICATION_INSTALLATIONS,
    CILIUM_ENDPOINTS,
    CILIUM_NODES,
    DAEMON_SETS,
    DEPLOYMENTS,
    NODES,
    PODS,
    SECRETS,
)
from clusters.seed import OpenedCluster
from clusters.steps.result import StepResult, already, changed, confirmed
from clusters.watching import Live, watching, with_faults
from migration.cilium import CiliumFacts, has_given_up, is_deployed, waits_for
from migration.errors import NotFound
from migration.journal import Platform
from migration.models import CniType, Pod, RestartOptions
from migration.restart import Endpoints, plan_restart, pods_to_move

NAMESPACE: Final = "kube-system"
APPLICATION: Final = "cilium"
# KKP 2.31, pkg/applications/providers/template/helm.go: <namespace>-<name> of the ApplicationInstallation.
RELEASE: Final = "kube-system-cilium"
# Charts since 1.12 label the pods of all their workloads so; the addon's agents had their own label only.
_POD_LABELS: Final[dict[Platform, str]] = {
    "applications": "app.kubernetes.io/part-of=cilium",
    "addons": "k8s-app=cilium",
}
REMINDED: Final = "cni-migration/reminded-at"
# KKP's own interval, and one that differs by nothing that matters: KKP sets its own again within minutes.
INTERVALS: Final = ("1h0m0s", "1h0m1s")


async def remove_stale_cilium(opened: OpenedCluster, *, deadline: timedelta, keep_version: str = "") -> StepResult:
    """Leave no ApplicationInstallation or Helm release of an earlier migration behind while the cluster is on Canal.

    KKP compares a new installation with the stored release, not with the cluster, and would install nothing
    (docs/platform.md 4.4). A Cilium of `keep_version` that is whole stays: a migration that is taken back before it has
    removed Cilium would cut off every pod otherwise.
    """
    cluster = await opened.seed.cluster(opened.ref.name)
    if cluster.cni.type is CniType.CILIUM:
        return already("the cluster was switched to Cilium before")
    if keep_version and await _is_whole(opened, keep_version):
        return already(f"Cilium {keep_version} is still there as a whole, and carries pods")
    was_there = await remove_application(opened, deadline=deadline)
    releases = await remove_releases(opened)
    if not was_there and not releases:
        return already("there was none")
    return changed(f"ApplicationInstallation {'removed' if was_there else 'absent'}, {releases} Helm releases removed")


async def _is_whole(opened: OpenedCluster, version: str) -> bool:
    """Tell whether KKP keeps this version deployed, and its agents and operator are what was installed."""
    found = await opened.api.find(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE)
    if found is None:
        return False
    application = narrowing.application(found)
    agents = await opened.api.find(DAEMON_SETS, "cilium", namespace=NAMESPACE)
    operator = await opened.api.find(DEPLOYMENTS, "cilium-operator", namespace=NAMESPACE)
    if application.deleting or application.version != version or not is_deployed(application):
        return False
    return all(workload is not None and narrowing.rollout(workload).is_rolled_out for workload in (agents, operator))


async def remove_application(opened: OpenedCluster, *, deadline: timedelta) -> bool:
    """Leave no ApplicationInstallation of Cilium; tells whether there was one. KKP has Helm uninstall it."""
    found = await opened.api.find(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE)
    if found is None:
        return False
    await opened.api.delete(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE, uid=found["metadata"]["uid"])
    if "deletionTimestamp" in found["metadata"]:
        await _remind(opened)
    applications = _one(opened.api, APPLICATION_INSTALLATIONS, APPLICATION, lambda item: item["metadata"]["uid"])

    def uninstalling() -> str | None:
        is_there = found["metadata"]["uid"] in applications.values()
        return "KKP to uninstall the ApplicationInstallation kube-system/cilium" if is_there else None

    async with watching(applications) as view:
        await view.until(
            uninstalling,
            what="the ApplicationInstallation kube-system/cilium to go",
            deadline=deadline,
            tell=opened.tell,
            advice="A paused cluster or one without nodes keeps it: look at its finalizer and at the cluster's state.",
        )
    return True


async def _remind(opened: OpenedCluster) -> None:
    """Have KKP look again at a deletion that it passed over, as while a cluster is paused (docs/platform.md 4.6)."""
    patch = {"metadata": {"annotations": {REMINDED: datetime.now(UTC).isoformat(timespec="seconds")}}}
    with contextlib.suppress(NotFound):
        await opened.api.patch(APPLICATION_INSTALLATIONS, APPLICATION, patch, namespace=NAMESPACE)


async def remove_releases(opened: OpenedCluster) -> int:
    """Leave no record of Helm's about Cilium; returns how many there were."""
    releases = await opened.api.list(SECRETS, namespace=NAMESPACE, labels=f"owner=helm,name={RELEASE}")
    for release in releases:
        await opened.api.delete(
            SECRETS, release["metadata"]["name"], namespace=NAMESPACE, uid=release["metadata"]["uid"]
        )
    return len(releases)


async def wait_for_cilium(
    opened: OpenedCluster, *, version: str, deadline: timedelta, platform: Platform = "applications"
) -> StepResult:
    """Return once Cilium serves every node. Raises PlatformFailed with KKP's words when Helm gave up."""
    await _start_anew(opened, version)
    waiting = _CiliumWatch(opened, version, platform)
    async with watching(*waiting.lives) as view:
        await view.until(
            waiting.missing,
            what=f"Cilium {version} on every node",
            deadline=deadline,
            tell=opened.tell,
            advice="Canal still carries the pods, the cluster works as before. Mend the cause, start the flow again.",
        )
    return confirmed(f"Cilium {version} runs on {len(waiting.nodes.objects)} nodes")


async def _start_anew(opened: OpenedCluster, version: str) -> None:
    """Have KKP try again if it gave up in an earlier run: it does when the ApplicationInstallation's spec changes.

    Deleting it instead would lose the initial values, and with them the tunnel port that does not clash: see
    docs/platform.md 4.2 and 4.3, docs/adr/0005-retry-by-touching-the-interval.md.
    """
    found = await opened.api.find(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE)
    if found is None or not has_given_up(narrowing.application(found)):
        return
    interval = INTERVALS[found["spec"].get("reconciliationInterval") == INTERVALS[0]]
    opened.tell(f"KKP gave up installing Cilium {version} before: making it try again")
    patch = {"spec": {"reconciliationInterval": interval}}
    await opened.api.patch(APPLICATION_INSTALLATIONS, APPLICATION, patch, namespace=NAMESPACE)


class _CiliumWatch:
    """The watches behind `wait_for_cilium`, as one set of facts."""

    def __init__(self, opened: OpenedCluster, version: str, platform: Platform) -> None:
        self._version, self._is_addon = version, platform == "addons"
        self._progress = opened.progress
        api = opened.api
        self.cluster = opened.seed.live_cluster(opened.ref.name)
        self.applications = _one(api, APPLICATION_INSTALLATIONS, APPLICATION, narrowing.application)
        self.agents = _one(api, DAEMON_SETS, "cilium", narrowing.rollout)
        self.images = _one(api, DAEMON_SETS, "cilium", narrowing.image_tag)
        self.operator = _one(api, DEPLOYMENTS, "cilium-operator", narrowing.rollout)
        self.nodes = Live(api, NODES, narrowing.node)
        self.cilium_nodes = Live(api, CILIUM_NODES, lambda item: item["metadata"]["name"])
        self.pods = Live(api, PODS, narrowing.crash, namespace=NAMESPACE, labels=_POD_LABELS[platform])
        self.lives: tuple[Live[Any], ...] = (
            self.cluster,
            self.applications,
            self.agents,
            self.images,
            self.operator,
            self.nodes,
            self.cilium_nodes,
            self.pods,
        )

    def missing(self) -> str | None:
        facts = self.facts()
        self._progress(len(facts.nodes & facts.cilium_nodes), len(facts.nodes), "nodes on which Cilium runs")
        missing = waits_for(facts)
        return None if missing is None else with_faults(missing, *self.lives)

    def facts(self) -> CiliumFacts:
        clusters = self.cluster.values()
        return CiliumFacts(
            desired_version=self._version,
            unhealthy=clusters[0].unhealthy() if clusters else ("the Cluster object is not there",),
            application=self.applications.get(APPLICATION, namespace=NAMESPACE),
            agents=self.agents.get("cilium", namespace=NAMESPACE),
            operator=self.operator.get("cilium-operator", namespace=NAMESPACE),
            nodes=frozenset(node.name for node in self.nodes.values() if not node.deleting),
            cilium_nodes=frozenset(self.cilium_nodes.values()),
            crashing=tuple(sorted(reason for reason in self.pods.values() if reason)),
            is_addon=self._is_addon,
            running_version=self.images.get("cilium", namespace=NAMESPACE) or "",
        )


async def verify_pods_on_cilium(opened: OpenedCluster, options: RestartOptions, *, deadline: timedelta) -> StepResult:
    """Return once Cilium has an endpoint for each pod of the pod network, matched by namespace, name and address."""
    pods = Live(opened.api, PODS, narrowing.pod)
    endpoints = Live(opened.api, CILIUM_ENDPOINTS, narrowing.endpoint)

    def missing() -> str | None:
        left = _to_move(pods.values(), endpoints.objects, options)
        names = ", ".join(sorted(pod.key for pod in left)[:3])
        return (
            with_faults(f"a CiliumEndpoint for each of {len(left)} pods ({names})", pods, endpoints) if left else None
        )

    async with watching(pods, endpoints) as view:
        await view.until(
            missing,
            what="every pod to be managed by Cilium",
            deadline=deadline,
            tell=opened.tell,
            advice="These pods still use Canal. Look at their events; start the flow again to restart them.",
        )
    return confirmed(f"{len(endpoints.objects)} pods have their CiliumEndpoint")


def _to_move(pods: tuple[Pod, ...], endpoints: Endpoints, options: RestartOptions) -> tuple[Pod, ...]:
    plan = plan_restart(pods, endpoints, options, target=CniType.CILIUM)
    left_alone = {skipped.pod.uid for skipped in plan.skipped}
    return tuple(pod for pod in pods_to_move(pods, endpoints, target=CniType.CILIUM) if pod.uid not in left_alone)


def _one(api: KubeApi, kind: Any, name: str, narrow: Any) -> Live[Any]:
    return Live(api, kind, narrow, namespace=NAMESPACE, fields=f"metadata.name={name}")
