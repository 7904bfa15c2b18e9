"""The status that a kubelet reports for its node. Pure; refuses to know where the answers come from."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_OID, uuid5

from lab.objects import Object, annotations_of, labels_of, name_of, timestamp, uid_of

MAX_PODS_ANNOTATION = "v1.kubelet-config.machine-controller.kubermatic.io/MaxPods"
"""How many pods the node takes; machine-controller's annotation for the kubelet's maxPods."""

DEFAULT_MAX_PODS = 110
_CAPACITY = {"cpu": "4", "memory": "8131904Ki", "ephemeral-storage": "50620216Ki", "hugepages-2Mi": "0"}
_PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)
NODE_INFO = {
    "architecture": "amd64",
    "containerRuntimeVersion": "containerd://1.7.28",
    "kernelVersion": "6.8.0-79-generic",
    "kubeProxyVersion": "",
    "kubeletVersion": "v1.34.11",
    "operatingSystem": "linux",
    "osImage": "Ubuntu 24.04.3 LTS",
}
NODE_LABELS = {
    "beta.kubernetes.io/arch": "amd64",
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "kubernetes.io/os": "linux",
}


def missing_labels(node: Object) -> dict[str, str]:
    """Return the labels that a kubelet gives its node and that this one lacks."""
    due = {**NODE_LABELS, "kubernetes.io/hostname": name_of(node)}
    return {key: value for key, value in due.items() if key not in labels_of(node)}


def address_of(node: Object) -> str | None:
    """Return the node's InternalIP, if it was reported."""
    for address in (node.get("status") or {}).get("addresses") or ():
        if address["type"] == "InternalIP":
            return str(address["address"])
    return None


SHUTTING_DOWN = "node is shutting down"
"""What a kubelet says of a node that goes down (Kubernetes pkg/kubelet/nodeshutdown)."""


def network_trouble(complaint: str | None) -> str | None:
    """Return what a kubelet's nodestatus.ReadyCondition makes of the network plugin's complaint, if there is one."""
    if complaint is None:
        return None
    return (
        "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
        f"message:Network plugin returns error: {complaint}"
    )


def node_status(node: Object, *, address: str, not_ready_because: str | None, boot_id: str | None) -> Object:
    """Return the kubelet's part of the status; conditions of others stay, unchanged ones keep their time.

    Without a boot id the node has the one that it reported, or its first.
    """
    reported = node.get("status") or {}
    boot = {} if boot_id is None else {"bootID": boot_id}
    pods = annotations_of(node).get(MAX_PODS_ANNOTATION, str(DEFAULT_MAX_PODS))
    capacity = {**_CAPACITY, "pods": pods}
    return {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name_of(node)}],
        "capacity": capacity,
        "allocatable": {**capacity, "cpu": "3800m", "memory": "7619904Ki"},
        "conditions": _conditions(reported.get("conditions") or (), not_ready_because),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {**NODE_INFO, **_identity(node), **(reported.get("nodeInfo") or {}), **boot},
    }


def _identity(node: Object) -> dict[str, str]:
    uid = uid_of(node)
    return {"machineID": uid.replace("-", ""), "systemUUID": uid, "bootID": str(uuid5(NAMESPACE_OID, uid))}


def _conditions(reported: Any, not_ready_because: str | None) -> list[Object]:
    before = {condition["type"]: condition for condition in reported}
    own = [_condition(before, (kind, "False", reason, message)) for kind, reason, message in _PRESSURES]
    if not_ready_because is None:
        own.append(_condition(before, ("Ready", "True", "KubeletReady", "kubelet is posting ready status")))
    else:
        own.append(_condition(before, ("Ready", "False", "KubeletNotReady", not_ready_because)))
    kinds = {condition["type"] for condition in own}
    return [condition for condition in reported if condition["type"] not in kinds] + own


def _condition(before: dict[str, Object], due: tuple[str, str, str, str]) -> Object:
    kind, status, reason, message = due
    old = before.get(kind)
    if old is not None and (kind, old["status"], old.get("reason"), old.get("message")) == due:
        return old
    now = timestamp()
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else now
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since,
    }
