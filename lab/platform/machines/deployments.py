"""MachineDeployments: one MachineSet per template, and the rolling update from the old ones to the newest.

Refuses to judge progress: like machine-controller it evaluates no progressDeadlineSeconds and sets no conditions.
"""

from __future__ import annotations

from typing import Any

from lab.clock import Clock
from lab.objects import (
    Object,
    annotations_of,
    controller_of,
    is_being_deleted,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from lab.platform.machines.rollout import SetSize, Strategy, rolling_sizes, scaled_sizes
from lab.platform.machines.template import HASH_LABEL, encoded, template_hash, with_hash, without_hash
from lab.platform.runtime import Change, Controller, Site, ignoring
from lab.resources import MACHINE_DEPLOYMENTS, MACHINE_SETS

# machine-controller, pkg/controller/util/machine_deployment.go
REVISION = "machinedeployment.clusters.k8s.io/revision"
REVISION_HISTORY = "machinedeployment.clusters.k8s.io/revision-history"
DESIRED_REPLICAS = "machinedeployment.clusters.k8s.io/desired-replicas"
MAX_REPLICAS = "machinedeployment.clusters.k8s.io/max-replicas"


class MachineDeployments(Controller):
    """Every MachineDeployment has the MachineSets, and those the sizes, that its rollout calls for."""

    name = "machine-deployments"
    follows = (MACHINE_DEPLOYMENTS, MACHINE_SETS)

    def __init__(self, site: Site, clock: Clock) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)

    def wire(self) -> None:
        """Follow MachineDeployments and the MachineSets they own."""
        self.mirror.subscribe(MACHINE_DEPLOYMENTS, lambda change: self.enqueue(key_of(change.object)))
        self.mirror.subscribe(MACHINE_SETS, self._on_set)

    async def reconcile(self, key: str) -> float | None:
        """Take the rollout one step further and report where it is."""
        namespace, name = split_key(key)
        deployment = self.mirror.get(MACHINE_DEPLOYMENTS, name, namespace=namespace)
        if deployment is None or is_being_deleted(deployment):
            return None
        owned = sorted(self.mirror.owned_by(uid_of(deployment), MACHINE_SETS), key=_age)
        new = _newest(deployment, owned)
        old = [found for found in owned if found is not new]
        if deployment["spec"].get("paused"):
            await self._scale(deployment, new, old)
        elif new is None:
            await self._create_set(deployment, old)
            return None
        else:
            await self._roll(deployment, new, old)
        await self._report(deployment, new, owned)
        if new is not None and _is_complete(deployment):
            await self._remove_history(deployment, old)
        return None

    async def _create_set(self, deployment: Object, old: list[Object]) -> None:
        """Create the MachineSet of the present template; its name follows from the template, so never twice."""
        template = deployment["spec"]["template"]
        value = template_hash(template)
        strategy = Strategy.of(deployment["spec"])
        new = SetSize(f"{name_of(deployment)}-{encoded(value)}", 0, 0)
        selector = (deployment["spec"].get("selector") or {}).get("matchLabels") or {}
        labelled = with_hash(template, value)
        body: Object = {
            "apiVersion": MACHINE_SETS.api_version,
            "kind": MACHINE_SETS.kind,
            "metadata": {
                "name": new.name,
                "namespace": namespace_of(deployment),
                "labels": labelled["metadata"]["labels"],
                "annotations": _set_annotations(deployment, _next_revision(old)),
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {
                "replicas": rolling_sizes(strategy, new, [_size(found) for found in old])[new.name],
                "minReadySeconds": deployment["spec"].get("minReadySeconds", 0),
                "selector": {"matchLabels": {**selector, HASH_LABEL: value}},
                "template": labelled,
            },
        }
        with ignoring(409):
            await self.client.create(MACHINE_SETS, body)

    async def _roll(self, deployment: Object, new: Object, old: list[Object]) -> None:
        sizes = rolling_sizes(Strategy.of(deployment["spec"]), _size(new), [_size(found) for found in old])
        revision = _next_revision(old)
        held = int(annotations_of(new).get(REVISION, "0"))
        annotations = _set_annotations(deployment, max(revision, held))
        if 0 < held < revision:  # an old template is wanted again
            past = [*filter(None, annotations_of(new).get(REVISION_HISTORY, "").split(",")), str(held)]
            annotations[REVISION_HISTORY] = ",".join(past)
        await self._change_set(new, sizes[name_of(new)], annotations)
        for found in old:
            if sizes[name_of(found)] != found["spec"].get("replicas", 0):
                await self._change_set(found, sizes[name_of(found)], _replica_annotations(deployment))
        if annotations_of(deployment).get(REVISION) != annotations[REVISION]:
            change = {"metadata": {"annotations": {REVISION: annotations[REVISION]}}}
            await self.client.patch(
                MACHINE_DEPLOYMENTS, name_of(deployment), change, namespace=namespace_of(deployment)
            )

    async def _scale(self, deployment: Object, new: Object | None, old: list[Object]) -> None:
        sets = [found for found in (new, *reversed(old)) if found is not None]
        sizes = scaled_sizes(Strategy.of(deployment["spec"]).replicas, [_size(found) for found in sets])
        for found in sets:
            if sizes[name_of(found)] != found["spec"].get("replicas", 0):
                await self._change_set(found, sizes[name_of(found)], _replica_annotations(deployment))

    async def _change_set(self, found: Object, replicas: int, annotations: dict[str, str]) -> None:
        """Write size and annotations if they differ; a decision on an outdated MachineSet conflicts."""
        held = annotations_of(found)
        same = all(held.get(key) == value for key, value in annotations.items())
        if same and found["spec"].get("replicas", 0) == replicas:
            return
        change: dict[str, Any] = {
            "metadata": {"annotations": annotations, "resourceVersion": found["metadata"]["resourceVersion"]},
            "spec": {"replicas": replicas},
        }
        await self.client.patch(MACHINE_SETS, name_of(found), change, namespace=namespace_of(found))

    async def _report(self, deployment: Object, new: Object | None, owned: list[Object]) -> None:
        status = _status(deployment, new, owned)
        reported = deployment.get("status") or {}
        if {key: value for key, value in status.items() if value is not None} == reported:
            return
        await self.client.patch(
            MACHINE_DEPLOYMENTS,
            name_of(deployment),
            {"status": status},
            namespace=namespace_of(deployment),
            subresource="status",
        )

    async def _remove_history(self, deployment: Object, old: list[Object]) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit", 1)
        done = [found for found in old if not found["spec"].get("replicas") and not _count(found, "replicas")]
        for found in done[: max(len(done) - limit, 0)]:
            if not is_being_deleted(found):
                with ignoring(404):
                    await self.client.delete(MACHINE_SETS, name_of(found), namespace=namespace_of(found))

    def _on_set(self, change: Change) -> None:
        owner = controller_of(change.object)
        if owner is not None and owner["kind"] == MACHINE_DEPLOYMENTS.kind:
            self.enqueue(f"{namespace_of(change.object)}/{owner['name']}")


def _age(found: Object) -> tuple[str, int]:
    return found["metadata"]["creationTimestamp"], int(annotations_of(found).get(REVISION, "0"))


def _newest(deployment: Object, owned: list[Object]) -> Object | None:
    """Return the MachineSet that has the MachineDeployment's template, whichever hash it is labelled with."""
    wanted = without_hash(deployment["spec"]["template"])
    return next((found for found in owned if without_hash(found["spec"]["template"]) == wanted), None)


def _size(found: Object) -> SetSize:
    return SetSize(name_of(found), int(found["spec"].get("replicas", 0)), _count(found, "availableReplicas"))


def _count(found: Object, field: str) -> int:
    return int((found.get("status") or {}).get(field, 0))


def _next_revision(old: list[Object]) -> int:
    return max((int(annotations_of(found).get(REVISION, "0")) for found in old), default=0) + 1


def _replica_annotations(deployment: Object) -> dict[str, str]:
    strategy = Strategy.of(deployment["spec"])
    return {
        DESIRED_REPLICAS: str(strategy.replicas),
        MAX_REPLICAS: str(strategy.replicas + strategy.max_surge),
    }


def _set_annotations(deployment: Object, revision: int) -> dict[str, str]:
    return {**_replica_annotations(deployment), REVISION: str(revision)}


def _status(deployment: Object, new: Object | None, owned: list[Object]) -> dict[str, int | None]:
    """Return the status as a patch: a count of zero is left out, as `omitempty` does (docs/platform.md 7.2)."""
    wanted = sum(int(found["spec"].get("replicas", 0)) for found in owned)
    available = sum(_count(found, "availableReplicas") for found in owned)
    counts = {
        "observedGeneration": int(deployment["metadata"]["generation"]),
        "replicas": sum(_count(found, "replicas") for found in owned),
        "updatedReplicas": _count(new, "replicas") if new is not None else 0,
        "readyReplicas": sum(_count(found, "readyReplicas") for found in owned),
        "availableReplicas": available,
        "unavailableReplicas": max(wanted - available, 0),
    }
    return {key: value or None for key, value in counts.items()}


def _is_complete(deployment: Object) -> bool:
    """Tell whether the last reported status is that of a finished rollout (DeploymentComplete)."""
    wanted = Strategy.of(deployment["spec"]).replicas
    counts = [_count(deployment, field) for field in ("updatedReplicas", "replicas", "availableReplicas")]
    observed = _count(deployment, "observedGeneration") >= deployment["metadata"]["generation"]
    return observed and counts == [wanted] * len(counts)
