"""Deployments: one ReplicaSet per template, rolled over as the strategy says. Refuses to touch pods.

Kubernetes: pkg/controller/deployment. Left out: proportional scaling of several ReplicaSets during a rollout; the
rolling update brings them to the wanted size all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.objects import (
    Object,
    annotations_of,
    is_being_deleted,
    is_pod_finished,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
)
from lab.platform.workloads.podtemplate import hash_of, with_label, without_label
from lab.platform.workloads.progress import available_condition, progress_deadline, progressing_condition
from lab.platform.workloads.reconciling import WorkloadController
from lab.platform.workloads.rollout import (
    DESIRED,
    MAX_REPLICAS,
    REVISION,
    TEMPLATE_HASH,
    Strategy,
    by_age,
    counts_of,
    is_complete,
    next_new_size,
    next_old_sizes,
    observed,
    replicas_of,
    revision_of,
    strategy_of,
)
from lab.resources import DEPLOYMENTS, PODS, REPLICA_SETS

if TYPE_CHECKING:
    from lab.platform.runtime import Change

_OWN_ANNOTATIONS = (REVISION, DESIRED, MAX_REPLICAS, "kubectl.kubernetes.io/last-applied-configuration")


SHORTEST_DEADLINE = 30.0
"""Real seconds that a rollout gets at least, however fast the lab's time passes: computing takes real time."""


