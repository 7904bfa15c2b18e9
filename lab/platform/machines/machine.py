"""Machines: an instance for each, the Node that joins from it, and the way out with eviction and finalizers.

The cloud is only time that passes: instances live in this module. Refuses to replace Machines; MachineSets do.
Rules: machine-controller, August 2026, pkg/controller/machine/controller.go (docs/platform.md 7).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lab.clock import Clock
from lab.faults import Faults
from lab.objects import (
    Object,
    annotations_of,
    controller_of,
    is_being_deleted,
    key_of,
    name_of,
    namespace_of,
    split_key,
    timestamp,
    uid_of,
)
from lab.platform.machines.draining import Draining
from lab.platform.machines.joining import is_owned, joining_node, provider_id
from lab.platform.machines.sets import MACHINE_OF_NODE
from lab.platform.nodes.placement import is_node_ready
from lab.platform.runtime import Change, Controller, Site, ignoring
from lab.resources import MACHINE_SETS, MACHINES, NODES, PODS
from lab.settings import Delays

DELETE_INSTANCE = "machine-delete-finalizer"
DELETE_NODE = "machine-node-delete-finalizer"

GIVE_UP_EVICTION_SECONDS = 7200.0
"""Platform seconds of deletion after which eviction is skipped (--skip-eviction-after; KKP sets no flag)."""

LEAST_RETRY_SECONDS = 0.1
"""Real seconds between evictions at least, so that a held-back drain leaves time for others at any speed."""


@dataclass(slots=True)
class Instance:
    """A virtual machine in the cloud. Moments are the loop's time."""

    up_at: float
    joins_at: float
    never_joins: bool | None = None
    """Whether its node stays away; not decided before it is due."""
    doomed_at: float | None = None
    """Since when its Machine is being deleted."""
    gone_at: float | None = None
    """When the cloud will have deleted it, once asked to."""


