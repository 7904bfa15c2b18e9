"""From raw JSON to the models that the rules read. The only place that knows where a field lies in an object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from migration.cilium import ApplicationFacts, RolloutFacts
from migration.errors import InvalidRequest
from migration.facts import ClusterFacts, EndpointFacts, MachineDeploymentFacts, NodeFacts, WorkloadFacts
from migration.gitops import gitops_owner
from migration.models import Cni, CniType, Owner, Pod
from migration.probes import ProbePod
from migration.update_window import UpdateWindow

Json = Any

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
# machine-controller, pkg/controller/machine: the label that ties a Node to its Machine.
OWNED_BY_LABEL = "machine-controller/owned-by"
# Kubernetes, pkg/kubelet/container: the reasons of a container that waits for its turn; all others are trouble.
_STARTING = ("ContainerCreating", "PodInitializing")
# Kubernetes, well-known conditions of Nodes: those that are good when False.
_BAD_WHEN_TRUE = ("NetworkUnavailable", "MemoryPressure", "DiskPressure", "PIDPressure")
# Kubernetes, core/v1 TaintEffect: the third one is a mere preference.
_KEEPS_AWAY = ("NoSchedule", "NoExecute")
# Kubernetes, pkg/kubelet/images and pkg/kubelet/kuberuntime: said after more than one try, or when tries are in vain.
_HOPELESS = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
_NEVER_STARTED = ("StartError", "ContainerCannotRun")
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
    network = spec.get("clusterNetwork") or {}
    return ClusterFacts(
        name=metadata["name"],
        human_readable_name=spec.get("humanReadableName", ""),
        resource_version=metadata["resourceVersion"],
        cni=Cni(type=CniType(plugin["type"]), version=plugin.get("version", "")),
        proxy_mode=network.get("proxyMode", ""),
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
        kubermatic_version=_kubermatic_version(status.get("conditions") or {}),
        pod_cidrs=_blocks(network, "pods"),
        service_cidrs=_blocks(network, "services"),
        node_mask_bits=tuple(
            (family, int(network[key]))
            for family, key in ((4, "nodeCidrMaskSizeIPv4"), (6, "nodeCidrMaskSizeIPv6"))
            if network.get(key)
        ),
        # KKP 2.31, sdk: on unless it says no, which only old releases allowed.
        konnectivity=network.get("konnectivityEnabled") is not False,
        features=frozenset(name for name, is_on in (spec.get("features") or {}).items() if is_on),
        gitops_owner=owner_of(metadata),
        update_window=_update_window(spec.get("updateWindow") or {}),
    )


def owner_of(metadata: Mapping[str, Any]) -> str:
    """Return which GitOps tool keeps an object; empty if none is known."""
    return gitops_owner(metadata.get("labels") or {}, metadata.get("annotations") or {})


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
        deletion_due=_time(metadata.get("deletionTimestamp")),
        host_ports=_host_ports(spec),
        local_volumes=_local_volumes(spec),
        claims=_claims(spec),
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
        pod_cidr=found["spec"].get("podCIDR", ""),
        boot_id=info.get("bootID", ""),
        bad_conditions=tuple(kind for kind in _BAD_WHEN_TRUE if _condition(status, kind) == "True"),
        os_image=info.get("osImage", ""),
        taints=tuple(taint["key"] for taint in found["spec"].get("taints") or () if taint["effect"] in _KEEPS_AWAY),
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
        surge=_surge(spec),
        gitops_owner=owner_of(metadata),
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


def image_tag(found: Json) -> str:
    """Return the version in the image of a DaemonSet's or Deployment's first container."""
    image = str(found["spec"]["template"]["spec"]["containers"][0]["image"])
    return image.partition("@")[0].rpartition(":")[2]


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


def endpoint(found: Json) -> EndpointFacts:
    """Narrow a CiliumEndpoint."""
    pairs = ((found.get("status") or {}).get("networking") or {}).get("addressing") or ()
    addresses = frozenset(address for pair in pairs for family in ("ipv4", "ipv6") if (address := pair.get(family)))
    owners = found["metadata"].get("ownerReferences") or ()
    return EndpointFacts(addresses, next((owner["uid"] for owner in owners if owner["kind"] == "Pod"), ""))


def ready_endpoints(found: Json) -> int:
    """Return how many endpoints of an EndpointSlice are ready; one that doesn't say so is."""
    return sum(1 for entry in found.get("endpoints") or () if (entry.get("conditions") or {}).get("ready", True))


