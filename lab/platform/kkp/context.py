"""What the KKP controllers of one user cluster share, and how each of them begins and ends a reconcile.

Source: KKP main, August 2026, pkg/controller/util/cluster.go (docs/platform.md 3.6). Refuses to know what any of them
does.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from lab.clock import Clock
from lab.errors import ApiError
from lab.faults import Faults
from lab.objects import Object, is_being_deleted, labels_of, timestamp
from lab.platform.kkp.profiles import TODAY, Profile
from lab.platform.kkp.recording import record_event
from lab.platform.runtime import Change, Controller, Site, ignoring
from lab.resources import CLUSTERS, Resource
from lab.settings import Delays

NOT_FOUND, CONFLICT = 404, 409
_LEAST_ENFORCE_REAL_SECONDS = 2.0


@dataclass
class Context:
    """One user cluster, the seed that runs it, the release of KKP there, and the lab's settings."""

    seed: Site
    user: Site
    cluster: str
    clock: Clock
    delays: Delays
    faults: Faults
    profile: Profile = TODAY
    control_plane_generation: int = 0
    """Generation of the Cluster up to which its control plane is configured."""

    @property
    def namespace(self) -> str:
        """Namespace of the control plane on the seed."""
        return f"cluster-{self.cluster}"

    @property
    def addon_delay(self) -> float:
        """Platform seconds from a change of the Cluster to the addons' turn."""
        return self.profile.addon_delay(self.delays)

    def enforced_after(self, seconds: float) -> float:
        """Return the platform seconds of a routine look, which a fast clock does not make a burden."""
        return max(seconds, _LEAST_ENFORCE_REAL_SECONDS * self.clock.speed)

    def mirrored(self) -> Object | None:
        """Return the Cluster as the seed's mirror holds it."""
        return self.seed.mirror.get(CLUSTERS, self.cluster)


class ReconcilingError(Exception):
    """A reconcile that cannot go on; KKP shows the message in an event and tries again."""


class KkpController(Controller):
    """A controller that serves one user cluster, and may look at both its seed and the cluster itself."""

    condition: ClassVar[str] = ""
    """Condition of the Cluster that tells how the last reconcile went."""
    seed_follows: ClassVar[tuple[Resource, ...]] = (CLUSTERS,)
    user_follows: ClassVar[tuple[Resource, ...]] = ()

    def __init__(self, context: Context) -> None:
        super().__init__(client=context.seed.client, mirror=context.seed.mirror, clock=context.clock)
        self.context = context

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await self.context.seed.mirror.follow(*self.seed_follows)
        await self.context.user.mirror.follow(*self.user_follows)
        await super().run()

    async def reconcile(self, key: str) -> float | None:
        """Let the controller act unless the cluster is none of its business, and report how that went."""
        cluster = self.context.mirrored()
        if cluster is None or is_ignored(cluster):
            return None
        try:
            again = await self.act(key, cluster)
        except (ApiError, ReconcilingError) as error:
            text = self.describe(key, error)
            await record_event(self.client, cluster, source=self.name, reason="ReconcilingError", message=text)
            await self.set_condition(self.condition, is_true=False)
            raise
        # Anything but a plain end counts as not done, even a look planned for later (docs/platform.md 3.6).
        await self.set_condition(self.condition, is_true=again is None)
        return again

    @abstractmethod
    async def act(self, key: str, cluster: Object) -> float | None:
        """Do the controller's work; returns platform seconds after which to look again, if any."""

    def describe(self, _key: str, error: Exception) -> str:
        """Return the text of the event for an error."""
        return str(error)

    def concerns(self, change: Change) -> bool:
        """Tell whether a change is one of this controller's Cluster."""
        return bool(change.object["metadata"]["name"] == self.context.cluster) and change.type != "DELETED"

    async def set_condition(self, name: str, *, is_true: bool, reason: str = "", message: str = "") -> None:
        """Leave a condition on the Cluster; nothing is written when it says so already."""
        cluster = self.context.mirrored()
        if not name or cluster is None:
            return
        version = self.context.profile.kubermatic_version
        wanted = {"status": str(is_true), "reason": reason, "message": message, "kubermaticVersion": version}
        held = ((cluster.get("status") or {}).get("conditions") or {}).get(name) or {}
        if {field: held.get(field, "") for field in wanted} == wanted:
            return
        now = timestamp()
        changed = {"lastTransitionTime": now} if held.get("status") != wanted["status"] else {}
        await self.patch_status({"conditions": {name: {**wanted, **changed, "lastHeartbeatTime": now}}})

    async def patch_status(self, status: dict[str, Any]) -> None:
        """Merge these fields into the Cluster's status."""
        with ignoring(NOT_FOUND):
            await self.client.patch(CLUSTERS, self.context.cluster, {"status": status}, subresource="status")


def is_ignored(cluster: Object) -> bool:
    """Tell whether KKP's seed controllers silently pass the cluster over (docs/platform.md 1.5)."""
    return bool(cluster["spec"].get("pause") or labels_of(cluster).get("worker-name") or is_being_deleted(cluster))


def is_healthy(cluster: Object, *components: str) -> bool:
    """Tell whether all of these components are HealthStatusUp."""
    health = (cluster.get("status") or {}).get("extendedHealth") or {}
    return all(health.get(component) == "HealthStatusUp" for component in components)