class Machines(Controller):
    """Every Machine has an instance and a Node; a deleted one loses both, its pods first."""

    name = "machines"
    follows = (MACHINES, MACHINE_SETS, NODES, PODS)

    def __init__(self, site: Site, clock: Clock, delays: Delays, *, faults: Faults) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self._site = site
        self._delays = delays
        self._faults = faults
        self._draining = Draining(site)
        self._instances: dict[str, Instance] = {}

    def wire(self) -> None:
        """Follow Machines, and Nodes that name one."""
        self.mirror.subscribe(MACHINES, self._on_machine)
        self.mirror.subscribe(NODES, self._on_node)

    async def reconcile(self, key: str) -> float | None:
        """Take the Machine one step further; returns when the next is due."""
        namespace, name = split_key(key)
        machine = self.mirror.get(MACHINES, name, namespace=namespace)
        if machine is None:
            return None
        if is_being_deleted(machine):
            return await self._remove(machine)
        node = self._draining.node_of(machine)
        if node is not None:
            await self._acknowledge(machine, node)
            return None
        return await self._provide(machine)

    async def _provide(self, machine: Object) -> float | None:
        """Have the instance created, then its node join."""
        if (machine.get("status") or {}).get("nodeRef"):
            await self._lose_node(machine)
            return None
        instance = self._instances.get(uid_of(machine))
        if instance is None:
            await self._claim(machine)
            return self._order(machine)
        if (wait := self._left(instance.up_at)) > 0 or (wait := self._left(instance.joins_at)) > 0:
            return wait
        if instance.never_joins is None:
            instance.never_joins = self._is_kept_away(machine)
        if not instance.never_joins:
            await self._join(machine)
        return None

    async def _claim(self, machine: Object) -> None:
        """Have the finalizers on the Machine before anything exists that they protect."""
        held = machine["metadata"].get("finalizers") or []
        missing = [each for each in (DELETE_INSTANCE, DELETE_NODE) if each not in held]
        if missing:
            metadata = {"finalizers": [*held, *missing], "resourceVersion": machine["metadata"]["resourceVersion"]}
            change = {"metadata": metadata, "spec": {"providerID": provider_id(machine)}}
            await self._patch(machine, change)

    def _order(self, machine: Object) -> float:
        """Create the instance; returns the platform seconds until its node is due."""
        now = asyncio.get_running_loop().time()
        up_at = now + self.clock.real_seconds(self._delays.machine_create)
        instance = Instance(up_at, up_at + self.clock.real_seconds(self._delays.node_join))
        self._instances[uid_of(machine)] = instance
        return self._left(instance.joins_at)

    async def _join(self, machine: Object) -> None:
        body = joining_node(machine)
        with ignoring(409):
            await self.client.create(NODES, body)
        node = await self.client.get(NODES, name_of(machine))
        kubelet = str(body["status"]["nodeInfo"]["kubeletVersion"])
        reference = {"apiVersion": "v1", "kind": "Node", "name": name_of(node), "uid": uid_of(node)}
        versions = {"kubelet": kubelet.removeprefix("v")}
        await self._patch(machine, {"status": {"nodeRef": reference, "lastUpdated": timestamp(), "versions": versions}})

    async def _acknowledge(self, machine: Object, node: Object) -> None:
        """Have the Machine say that its node was ready once, and where it is reached."""
        conditions = machine["status"].get("conditions") or ()
        if not is_node_ready(node) or any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            return
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(), "lastHeartbeatTime": None}
        addresses = (node.get("status") or {}).get("addresses") or []
        await self._patch(
            machine,
            {"status": {"conditions": [ready], "addresses": addresses, "phase": "Running", "lastUpdated": timestamp()}},
        )

    async def _lose_node(self, machine: Object) -> None:
        """Drop the reference to a Node that somebody deleted; its kubelet does not register a second time."""
        instance = self._instances.setdefault(uid_of(machine), Instance(0, 0))
        instance.never_joins = True
        await self._patch(machine, {"status": {"nodeRef": None}})

    async def _remove(self, machine: Object) -> float | None:
        """Evict, delete the instance, delete the Node, and let the Machine go, in that order."""
        held = machine["metadata"].get("finalizers") or []
        instance = self._instances.setdefault(uid_of(machine), Instance(0, 0))
        if instance.doomed_at is None:
            instance.doomed_at = asyncio.get_running_loop().time()
        if DELETE_INSTANCE in held:
            wait = await self._remove_instance(machine, instance)
            if wait > 0:
                return wait
            machine = await self._drop_finalizer(machine, DELETE_INSTANCE)
        if DELETE_NODE in held:
            for node in self.mirror.all(NODES):
                if is_owned(node, machine):
                    with ignoring(404):
                        await self.client.delete(NODES, name_of(node), uid=uid_of(node))
            await self._drop_finalizer(machine, DELETE_NODE)
        return None

    async def _remove_instance(self, machine: Object, instance: Instance) -> float:
        """Return the platform seconds until the next look, zero when the instance is gone."""
        if instance.gone_at is None:
            doomed_for = -self._left(instance.doomed_at or 0.0)
            if doomed_for < GIVE_UP_EVICTION_SECONDS and await self._draining.evict(machine):
                return max(self._delays.eviction_retry, LEAST_RETRY_SECONDS / self.clock.real_seconds(1))
            existed = instance.up_at > 0 or self._draining.node_of(machine) is not None
            duration = self.clock.real_seconds(self._delays.machine_delete) if existed else 0.0
            instance.gone_at = asyncio.get_running_loop().time() + duration
        return self._left(instance.gone_at)

    async def _drop_finalizer(self, machine: Object, finalizer: str) -> Object:
        left = [each for each in machine["metadata"].get("finalizers") or () if each != finalizer]
        version = machine["metadata"]["resourceVersion"]
        return await self._patch(machine, {"metadata": {"finalizers": left or None, "resourceVersion": version}})

    async def _patch(self, machine: Object, change: Object) -> Object:
        """Change a Machine, its status too: KKP's definition has no status subresource (docs/platform.md 7.2)."""
        return await self.client.patch(MACHINES, name_of(machine), change, namespace=namespace_of(machine))

    def _is_kept_away(self, machine: Object) -> bool:
        subject = self._deployment_of(machine) or name_of(machine)
        return self._faults.for_platform("node-never-joins", cluster=self._site.name, subject=subject) is not None

    def _deployment_of(self, machine: Object) -> str | None:
        owner = controller_of(machine) or {}
        machine_set = self.mirror.get(MACHINE_SETS, owner.get("name", ""), namespace=namespace_of(machine))
        deployment = controller_of(machine_set) if machine_set is not None else None
        return str(deployment["name"]) if deployment is not None else None

    def _left(self, moment: float) -> float:
        """Return the platform seconds until a moment of the loop's time, negative when it has passed."""
        return (moment - asyncio.get_running_loop().time()) / self.clock.real_seconds(1)

    def _on_machine(self, change: Change) -> None:
        if change.type == "DELETED":
            self._instances.pop(uid_of(change.object), None)
        else:
            self.enqueue(key_of(change.object))

    def _on_node(self, change: Change) -> None:
        machine = annotations_of(change.object).get(MACHINE_OF_NODE)
        if machine is not None:
            self.enqueue(machine)