class DeploymentController(WorkloadController):
    """Rolls every Deployment towards its template and reports progress as `kubectl rollout status` reads it."""

    name = "deployment"
    follows = (DEPLOYMENTS, REPLICA_SETS, PODS)

    def wire(self) -> None:
        """Follow Deployments, their ReplicaSets, and pods that a `Recreate` waits for to end."""
        self.orphans = self.index_orphans(REPLICA_SETS, DEPLOYMENTS)
        self.watch_owned(REPLICA_SETS, "Deployment")
        self.mirror.subscribe(PODS, self._on_pod)
        self.watch_owner(DEPLOYMENTS)

    def _on_pod(self, change: Change) -> None:
        if change.type != "DELETED" and not is_pod_finished(change.object):
            return
        namespace = namespace_of(change.object)
        replica_set_key = self.owner_key(change.object, "ReplicaSet")
        replica_set = replica_set_key and self.mirror.get(
            REPLICA_SETS, split_key(replica_set_key)[1], namespace=namespace
        )
        key = replica_set and self.owner_key(replica_set, "Deployment")
        deployment = key and self.mirror.get(DEPLOYMENTS, split_key(key)[1], namespace=namespace)
        if key and deployment and strategy_of(deployment).recreate:
            self.enqueue_soon(key)

    async def reconcile(self, key: str) -> float | None:
        """Take the next step of the rollout that the ReplicaSets allow, and write the status."""
        namespace, name = split_key(key)
        found = self.mirror.get(DEPLOYMENTS, name, namespace=namespace)
        if found is None or not self.is_settled(key):
            return None
        sets = by_age(await self.claim(found, REPLICA_SETS, self.orphans))
        new = _newest(found, sets)
        old = [item for item in sets if item is not new]
        if not is_being_deleted(found):
            if found["spec"].get("paused"):
                await self._scale_paused(found, new, old)
            elif strategy_of(found).recreate:
                new = await self._recreate(found, new, old)
            else:
                new = await self._roll(found, new, old)
        await self._write_status(found, new, sets)
        return None

    async def _roll(self, found: Object, new: Object | None, old: list[Object]) -> Object:
        strategy = strategy_of(found)
        others = sum(map(replicas_of, old))
        if new is None:
            return await self._create_set(found, old, next_new_size(0, others, strategy))
        size = next_new_size(replicas_of(new), others, strategy)
        grown = await self._adjust(found, new, old, size)
        if size == replicas_of(new):
            sizes = next_old_sizes(new, old, strategy)
            for item in old:
                await self._scale(item, sizes.get(name_of(item), replicas_of(item)), strategy)
        return grown

    async def _recreate(self, found: Object, new: Object | None, old: list[Object]) -> Object | None:
        strategy = strategy_of(found)
        for item in old:
            await self._scale(item, 0, strategy)
        if any(replicas_of(item) or self._has_pods(item) for item in old):
            return new
        if new is None:
            return await self._create_set(found, old, strategy.replicas)
        return await self._adjust(found, new, old, strategy.replicas)

    def _has_pods(self, replica_set: Object) -> bool:
        pods = self.mirror.owned_by(replica_set["metadata"]["uid"], PODS)
        return any(not is_pod_finished(pod) for pod in pods)

    async def _scale_paused(self, found: Object, new: Object | None, old: list[Object]) -> None:
        active = [item for item in (*old, *([new] if new else ())) if replicas_of(item)]
        only = active[0] if len(active) == 1 else new
        if only is not None and len(active) <= 1:
            strategy = strategy_of(found)
            await self._scale(only, strategy.replicas, strategy)

    async def _create_set(self, found: Object, old: list[Object], size: int) -> Object:
        template = found["spec"]["template"]
        template_hash = hash_of(template)
        revision = str(max(map(revision_of, old), default=0) + 1)
        strategy = strategy_of(found)
        metadata = {
            "name": f"{name_of(found)}-{template_hash}",
            "namespace": namespace_of(found),
            "labels": {**((template.get("metadata") or {}).get("labels") or {}), TEMPLATE_HASH: template_hash},
            "annotations": _set_annotations(found, revision, strategy),
            "ownerReferences": [owner_reference(found)],
        }
        selector = found["spec"]["selector"]
        pairs = {**(selector.get("matchLabels") or {}), TEMPLATE_HASH: template_hash}
        spec = {
            "replicas": size,
            "selector": {**selector, "matchLabels": pairs},
            "template": with_label(template, TEMPLATE_HASH, template_hash),
        }
        if min_ready := found["spec"].get("minReadySeconds"):
            spec["minReadySeconds"] = min_ready
        body = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}
        await self.create_all(found, REPLICA_SETS, [body])
        await self._note_revision(found, revision)
        return body

    async def _adjust(self, found: Object, new: Object, old: list[Object], size: int) -> Object:
        highest_old = max(map(revision_of, old), default=0)
        revision = str(revision_of(new) if revision_of(new) > highest_old else highest_old + 1)
        strategy = strategy_of(found)
        patch: Object = {}
        wanted = {**annotations_of(new), **_set_annotations(found, revision, strategy)}
        if wanted != annotations_of(new):
            patch["metadata"] = {"annotations": wanted}
        if size != replicas_of(new):
            patch["spec"] = {"replicas": size}
        if new["spec"].get("minReadySeconds", 0) != found["spec"].get("minReadySeconds", 0):
            patch.setdefault("spec", {})["minReadySeconds"] = found["spec"].get("minReadySeconds", 0)
        adjusted = await self.change(REPLICA_SETS, new, patch) if patch else new
        await self._note_revision(found, revision)
        return adjusted

    async def _note_revision(self, found: Object, revision: str) -> None:
        if annotations_of(found).get(REVISION) != revision:
            body = {"metadata": {"annotations": {REVISION: revision}}}
            await self.client.patch(DEPLOYMENTS, name_of(found), body, namespace=namespace_of(found))

    async def _scale(self, item: Object, size: int, strategy: Strategy) -> None:
        if size != replicas_of(item):
            annotations = _size_annotations(strategy)
            await self.change(
                REPLICA_SETS, item, {"metadata": {"annotations": annotations}, "spec": {"replicas": size}}
            )

    async def _write_status(self, found: Object, new: Object | None, sets: list[Object]) -> None:
        current = _newest(found, sets)
        counts = counts_of(found, current, sets)
        complete = current is not None and is_complete(found, counts)
        if complete:
            await self._clean_up(found, [item for item in sets if item is not current])
        patience = max(self.clock.real_seconds(progress_deadline(found)), SHORTEST_DEADLINE)
        progressing, again = progressing_condition(found, new, counts, complete=complete, patience=patience)
        status = {**counts, "conditions": [available_condition(found, counts), progressing]}
        await self.write_status(DEPLOYMENTS, found, status)
        if again is not None:
            self._later(key_of(found), again)

    async def _clean_up(self, found: Object, old: list[Object]) -> None:
        idle = [item for item in old if not replicas_of(item) and not observed(item, "replicas")]
        surplus = len(idle) - found["spec"].get("revisionHistoryLimit", 10)
        if surplus > 0:
            await self.delete_all(found, REPLICA_SETS, sorted(idle, key=revision_of)[:surplus])


def _newest(deployment: Object, sets: list[Object]) -> Object | None:
    """Return the oldest ReplicaSet with the Deployment's template, as kube's FindNewReplicaSet does."""
    template = without_label(deployment["spec"]["template"], TEMPLATE_HASH)
    for item in sets:
        if without_label(item["spec"]["template"], TEMPLATE_HASH) == template:
            return item
    return None


def _size_annotations(strategy: Strategy) -> dict[str, str]:
    return {DESIRED: str(strategy.replicas), MAX_REPLICAS: str(strategy.replicas + strategy.surge)}


def _set_annotations(deployment: Object, revision: str, strategy: Strategy) -> dict[str, str]:
    copied = {key: value for key, value in annotations_of(deployment).items() if key not in _OWN_ANNOTATIONS}
    return {**copied, REVISION: revision, **_size_annotations(strategy)}
