"""What `kubectl get` says of pods and nodes in one word, after pkg/printers/internalversion of Kubernetes v1.34."""

from __future__ import annotations

from collections.abc import Callable

from lab.objects import Object, labels_of

_ROLE_PREFIX = "node-role.kubernetes.io/"


def pod_ready(pod: Object) -> str:
    """Return ready containers of all containers."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{len(pod['spec'].get('containers') or ())}"


def pod_restarts(pod: Object) -> str:
    """Return how often the pod's containers have been restarted."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return str(sum(s.get("restartCount", 0) for s in statuses))


def pod_status(pod: Object) -> str:
    """Return the most telling reason for the state of a pod, or its phase."""
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    initializing = _initializing(pod)
    if initializing:
        return initializing
    reason: str = status.get("reason") or status.get("phase") or "Unknown"
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif "terminated" in state:
            ended = state["terminated"] or {}
            reason = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
        elif container.get("ready") and "running" in state:
            running = True
    return "Running" if reason == "Completed" and running else reason


def _initializing(pod: Object) -> str:
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or ()
    for i, container in enumerate(statuses):
        state = container.get("state") or {}
        if "terminated" in state:
            ended = state["terminated"] or {}
            if ended.get("exitCode", 0) == 0:
                continue
            return f"Init:{ended.get('reason') or 'ExitCode:' + str(ended['exitCode'])}"
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
    roles = sorted(key.removeprefix(_ROLE_PREFIX) for key in labels_of(node) if key.startswith(_ROLE_PREFIX))
    return ",".join(roles) or "<none>"


def node_address(kind: str) -> Callable[[Object], str]:
    """Return a cell with a node's address of a type."""

    def cell(node: Object) -> str:
        addresses = (node.get("status") or {}).get("addresses") or ()
        return next((a["address"] for a in addresses if a["type"] == kind), "<none>")

    return cell
