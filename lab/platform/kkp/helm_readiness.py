"""When Helm's --wait is satisfied with a live object. Refuses to wait.

Source: Helm pkg/kube/ready.go. The rules are weaker than they look: a DaemonSet may lack maxUnavailable ready pods, so
that two Cilium agents need not be ready at all (docs/platform.md 4.5).
"""

from __future__ import annotations

import math
from typing import Any

from lab.objects import Object

WAITED_FOR = frozenset({"DaemonSet", "Deployment", "StatefulSet"})
_DEFAULT_PERCENT = "25%"


def why_not_ready(live: Object) -> str:
    """Return why Helm still waits for an object, empty when it does not."""
    where = f"{live['kind']} is not ready: {live['metadata']['namespace']}/{live['metadata']['name']}"
    status = live.get("status") or {}
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 1):
        return f"{where}. Generation {live['metadata'].get('generation', 1)} has not been observed yet"
    if live["kind"] == "DaemonSet":
        return _daemon_set(live, status, where)
    expected = _wanted(live) - (_max_unavailable(live) if live["kind"] == "Deployment" else 0)
    updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
    if min(updated, ready) < expected:
        return f"{where}. {min(updated, ready)} out of {expected} expected pods are ready"
    return ""


def job_outcome(job: Object) -> str:
    """Return `complete`, `failed` or nothing yet for a hook's Job."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition["type"] in ("Complete", "Failed"):
            return str(condition["type"]).lower()
    return ""


def _daemon_set(live: Object, status: Object, where: str) -> str:
    desired, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
    if updated != desired:
        return f"{where}. {updated} out of {desired} expected pods have been scheduled"
    strategy = live["spec"].get("updateStrategy") or {}
    allowed = _scaled((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), desired, round_up=True)
    expected, ready = desired - allowed, status.get("numberReady", 0)
    return "" if ready >= expected else f"{where}. {ready} out of {expected} expected pods are ready"


def _wanted(live: Object) -> int:
    return int(live["spec"].get("replicas", 1))


def _max_unavailable(deployment: Object) -> int:
    strategy = deployment["spec"].get("strategy") or {}
    replicas = _wanted(deployment)
    if strategy.get("type") == "Recreate" or replicas == 0:
        return 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = _scaled(rolling.get("maxSurge", _DEFAULT_PERCENT), replicas, round_up=True)
    unavailable = _scaled(rolling.get("maxUnavailable", _DEFAULT_PERCENT), replicas, round_up=False)
    return min(unavailable or (0 if surge else 1), replicas)


def _scaled(value: Any, total: int, *, round_up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * total / 100
        return math.ceil(share) if round_up else math.floor(share)
    return int(value)
