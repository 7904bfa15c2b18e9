"""StatefulSets: numbered pods, started, updated and stopped in order. Refuses to bind volumes.

Kubernetes: pkg/controller/statefulset/stateful_set_control.go. Left out: `maxUnavailable` of the rolling update (alpha)
and the retention policy of claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from lab.objects import Object, is_being_deleted, is_pod_finished, labels_of, name_of, namespace_of
from lab.platform.runtime import ignoring
from lab.platform.workloads.podhealth import is_running_and_ready, seconds_until_available
from lab.platform.workloads.podtemplate import new_pod
from lab.platform.workloads.reconciling import PodController
from lab.platform.workloads.revisions import HASH_LABEL, current_revision, forget_old_revisions, template_of
from lab.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS, Resource

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True)
class _View:
    """A StatefulSet with its pods by ordinal at one moment."""

    found: Object
    update: Object
    current: Object
    pods: dict[int, Object]

    @property
    def ordinals(self) -> range:
        start = (self.found["spec"].get("ordinals") or {}).get("start", 0)
        return range(start, start + self.found["spec"].get("replicas", 1))

    @property
    def in_order(self) -> bool:
        return bool(self.found["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady")

    @property
    def rolls(self) -> bool:
        strategy = self.found["spec"].get("updateStrategy") or {}
        return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")

    @property
    def first_updated(self) -> int:
        """The lowest ordinal that takes the new template."""
        rolling = (self.found["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        return self.ordinals.start + int(rolling.get("partition", 0))

    def is_updated(self, pod: Object) -> bool:
        return labels_of(pod).get(HASH_LABEL) == name_of(self.update)


class StatefulSetController(PodController):
    """Keeps the numbered pods of every StatefulSet, one change after the other where order is asked for."""

    name = "statefulset"
    follows = (STATEFUL_SETS, CONTROLLER_REVISIONS, PODS)
    resource: ClassVar[Resource] = STATEFUL_SETS

    def wire(self) -> None:
        """Follow StatefulSets, their pods and revisions."""
        super().wire()
        self.watch_owned(CONTROLLER_REVISIONS, "StatefulSet")

    async def reconcile(self, key: str) -> float | None:
        """Take the next step that the order allows, and write the status."""
        found = self.find(key)
        if found is None or not self.is_settled(key):
            return None
        pods = await self.claim(found, PODS, self.orphans)
        if is_being_deleted(found):
            return None
        view = self._view(found, await current_revision(self, found), pods)
        if await self._fill(view) and await self._shrink(view) and view.rolls:
            await self._roll(view)
        live = {name_of(view.update), name_of(view.current), *(labels_of(pod).get(HASH_LABEL, "") for pod in pods)}
        await forget_old_revisions(self, found, {name.rpartition("-")[2] for name in live})
        await self._write_status(view)
        waits = [self._wait(view, pod) for pod in pods]
        return min((wait for wait in waits if wait), default=None)

    def _view(self, found: Object, update: Object, pods: list[Object]) -> _View:
        current_name = (found.get("status") or {}).get("currentRevision", "")
        namespace = namespace_of(found)
        current = self.mirror.get(CONTROLLER_REVISIONS, current_name, namespace=namespace) or update
        by_ordinal = {}
        for pod in pods:
            prefix, _, ordinal = name_of(pod).rpartition("-")
            if prefix == name_of(found) and ordinal.isdigit():
                by_ordinal[int(ordinal)] = pod
        return _View(found, update, current, by_ordinal)

    def _wait(self, view: _View, pod: Object) -> float | None:
        return seconds_until_available(pod, view.found["spec"].get("minReadySeconds", 0), self.clock)

    def _is_healthy(self, view: _View, pod: Object) -> bool:
        return not is_being_deleted(pod) and is_running_and_ready(pod) and self._wait(view, pod) == 0.0

    async def _fill(self, view: _View) -> bool:
        """Create missing pods and clear finished ones; tells whether the next kind of step may follow."""
        for ordinal in view.ordinals:
            pod = view.pods.get(ordinal)
            if pod is None:
                await self._create_pod(view, ordinal)
            elif is_pod_finished(pod) and not is_being_deleted(pod):
                await self.delete_all(view.found, PODS, [pod])
            elif self._is_healthy(view, pod):
                continue
            if view.in_order:
                return False
        return True

    async def _create_pod(self, view: _View, ordinal: int) -> None:
        found = view.found
        name = f"{name_of(found)}-{ordinal}"
        revision = view.current if view.rolls and ordinal < view.first_updated else view.update
        labels = {POD_NAME_LABEL: name, POD_INDEX_LABEL: str(ordinal), HASH_LABEL: name_of(revision)}
        pod = new_pod(found, template_of(revision), name=name, labels=labels)
        pod["spec"]["hostname"] = name
        pod["spec"]["subdomain"] = found["spec"].get("serviceName", "")
        for claim in found["spec"].get("volumeClaimTemplates") or ():
            await self._claim_volume(found, claim, pod)
        await self.create_all(found, PODS, [pod])

    async def _claim_volume(self, found: Object, template: Object, pod: Object) -> None:
        """Create the claim unless an earlier pod of this ordinal left it, and mount it."""
        claim_name = f"{name_of(template)}-{name_of(pod)}"
        metadata = {
            "name": claim_name,
            "namespace": namespace_of(found),
            "labels": {**labels_of(template), **((found["spec"]["selector"].get("matchLabels")) or {})},
        }
        resource = PERSISTENT_VOLUME_CLAIMS
        body = {"apiVersion": "v1", "kind": resource.kind, "metadata": metadata, "spec": template["spec"]}
        with ignoring(409):
            await self.client.create(resource, body)
        volume = {"name": name_of(template), "persistentVolumeClaim": {"claimName": claim_name}}
        held = [item for item in pod["spec"].get("volumes") or () if item["name"] != volume["name"]]
        pod["spec"]["volumes"] = [*held, volume]

    async def _shrink(self, view: _View) -> bool:
        """Delete pods beyond the wanted number, the highest first; tells whether none is left."""
        condemned = sorted((ordinal for ordinal in view.pods if ordinal not in view.ordinals), reverse=True)
        now = condemned[:1] if view.in_order else condemned
        await self.delete_all(view.found, PODS, [view.pods[ordinal] for ordinal in now])
        return not condemned

    async def _roll(self, view: _View) -> None:
        """Delete the highest pod of an older template, once all above it are healthy."""
        for ordinal in reversed(view.ordinals):
            pod = view.pods.get(ordinal)
            if ordinal < view.first_updated or pod is None:
                return
            if not view.is_updated(pod) and not is_being_deleted(pod):
                await self.delete_all(view.found, PODS, [pod])
                return
            if not self._is_healthy(view, pod):
                return

    async def _write_status(self, view: _View) -> None:
        replicas = view.found["spec"].get("replicas", 1)
        staying = [pod for pod in view.pods.values() if not is_being_deleted(pod)]
        ready = [pod for pod in view.pods.values() if is_running_and_ready(pod)]
        updated = sum(view.is_updated(pod) for pod in staying)
        current_name = name_of(view.current)
        if updated == replicas == len(view.pods) == len(ready):
            current_name = name_of(view.update)
        counts = {
            "readyReplicas": len(ready),
            "currentReplicas": sum(labels_of(pod).get(HASH_LABEL) == current_name for pod in staying),
            "updatedReplicas": updated,
        }
        status: dict[str, Any] = {field: count for field, count in counts.items() if count}
        status["replicas"] = len(view.pods)
        status["availableReplicas"] = sum(self._wait(view, pod) == 0.0 for pod in ready)
        status["currentRevision"] = current_name
        status["updateRevision"] = name_of(view.update)
        status["collisionCount"] = 0
        status["observedGeneration"] = view.found["metadata"].get("generation", 1)
        await self.write_status(STATEFUL_SETS, view.found, status)
