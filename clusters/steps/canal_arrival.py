"""Waiting for Canal, which KKP applies as an addon once it is the Cluster's CNI. Source: docs/platform.md 3.3, 3.8."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from clusters import narrowing
from clusters.kinds import DAEMON_SETS, NODES, PODS
from clusters.seed import OpenedCluster
from clusters.steps.result import StepResult, confirmed
from clusters.watching import Live, watching, with_faults
from migration.canal import CanalFacts, waits_for

NAMESPACE: Final = "kube-system"
CANAL: Final = "canal"


async def wait_for_canal(opened: OpenedCluster, *, version: str, deadline: timedelta) -> StepResult:
    """Return once Canal serves every node: each has its podCIDR and a ready agent of this version."""
    waiting = _CanalWatch(opened, version)
    async with watching(*waiting.lives) as view:
        await view.until(
            waiting.missing,
            what=f"Canal {version} on every node",
            deadline=deadline,
            tell=opened.tell,
            advice="Cilium still carries the pods, the cluster works as before. Mend the cause, start the flow again.",
        )
    return confirmed(f"Canal {version} runs on {len(waiting.nodes.objects)} nodes")


class _CanalWatch:
    """The watches behind `wait_for_canal`, as one set of facts."""

    def __init__(self, opened: OpenedCluster, version: str) -> None:
        self._version = version
        api = opened.api
        self.cluster = opened.seed.live_cluster(opened.ref.name)
        self.nodes = Live(api, NODES, narrowing.node)
        self.agents: Live[Any] = Live(
            api, DAEMON_SETS, lambda found: found, namespace=NAMESPACE, fields=f"metadata.name={CANAL}"
        )
        self.pods = Live(api, PODS, narrowing.crash, namespace=NAMESPACE, labels=f"k8s-app={CANAL}")
        self.lives: tuple[Live[Any], ...] = (self.cluster, self.nodes, self.agents, self.pods)

    def missing(self) -> str | None:
        missing = waits_for(self.facts())
        return None if missing is None else with_faults(missing, *self.lives)

    def facts(self) -> CanalFacts:
        clusters = self.cluster.values()
        agents = self.agents.get(CANAL, namespace=NAMESPACE)
        return CanalFacts(
            desired_version=self._version,
            unhealthy=clusters[0].unhealthy() if clusters else ("the Cluster object is not there",),
            pod_cidrs={node.name: node.pod_cidr for node in self.nodes.values() if not node.deleting},
            agents=None if agents is None else narrowing.rollout(agents),
            running_version="" if agents is None else narrowing.image_tag(agents),
            crashing=tuple(sorted(reason for reason in self.pods.values() if reason)),
        )
