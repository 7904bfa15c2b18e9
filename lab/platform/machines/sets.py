"""MachineSets: as many Machines as asked for, and counts that leave out those being deleted.

Refuses to heal Machines: one whose node never joins stays until somebody deletes it.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from lab.clock import Clock
from lab.objects import (
    Object,
    annotations_of,
    controller_of,
    is_being_deleted,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from lab.platform.machines.template import random_suffix
from lab.platform.runtime import Change, Controller, Site, ignoring
from lab.resources import MACHINE_SETS, MACHINES, NODES

DELETE_MACHINE = "cluster.k8s.io/delete-machine"
"""Annotation of Machines to take first on scale-down (machine-controller's machineset/delete_policy.go)."""

MACHINE_OF_NODE = "cluster.k8s.io/machine"
"""Annotation of a Node: namespace/name of its Machine."""


class MachineSets(Controller):
    """Every MachineSet has its number of Machines; which are ready follows from their Nodes."""

    name = "machine-sets"
    follows = (MACHINE_SETS, MACHINES, NODES)

    def __init__(self, site: Site, clock: Clock) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self._created: defaultdict[str, dict[str, Object]] = defaultdict(dict)
        """Machines by uid that were created and not seen yet, per MachineSet uid."""
        self._deleted: set[str] = set()
        """Machines by uid that were deleted and not seen to be so yet."""

    def wire(self) -> None:
        """Follow MachineSets, their Machines and these Machines' Nodes."""
        self.mirror.subscribe(MACHINE_SETS, lambda change: self.enqueue(key_of(change.object)))
        self.mirror.subscribe(MACHINES, self._on_machine)
        self.mirror.subscribe(NODES, self._on_node)

    async def reconcile(self, key: str) -> float | None:
        """Create or delete Machines, then report the counts."""
        namespace, name = split_key(key)
        found = self.mirror.get(MACHINE_SETS, name, namespace=namespace)
        if found is None:
            return None
        if not is_being_deleted(found):
            missing = int(found["spec"].get("replicas", 1)) - len(self._active(found))
            for _ in range(missing):
                await self._create_machine(found)
            if missing < 0:
                await self._delete_machines(found, -missing)
        return await self._report(found)

    def _active(self, found: Object) -> list[Object]:
        """Return the Machines that count: those being deleted do not (shouldExcludeMachine)."""
        known = {uid_of(machine): machine for machine in self.mirror.owned_by(uid_of(found), MACHINES)}
        machines = {**self._created.get(uid_of(found), {}), **known}
        return [
            machine for uid, machine in machines.items() if uid not in self._deleted and not is_being_deleted(machine)
        ]

    async def _create_machine(self, found: Object) -> None:
        template = found["spec"]["template"]
        metadata = template.get("metadata") or {}
        body: Object = {
            "apiVersion": MACHINES.api_version,
            "kind": MACHINES.kind,
            "metadata": {
                "name": f"{name_of(found)}-{random_suffix()}",
                "namespace": namespace_of(found),
                "labels": dict(metadata.get("labels") or {}),
                "annotations": dict(metadata.get("annotations") or {}),
                "ownerReferences": [owner_reference(found)],
            },
            "spec": template.get("spec") or {},
        }
        created = await self.client.create(MACHINES, body)
        if self.mirror.get(MACHINES, name_of(created), namespace=namespace_of(created)) is None:
            self._created[uid_of(found)][uid_of(created)] = created

    async def _delete_machines(self, found: Object, count: int) -> None:
        for machine in sorted(self._active(found), key=self._worth_keeping)[:count]:
            self._deleted.add(uid_of(machine))
            try:
                with ignoring(404):
                    await self.client.delete(
                        MACHINES, name_of(machine), namespace=namespace_of(machine), uid=uid_of(machine)
                    )
            except BaseException:
                self._deleted.discard(uid_of(machine))
                raise

    def _worth_keeping(self, machine: Object) -> tuple[bool, bool, str]:
        """Sort Machines marked for deletion first, then those without a ready Node, then by age."""
        marked = bool(annotations_of(machine).get(DELETE_MACHINE))
        return not marked, self._ready_since(machine) is not None, machine["metadata"]["creationTimestamp"]

    def _ready_since(self, machine: Object) -> str | None:
        reference = (machine.get("status") or {}).get("nodeRef") or {}
        node = self.mirror.get(NODES, reference.get("name", ""))
        for condition in ((node or {}).get("status") or {}).get("conditions") or ():
            if condition["type"] == "Ready" and condition["status"] == "True":
                return str(condition["lastTransitionTime"])
        return None

    async def _report(self, found: Object) -> float | None:
        """Write the counts if they changed; returns when a ready Machine becomes available, if that is to come."""
        machines = self._active(found)
        template_labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        labelled = [machine for machine in machines if template_labels.items() <= labels_of(machine).items()]
        since = [moment for machine in machines if (moment := self._ready_since(machine)) is not None]
        waits = [self._wait_left(moment, found["spec"].get("minReadySeconds", 0)) for moment in since]
        pending = [wait for wait in waits if wait > 0]
        counts = {
            "fullyLabeledReplicas": len(labelled),
            "readyReplicas": len(since),
            "availableReplicas": len(waits) - len(pending),
        }
        status: dict[str, Any] = {
            "replicas": len(machines),
            "observedGeneration": found["metadata"]["generation"],
            **{key: value or None for key, value in counts.items()},
        }
        if {key: value for key, value in status.items() if value is not None} != (found.get("status") or {}):
            await self.client.patch(
                MACHINE_SETS, name_of(found), {"status": status}, namespace=namespace_of(found), subresource="status"
            )
        return min(pending, default=None)

    def _wait_left(self, ready_since: str, min_ready_seconds: float) -> float:
        """Return the platform seconds until a Machine has been ready long enough."""
        if not min_ready_seconds:
            return 0.0
        passed = (datetime.now(UTC) - datetime.fromisoformat(ready_since)).total_seconds()
        return min_ready_seconds - passed / self.clock.real_seconds(1)

    def _on_machine(self, change: Change) -> None:
        machine, owner = change.object, controller_of(change.object)
        if is_being_deleted(machine) or change.type == "DELETED":
            self._deleted.discard(uid_of(machine))
        if owner is None:
            return
        if created := self._created.get(owner["uid"]):
            created.pop(uid_of(machine), None)
            if not created:
                del self._created[owner["uid"]]
        self.enqueue(f"{namespace_of(machine)}/{owner['name']}")

    def _on_node(self, change: Change) -> None:
        namespace, name = split_key(annotations_of(change.object).get(MACHINE_OF_NODE, ""))
        machine = self.mirror.get(MACHINES, name, namespace=namespace)
        owner = controller_of(machine) if machine is not None else None
        if owner is not None:
            self.enqueue(f"{namespace}/{owner['name']}")
