"""From raw JSON to the models that the rules read. The only place that knows where a field lies in an object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from migration.cilium import ApplicationFacts, RolloutFacts
from migration.errors import InvalidRequest
from migration.facts import ClusterFacts, MachineDeploymentFacts, NodeFacts, WorkloadFacts
from migration.models import Cni, CniType, Owner, Pod

Json = Any

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
# machine-controller, pkg/controller/machine: the label that ties a Node to its Machine.
OWNED_BY_LABEL = "machine-controller/owned-by"
# Kubernetes, pkg/kubelet/container: the reasons of a container that waits for its turn; all others are trouble.
_STARTING = ("ContainerCreating", "PodInitializing")
_TEMPLATE_HASH = re.compile(r"-[a-z0-9]{5,10}$")


def cluster_facts(found: Json) -> ClusterFacts:
    """Narrow a KKP Cluster. Raises InvalidRequest for one without a CNI that this project knows."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    plugin = spec.get("cniPlugin") or {}
    if plugin.get("type") not in set(CniType):
        raise InvalidRequest(
            f"Cluster {metadata['name']} has CNI {plugin.get('type')!r}, which this project doesn't know: "
            "it handles canal and cilium"
        )
    labels = metadata.get("labels") or {}
    update = (status.get("conditions") or {}).get("UpdateProgress") or {}
    return ClusterFacts(
        name=metadata["name"],
        human_readable_name=spec.get("humanReadableName", ""),
        resource_version=metadata["resourceVersion"],
        cni=Cni(type=CniType(plugin["type"]), version=plugin.get("version", "")),
        proxy_mode=(spec.get("clusterNetwork") or {}).get("proxyMode", ""),
        kubernetes_version=spec.get("version", ""),
        namespace=status.get("namespaceName") or f"cluster-{metadata['name']}",
        phase=status.get("phase", ""),
        paused=bool(spec.get("pause")),
        deleting="deletionTimestamp" in metadata,
        worker_name=labels.get("worker-name", ""),
        labels=frozenset(labels),
        health=tuple(sorted((status.get("extendedHealth") or {}).items())),
        update_reason=update.get("reason", ""),
        api_url=str((status.get("address") or {}).get("url", "")),
    )


def pod(found: Json) -> Pod:
    """Narrow a Pod."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    labels = metadata.get("labels") or {}
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        node=spec.get("nodeName", ""),
        owner=_owner(metadata, labels),
        host_network=bool(spec.get("hostNetwork")),
        mirror=MIRROR_ANNOTATION in (metadata.get("annotations") or {}),
        phase=status.get("phase", "Pending"),
        ready=_condition(status, "Ready") == "True",
        deleting="deletionTimestamp" in metadata,
        addresses=tuple(entry["ip"] for entry in status.get("podIPs") or ()),
        labels=tuple(sorted(labels.items())),
        grace_seconds=spec.get("terminationGracePeriodSeconds", 30),
    )


def node(found: Json) -> NodeFacts:
    """Narrow a Node."""
    metadata, status = found["metadata"], found.get("status") or {}
    info = status.get("nodeInfo") or {}
    addresses = {entry["type"]: entry["address"] for entry in status.get("addresses") or ()}
    return NodeFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        ready=_condition(status, "Ready") == "True",
        cordoned=bool(found["spec"].get("unschedulable")),
        internal_address=addresses.get("InternalIP", ""),
        kernel=info.get("kernelVersion", ""),
        architecture=info.get("architecture", ""),
        owned_by_machine=OWNED_BY_LABEL in (metadata.get("labels") or {}),
        deleting="deletionTimestamp" in metadata,
    )


def machine_deployment(found: Json) -> MachineDeploymentFacts:
    """Narrow a MachineDeployment."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    return MachineDeploymentFacts(
        name=metadata["name"],
        namespace=metadata["namespace"],
        replicas=spec.get("replicas", 1),
        paused=bool(spec.get("paused")),
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        status_replicas=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
    )


def workload(found: Json, kind: str) -> WorkloadFacts:
    """Narrow a Deployment, StatefulSet or DaemonSet; lists carry no kind in their items."""
    status = found.get("status") or {}
    daemon = kind == "DaemonSet"
    return WorkloadFacts(
        workload=f"{found['metadata']['namespace']}/{kind}/{found['metadata']['name']}",
        desired=status.get("desiredNumberScheduled", 0) if daemon else found["spec"].get("replicas", 1),
        ready=status.get("numberReady" if daemon else "readyReplicas", 0),
    )


def rollout(found: Json) -> RolloutFacts:
    """Narrow a DaemonSet or Deployment to the progress of its rollout."""
    status = found.get("status") or {}
    daemon = "desiredNumberScheduled" in status or "replicas" not in found["spec"]
    return RolloutFacts(
        generation=found["metadata"].get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        desired=status.get("desiredNumberScheduled", 0) if daemon else found["spec"].get("replicas", 1),
        updated=status.get("updatedNumberScheduled" if daemon else "updatedReplicas", 0),
        ready=status.get("numberReady" if daemon else "readyReplicas", 0),
    )


def application(found: Json) -> ApplicationFacts:
    """Narrow an ApplicationInstallation."""
    metadata, status = found["metadata"], found.get("status") or {}
    ready = (status.get("conditions") or {}).get("Ready") or {}
    release = status.get("helmRelease") or {}
    return ApplicationFacts(
        generation=metadata.get("generation", 0),
        version=found["spec"]["applicationRef"]["version"],
        ready=ready.get("status", "Unknown"),
        ready_reason=ready.get("reason", ""),
        ready_message=ready.get("message", ""),
        ready_generation=ready.get("observedGeneration", 0),
        helm_status=(release.get("info") or {}).get("status", ""),
        failures=status.get("failures", 0),
        deleting="deletionTimestamp" in metadata,
    )


def endpoint_addresses(found: Json) -> frozenset[str]:
    """Return the addresses of a CiliumEndpoint."""
    networking = (found.get("status") or {}).get("networking") or {}
    pairs = networking.get("addressing") or ()
    return frozenset(address for pair in pairs for family in ("ipv4", "ipv6") if (address := pair.get(family)))


def crash(found: Json) -> str | None:
    """Return why a pod's container doesn't start (`pod on node: reason, message`), None if it does."""
    status = found.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for container in statuses:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, *_STARTING):
            ended = (container.get("lastState") or {}).get("terminated") or {}
            message = str(ended.get("message") or waiting.get("message") or "").strip().splitlines()
            where = f"{found['metadata']['name']} on {found['spec'].get('nodeName', 'no node')}"
            return f"{where}: {waiting['reason']}" + (f", {message[-1][:200]}" if message else "")
    return None


def _owner(metadata: Mapping[str, Any], labels: Mapping[str, str]) -> Owner | None:
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            kind, name = reference["kind"], reference["name"]
            if kind == "ReplicaSet" and "pod-template-hash" in labels:
                return Owner(kind="Deployment", name=_TEMPLATE_HASH.sub("", name))
            return Owner(kind=kind, name=name)
    return None


def _condition(status: Mapping[str, Any], kind: str) -> str:
    return next((c["status"] for c in status.get("conditions") or () if c["type"] == kind), "Unknown")
