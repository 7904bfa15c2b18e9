"""Fills in what kube-apiserver fills in for built-in kinds: spec defaults and the first status.

Refuses to change what is set. Values follow pkg/apis/*/v1/defaults.go and the strategies of Kubernetes v1.34; fields
that nothing in the lab or in kubectl reads are left out.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

from lab.objects import Object

_TOLERATION_SECONDS = 300
_SERVICE_NETWORK = IPv4Network("10.240.16.0/20")
"""KKP's default service network, clusterNetwork.services.cidrBlocks."""
_service_addresses = itertools.count(11)


_FIRST_STATUS: dict[str, Object] = {
    "Namespace": {"phase": "Active"},
    "PersistentVolumeClaim": {"phase": "Pending"},
    "Service": {"loadBalancer": {}},
}
_FIRST_COUNTS = {
    "DaemonSet": ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"),
    "PodDisruptionBudget": ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"),
    "ReplicaSet": ("replicas",),
    "StatefulSet": ("replicas", "availableReplicas"),
}
"""Counts of a status that are there even if they are nothing: Go's omitempty does not stand behind them."""


def apply_builtin_defaults(kind: str, found: Object) -> None:
    """Fill in the spec of a built-in kind, in place."""
    if kind == "Secret":
        _secret(found)
    filler = _FILLERS.get(kind)
    if filler is not None:
        filler(found, found.setdefault("spec", {}))


def first_status(kind: str, found: Object) -> Object | None:
    """Return the status that a new object starts with, None if it keeps the one it comes with (as a Node does)."""
    if kind == "Pod":
        return {"phase": "Pending", "qosClass": _quality_of_service(found["spec"])}
    if kind in _FIRST_COUNTS:
        return dict.fromkeys(_FIRST_COUNTS[kind], 0)
    if kind in _FIRST_STATUS:
        return dict(_FIRST_STATUS[kind])
    return {} if kind in _FILLERS and kind not in ("Node", "NetworkPolicy") else None


def _pod_spec(spec: Object) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        image = container.get("image", "")
        latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")
    for volume in spec.get("volumes") or ():
        if set(volume) == {"name"}:
            volume["emptyDir"] = {}
        for source in ("configMap", "secret"):
            if isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", 420)


def _pod(_: Object, spec: Object) -> None:
    _pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)


def tolerate_node_trouble(pod: Object) -> None:
    """Give a new pod the tolerations of the DefaultTolerationSeconds admission plugin, in place."""
    tolerations = pod["spec"].setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(t.get("key") in (key, None) and t.get("effect") in ("NoExecute", None, "") for t in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
            )


def _template(spec: Object) -> None:
    if isinstance(spec.get("template"), dict):
        _pod_spec(spec["template"].setdefault("spec", {}))


def _deployment(_: Object, spec: Object) -> None:
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")
    _template(spec)


def _replica_set(_: Object, spec: Object) -> None:
    spec.setdefault("replicas", 1)
    _template(spec)


def _stateful_set(_: Object, spec: Object) -> None:
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("serviceName", "")
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    _template(spec)


def _daemon_set(_: Object, spec: Object) -> None:
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    _template(spec)


def _job_spec(spec: Object) -> None:
    spec.setdefault("parallelism", 1)
    spec.setdefault("completions", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    _template(spec)


def _job(found: Object, spec: Object) -> None:
    """Jobs without a selector of their own get one on their uid, and so do their pods (pkg/registry/batch/job)."""
    _job_spec(spec)
    metadata = found["metadata"]
    if spec.get("selector") or spec.get("manualSelector") or not {"uid", "name"} <= metadata.keys():
        return
    labels = {
        "batch.kubernetes.io/controller-uid": metadata["uid"],
        "batch.kubernetes.io/job-name": metadata["name"],
        "controller-uid": metadata["uid"],
        "job-name": metadata["name"],
    }
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}}
    template = spec.setdefault("template", {}).setdefault("metadata", {})
    template["labels"] = {**(template.get("labels") or {}), **labels}


def _cron_job(_: Object, spec: Object) -> None:
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
    _template(job)


def _service(_: Object, spec: Object) -> None:
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("ipFamilies", ["IPv4"])
    if not spec.get("clusterIP"):
        spec["clusterIP"] = str(_SERVICE_NETWORK[next(_service_addresses) % (_SERVICE_NETWORK.num_addresses - 2) + 1])
    spec.setdefault("clusterIPs", [spec["clusterIP"]])


def _secret(found: Object) -> None:
    """`stringData` is only ever written (pkg/apis/core/v1/conversion.go)."""
    found.setdefault("type", "Opaque")
    plain = found.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()}
        found["data"] = {**(found.get("data") or {}), **encoded}


def name_namespace(found: Object) -> None:
    """Have a namespace carry its name as a label, in place (pkg/apis/core/v1/defaults.go)."""
    metadata = found["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata.get("name", "")}


def keep_cluster_address(old: Object, new: Object) -> None:
    """Give a Service that is replaced without its addresses the ones that it has, in place (patchAllocatedValues)."""
    held = old.get("spec") or {}
    if new["kind"] == "Service" and "ExternalName" not in (new["spec"].get("type"), held.get("type")):
        for field in ("clusterIP", "clusterIPs"):
            if not new["spec"].get(field) and held.get(field):
                new["spec"][field] = held[field]


def with_pod_addresses(pod: Object) -> Object:
    """Return a pod whose podIPs begin with its podIP (pkg/apis/core/v1/conversion.go)."""
    status = pod.get("status") or {}
    address, listed = status.get("podIP"), status.get("podIPs") or [{}]
    if not address or listed[0].get("ip") == address:
        return pod
    return {**pod, "status": {**status, "podIPs": [{"ip": address}]}}


def _node(_: Object, spec: Object) -> None:
    """The podCIDRs begin with the podCIDR (pkg/apis/core/v1/conversion.go)."""
    if spec.get("podCIDR") and (spec.get("podCIDRs") or [""])[0] != spec["podCIDR"]:
        spec["podCIDRs"] = [spec["podCIDR"]]


def _namespace(found: Object, spec: Object) -> None:
    name_namespace(found)
    finalizers = spec.setdefault("finalizers", ["kubernetes"])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")


def _network_policy(_: Object, spec: Object) -> None:
    spec.setdefault("podSelector", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


def _claim(_: Object, spec: Object) -> None:
    spec.setdefault("volumeMode", "Filesystem")


def _leave(_: Object, __: Object) -> None:
    """Nothing to fill in but an empty spec, which these kinds always have."""


_FILLERS: dict[str, Callable[[Object, Object], None]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "CronJob": _cron_job,
    "Service": _service,
    "Namespace": _namespace,
    "NetworkPolicy": _network_policy,
    "PersistentVolumeClaim": _claim,
    "PodDisruptionBudget": _leave,
    "Node": _node,
}


def _quality_of_service(spec: dict[str, Any]) -> str:
    resources = [container.get("resources") or {} for container in spec.get("containers") or ()]
    if not any(r.get("requests") or r.get("limits") for r in resources):
        return "BestEffort"
    limited = all({"cpu", "memory"} <= set(r.get("limits") or ()) for r in resources)
    if limited and all((r.get("requests") or r["limits"]) == r["limits"] for r in resources):
        return "Guaranteed"
    return "Burstable"