def is_available(found: Json) -> bool:
    """Tell whether an APIService is served."""
    return _condition(found.get("status") or {}, "Available") == "True"


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


def probe_pod(found: Json) -> ProbePod:
    """Narrow a pod of the probes, which has one container."""
    status = found.get("status") or {}
    statuses: Json = status.get("containerStatuses") or ({},)
    container = statuses[0].get("state") or {}
    waiting, ended = container.get("waiting") or {}, container.get("terminated") or {}
    placing = [condition for condition in status.get("conditions") or () if condition["type"] == "PodScheduled"]
    unplaced: Json = placing[0] if placing else {}
    is_unplaced = unplaced.get("reason") == "Unschedulable" and unplaced.get("status") == "False"
    stuck = unplaced if is_unplaced else ended if ended.get("reason") in _NEVER_STARTED else waiting or status
    trouble = ": ".join(str(stuck[key]) for key in ("reason", "message") if stuck.get(key))
    is_own_end = bool(ended) and ended.get("reason") not in _NEVER_STARTED
    return ProbePod(
        name=found["metadata"]["name"],
        phase=status.get("phase", "Pending"),
        ready=_condition(status, "Ready") == "True",
        address=status.get("podIP", ""),
        last_words=str(ended.get("message", "")) if is_own_end else None,
        trouble=trouble,
        is_hopeless=is_unplaced or waiting.get("reason") in _HOPELESS,
    )


def _owner(metadata: Mapping[str, Any], labels: Mapping[str, str]) -> Owner | None:
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            kind, name = reference["kind"], reference["name"]
            if kind == "ReplicaSet" and "pod-template-hash" in labels:
                return Owner(kind="Deployment", name=_TEMPLATE_HASH.sub("", name))
            return Owner(kind=kind, name=name)
    return None


def _update_window(found: Mapping[str, str]) -> UpdateWindow | None:
    window = UpdateWindow(start=found.get("start", ""), length=found.get("length", ""))
    return window if any(window) else None


def _kubermatic_version(conditions: Mapping[str, Any]) -> str:
    """Return the version of the condition that was written last: those of features no longer in use grow old."""
    newest: Mapping[str, Any] = max(
        conditions.values(), key=lambda found: found.get("lastHeartbeatTime", ""), default={}
    )
    return str(newest.get("kubermaticVersion", ""))


def _condition(status: Mapping[str, Any], kind: str) -> str:
    return next((c["status"] for c in status.get("conditions") or () if c["type"] == kind), "Unknown")


def _blocks(network: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple((network.get(key) or {}).get("cidrBlocks") or ())


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _host_ports(spec: Mapping[str, Any]) -> tuple[int, ...]:
    if spec.get("hostNetwork"):
        return ()
    return tuple(
        port["hostPort"]
        for container in spec["containers"]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def _local_volumes(spec: Mapping[str, Any]) -> tuple[str, ...]:
    volumes = spec.get("volumes") or ()
    return tuple(kind for kind in ("emptyDir", "hostPath") if any(kind in volume for volume in volumes))


def _claims(spec: Mapping[str, Any]) -> tuple[str, ...]:
    claims = (volume.get("persistentVolumeClaim") for volume in spec.get("volumes") or ())
    return tuple(claim["claimName"] for claim in claims if claim)


def _surge(spec: Mapping[str, Any]) -> int:
    """Return how many machines there are beyond the wanted ones during a rollout; a percentage rounds up."""
    surge = ((spec.get("strategy") or {}).get("rollingUpdate") or {}).get("maxSurge", 1)
    if isinstance(surge, str) and surge.endswith("%"):
        return -(-int(surge[:-1]) * int(spec.get("replicas", 1)) // 100)
    return int(surge)
