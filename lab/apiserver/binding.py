"""Binds pods to nodes, the only way in which a pod gets its node. Refuses to choose the node."""

from __future__ import annotations

from lab.apiserver.admission import Caller
from lab.apiserver.metadata import now, wrong_uid
from lab.apiserver.problems import Violation, conflict, invalid
from lab.apiserver.registry import Registry
from lab.apiserver.store import Stored
from lab.objects import Object
from lab.resources import PODS


def bind(registry: Registry, name: str, node: str, *, namespace: str, by: Caller, uid: str = "") -> Stored:
    """Give a pod its node and return it; 409 if it has one or is another pod, 422 for no node."""
    if not node:
        raise invalid(PODS, name, [Violation.required("target.name")])

    def bound(pod: Object) -> Object:
        if uid and uid != pod["metadata"]["uid"]:
            raise wrong_uid(PODS, name, uid, pod["metadata"]["uid"])
        if pod["spec"].get("nodeName"):
            raise conflict(PODS, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
        if "deletionTimestamp" in pod["metadata"]:
            raise conflict(PODS, name, f"pod {name} is being deleted, cannot be assigned to a host")
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
        others = [c for c in pod["status"].get("conditions") or () if c["type"] != "PodScheduled"]
        status = {**pod["status"], "conditions": [*others, scheduled]}
        return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}

    return registry.change(PODS, name, bound, by=by, namespace=namespace, subresource="binding")


def node_of(body: Object) -> str:
    """Return the node that a Binding, or a patch of `spec.nodeName` on the subresource, names."""
    target = (body.get("target") or {}).get("name") or (body.get("spec") or {}).get("nodeName")
    return str(target or "")
