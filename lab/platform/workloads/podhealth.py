"""How controllers count pods: active, ready, available. Refuses to know about any owner."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lab.objects import Object, is_being_deleted, is_pod_finished, is_pod_ready

if TYPE_CHECKING:
    from lab.clock import Clock


def is_active(pod: Object) -> bool:
    """Tell whether a pod counts as a replica: neither finished nor being deleted (kube `controller.IsPodActive`)."""
    return not is_being_deleted(pod) and not is_pod_finished(pod)


def is_running_and_ready(pod: Object) -> bool:
    """Tell whether a pod is in phase Running and Ready."""
    return (pod.get("status") or {}).get("phase") == "Running" and is_pod_ready(pod)


def parse_time(text: str) -> datetime:
    """Return the moment of a metav1.Time."""
    return datetime.fromisoformat(text)


def seconds_until_available(pod: Object, min_ready_seconds: int, clock: Clock) -> float | None:
    """Return platform seconds until the pod has been ready long enough: 0 when it is available, None when not ready."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready":
            if condition["status"] != "True":
                return None
            since = condition.get("lastTransitionTime")
            if not min_ready_seconds or not since:
                return 0.0
            ready_for = (datetime.now(UTC) - parse_time(since)).total_seconds() * clock.speed
            return max(0.0, min_ready_seconds - ready_for)
    return None
