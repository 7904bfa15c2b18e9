"""The Node that a machine's kubelet registers when it joins. Pure; refuses to write it."""

from __future__ import annotations

from lab.objects import Object, annotations_of, labels_of, name_of, namespace_of, timestamp, uid_of
from lab.platform.machines.sets import MACHINE_OF_NODE
from lab.platform.nodes.node_status import NODE_INFO, NODE_LABELS
from lab.platform.nodes.placement import NOT_READY

NODE_OWNER_LABEL = "machine-controller/owned-by"
KUBELET_CONFIG_PREFIX = "v1.kubelet-config.machine-controller.kubermatic.io/"
_OS_IMAGES = {"ubuntu": NODE_INFO["osImage"], "flatcar": "Flatcar Container Linux by Kinvolk 4230.2.2 (Oklo)"}


def provider_id(machine: Object) -> str:
    """Return the id that machine-controller gives instances of providers without a cloud controller manager."""
    provider = _provider_spec(machine).get("cloudProvider", "openstack")
    return f"kubermatic://{provider}/{uid_of(machine)}"


def joining_node(machine: Object) -> Object:
    """Return the Node as machine-controller leaves it: not ready, labelled and annotated as its Machine's."""
    spec, given = machine["spec"], machine["spec"].get("metadata") or {}
    system = str(_provider_spec(machine).get("operatingSystem", "ubuntu"))
    configuration = {
        key: value for key, value in annotations_of(machine).items() if key.startswith(KUBELET_CONFIG_PREFIX)
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name_of(machine),
            "labels": {
                **NODE_LABELS,
                **(given.get("labels") or {}),
                "kubernetes.io/hostname": name_of(machine),
                "x-kubernetes.io/distribution": system,
                NODE_OWNER_LABEL: uid_of(machine),
            },
            "annotations": {
                **configuration,
                **(given.get("annotations") or {}),
                MACHINE_OF_NODE: f"{namespace_of(machine)}/{name_of(machine)}",
            },
        },
        "spec": {"providerID": provider_id(machine), "taints": [*(spec.get("taints") or ()), _not_ready_taint()]},
        "status": {"nodeInfo": {**NODE_INFO, **node_info(machine), "osImage": _OS_IMAGES.get(system, system)}},
    }


def node_info(machine: Object) -> dict[str, str]:
    """Return what a Machine says about its node's software."""
    kubelet = str((machine["spec"].get("versions") or {}).get("kubelet", "")).removeprefix("v")
    return {"kubeletVersion": f"v{kubelet}"} if kubelet else {}


def is_owned(node: Object, machine: Object) -> bool:
    """Tell whether the Node belongs to the Machine."""
    return labels_of(node).get(NODE_OWNER_LABEL) == uid_of(machine)


def _provider_spec(machine: Object) -> Object:
    value: Object = (machine["spec"].get("providerSpec") or {}).get("value") or {}
    return value


def _not_ready_taint() -> Object:
    return {"key": NOT_READY, "effect": "NoSchedule", "timeAdded": timestamp()}
