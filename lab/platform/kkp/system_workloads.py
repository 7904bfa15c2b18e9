"""What KKP keeps in a user cluster beside addons and applications: whatever of it is deleted comes back.

Source: KKP main, August 2026, pkg/controller/user-cluster-controller-manager/resources (docs/platform.md 6.4). Refuses
to touch what others added to these objects, so a `kubectl rollout restart` of them lasts.
"""

from __future__ import annotations

import ipaddress
from typing import ClassVar

from lab.objects import Object, name_of, namespace_of
from lab.platform.kkp.applying import bring_about
from lab.platform.kkp.context import Context
from lab.platform.kkp.rendering import render
from lab.platform.runtime import Change, Controller
from lab.resources import (
    CLUSTERS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    POD_DISRUPTION_BUDGETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)

_DNS_OFFSET = 10
"""The cluster DNS has the tenth address of the Service range."""


def system_objects(cluster: Object) -> list[Object]:
    """Return the system objects of a user cluster."""
    spec = cluster["spec"]
    services = ipaddress.ip_network(spec["clusterNetwork"]["services"]["cidrBlocks"][0])
    conditions = {
        "dashboard": (spec.get("kubernetesDashboard") or {}).get("enabled", True),
        "node-local-dns": spec["clusterNetwork"].get("nodeLocalDNSCacheEnabled", True),
        "user-ssh-keys-agent": spec.get("enableUserSSHKeyAgent", True),
    }
    return render(
        "system", {"dns_address": str(services[_DNS_OFFSET])}, {name for name, holds in conditions.items() if holds}
    )


class SystemWorkloads(Controller):
    """Keeps the system objects of one user cluster."""

    name: ClassVar[str] = "kkp-user-cluster-resources"
    follows: ClassVar[tuple[Resource, ...]] = (
        *(NAMESPACES, SERVICE_ACCOUNTS, CONFIG_MAPS, SERVICES),
        *(POD_DISRUPTION_BUDGETS, DEPLOYMENTS, DAEMON_SETS),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(client=context.user.client, mirror=context.user.mirror, clock=context.clock)
        self._context = context
        self._wanted: dict[str, Object] = {}

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await self._context.seed.mirror.follow(CLUSTERS)
        await super().run()

    def wire(self) -> None:
        """Look at an object when it goes or its spec changes, and at all when the Cluster's spec does."""
        self._context.seed.mirror.subscribe(CLUSTERS, self._on_cluster)
        for resource in self.follows:
            self.mirror.subscribe(resource, self._on_change)

    def _on_cluster(self, change: Change) -> None:
        if name_of(change.object) != self._context.cluster or change.type == "DELETED":
            return
        if change.before is not None and change.before["spec"] == change.object["spec"]:
            return
        self._wanted = {_key(found): found for found in system_objects(change.object)}
        for key in self._wanted:
            self.enqueue(key)

    def _on_change(self, change: Change) -> None:
        key = _key(change.object)
        if key in self._wanted and (change.type == "DELETED" or _differs(change)):
            self.enqueue(key)

    async def reconcile(self, key: str) -> float | None:
        """Leave the object as KKP wants it, unless the cluster is paused."""
        cluster, wanted = self._context.mirrored(), self._wanted.get(key)
        if wanted is not None and cluster is not None and not cluster["spec"].get("pause"):
            await bring_about(self.client, wanted)
        return None


def _key(found: Object) -> str:
    return f"{found['kind']}/{namespace_of(found)}/{name_of(found)}"


def _differs(change: Change) -> bool:
    if change.before is None:
        return False
    return any(change.before.get(part) != change.object.get(part) for part in ("spec", "data"))
