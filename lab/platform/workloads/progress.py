"""The conditions of a Deployment, which `kubectl rollout status` reads. Refuses to decide about replicas.

Kubernetes: pkg/controller/deployment/progress.go and util/deployment_util.go.
"""

from __future__ import annotations

from datetime import UTC, datetime

from lab.objects import Object, name_of, timestamp
from lab.platform.workloads.podhealth import parse_time
from lab.platform.workloads.rollout import strategy_of

_MOVING = ("updatedReplicas", "readyReplicas", "availableReplicas", "replicas", "observedGeneration")


def progress_deadline(deployment: Object) -> float:
    """Return the seconds after which a rollout without any progress counts as failed."""
    return float(deployment["spec"].get("progressDeadlineSeconds", 600))


def available_condition(deployment: Object, counts: Object) -> Object:
    """Return the Available condition for these numbers."""
    strategy = strategy_of(deployment)
    if counts.get("availableReplicas", 0) >= strategy.replicas - strategy.unavailable:
        message = "Deployment has minimum availability."
        return _condition(deployment, ("Available", "True", "MinimumReplicasAvailable"), message)
    message = "Deployment does not have minimum availability."
    return _condition(deployment, ("Available", "False", "MinimumReplicasUnavailable"), message)


def progressing_condition(
    deployment: Object, new: Object | None, counts: Object, *, complete: bool, patience: float
) -> tuple[Object, float | None]:
    """Return the Progressing condition, and real seconds until it may have to say that the patience is over."""
    what = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    last = _held(deployment, "Progressing")
    if complete:
        message = f"{what} has successfully progressed."
        return _condition(deployment, ("Progressing", "True", "NewReplicaSetAvailable"), message), None
    if deployment["spec"].get("paused"):
        return _condition(deployment, ("Progressing", "Unknown", "DeploymentPaused"), "Deployment is paused"), None
    if last and last["reason"] == "NewReplicaSetAvailable" and what in last["message"]:
        return dict(last), None  # losing pods later is no rollout
    before = deployment.get("status") or {}
    moved = any(before.get(field, 0) != counts.get(field, 0) for field in _MOVING)
    if last is None or moved or last["reason"] in ("DeploymentPaused", "NewReplicaSetAvailable"):
        message = f"{what} is progressing."
        fresh = _condition(deployment, ("Progressing", "True", "ReplicaSetUpdated"), message)
        return {**fresh, "lastUpdateTime": timestamp()}, patience
    waited = (datetime.now(UTC) - parse_time(last["lastUpdateTime"])).total_seconds()
    if last["reason"] == "ProgressDeadlineExceeded" or waited >= patience:
        message = f"{what} has timed out progressing."
        return _condition(deployment, ("Progressing", "False", "ProgressDeadlineExceeded"), message), None
    return dict(last), patience - waited


def _held(deployment: Object, kind: str) -> Object | None:
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), None)


def _condition(deployment: Object, said: tuple[str, str, str], message: str) -> Object:
    """Return the condition of this type, status and reason; its times move only with what they stand for."""
    kind, status, reason = said
    before = _held(deployment, kind)
    if before and (before["status"], before["reason"], before["message"]) == (status, reason, message):
        return dict(before)
    now = timestamp()
    turned = before["lastTransitionTime"] if before and before["status"] == status else now
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": turned,
    }
