"""What `kubectl get` says of pods and nodes in one word, after pkg/printers/internalversion of Kubernetes v1.35."""

from __future__ import annotations

from collections.abc import Callable

from lab.apiserver.durations import age
from lab.objects import Object, labels_of

_ROLE_PREFIX = "node-role.kubernetes.io/"
_OLDER_ROLE = "kubernetes.io/role"


def pod_ready(pod: Object) -> str:
    """Return ready containers of all containers, with those that stay beside them from the initialization on."""
    sidecars = _sidecars(pod)
    started = [s for s in _statuses(pod, "initContainerStatuses") if s["name"] in sidecars and s.get("started")]
    ready = sum(bool(s.get("ready")) for s in started)
    if not _is_initializing(pod):
        ready += sum(_runs(s) for s in _statuses(pod, "containerStatuses"))
    return f"{ready}/{len(pod['spec'].get('containers') or ()) + len(sidecars)}"


def pod_restarts(pod: Object) -> str:
    """Return how often the pod's containers have been restarted, and when that was the last time."""
    counted = _statuses(pod, "initContainerStatuses")
    if not _is_initializing(pod):
        sidecars = _sidecars(pod)
        counted = [s for s in counted if s["name"] in sidecars] + _statuses(pod, "containerStatuses")
    restarts = sum(s.get("restartCount", 0) for s in counted)
    ends = [((s.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for s in counted]
    last = max(filter(None, ends), default="")
    return f"{restarts} ({age(last)} ago)" if restarts and last else str(restarts)


def pod_status(pod: Object) -> str:
    """Return the most telling reason for the state of a pod, or its phase."""
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    initializing = _initializing(pod)
    if initializing and not _has(pod, "Initialized"):
        return initializing
    reason: str = status.get("reason") or status.get("phase") or ""
    if any(held.get("reason") == "SchedulingGated" for held in status.get("conditions") or ()):
        reason = "SchedulingGated"
    return _containers_say(pod, initializing or reason)


def _containers_say(pod: Object, reason: str) -> str:
    running, failure = False, ""
    for container in reversed(_statuses(pod, "containerStatuses")):
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            reason = _end(state["terminated"])
            failure = reason if state["terminated"].get("exitCode") else failure
        running = running or _runs(container)
    if reason != "Completed":
        return reason
    if running and _has(pod, "Ready"):
        return "Running"
    return failure or ("NotReady" if running else reason)


def _end(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def pod_address(pod: Object) -> str:
    """Return the first IP address of a pod."""
    addresses = (pod.get("status") or {}).get("podIPs") or ()
    return addresses[0].get("ip") or "<none>" if addresses else "<none>"


def pod_gates(pod: Object) -> str:
    """Return how many readiness gates of a pod are open."""
    gates = pod["spec"].get("readinessGates") or ()
    return f"{sum(_has(pod, gate['conditionType']) for gate in gates)}/{len(gates)}" if gates else "<none>"


def _statuses(pod: Object, field: str) -> list[Object]:
    return list((pod.get("status") or {}).get(field) or ())


def _runs(container: Object) -> bool:
    state = container.get("state") or {}
    if (state.get("waiting") or {}).get("reason") or state.get("terminated") is not None:
        return False
    return bool(container.get("ready")) and state.get("running") is not None


def _sidecars(pod: Object) -> set[str]:
    return {c["name"] for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"}


def _has(pod: Object, condition: str) -> bool:
    held = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == condition and c["status"] == "True" for c in held)


def _is_initializing(pod: Object) -> bool:
    return bool(_initializing(pod)) and not _has(pod, "Initialized")


def _initializing(pod: Object) -> str:
    sidecars = _sidecars(pod)
    for i, container in enumerate(_statuses(pod, "initContainerStatuses")):
        state = container.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and not ended.get("exitCode"):
            continue
        if container["name"] in sidecars and container.get("started"):
            continue
        if ended is not None:
            return f"Init:{_end(ended)}"
        waiting = (state.get("waiting") or {}).get("reason", "")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{i}/{len(pod['spec'].get('initContainers') or ())}"
    return ""


def node_status(node: Object) -> str:
    """Return whether a node is ready and takes pods."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = next((c["status"] for c in conditions if c["type"] == "Ready"), "")
    shown = {"True": "Ready", "": "Unknown"}.get(ready, "NotReady")
    return f"{shown},SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else shown


def node_roles(node: Object) -> str:
    """Return the roles that a node's labels give it."""
    labels = labels_of(node)
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    return ",".join(sorted(filter(None, roles | {labels.get(_OLDER_ROLE, "")}))) or "<none>"


def node_address(kind: str) -> Callable[[Object], str]:
    """Return a cell with a node's address of a type."""

    def cell(node: Object) -> str:
        addresses = (node.get("status") or {}).get("addresses") or ()
        return next((a["address"] for a in addresses if a["type"] == kind), "<none>")

    return cell
