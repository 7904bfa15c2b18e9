"""Binds pods to nodes, the only way in which a pod gets its node. Refuses to choose the node."""

from __future__ import annotations

from dataclasses import replace

from lab.apiserver.admission import Caller
from lab.apiserver.metadata import now, wrong_uid
from lab.apiserver.problems import bad_request, conflict
from lab.apiserver.registry import Registry
from lab.apiserver.store import Stored
from lab.errors import ApiError
from lab.objects import Object
from lab.resources import PODS

_BINDINGS = replace(PODS, plural="pods/binding")
"""How errors name the subresource."""


def bind(registry: Registry, name: str, node: str, *, namespace: str, by: Caller, uid: str = "") -> Stored:
    """Give a pod its node and return it; 409 if it has one or is another pod, 422 for no node."""
    if not node:
        raise ApiError(500, "target.name: Required value", reason="")

    def bound(pod: Object) -> Object:
        if uid and uid != pod["metadata"]["uid"]:
            raise wrong_uid(PODS, name, uid, pod["metadata"]["uid"])
        if "deletionTimestamp" in pod["metadata"]:
            raise conflict(_BINDINGS, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if pod["spec"].get("nodeName"):
            raise conflict(_BINDINGS, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
        others = [c for c in pod["status"].get("conditions") or () if c["type"] != "PodScheduled"]
        status = {**pod["status"], "conditions": [*others, scheduled]}
        return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}

    return registry.change(PODS, name, bound, by=by, namespace=namespace, subresource="binding")


def check_binding(body: Object, name: str) -> None:
    """Raise the refusal of a Binding that is not the pod's, or not to a node (pkg/registry/core/pod/storage)."""
    if (body.get("metadata") or {}).get("name", name) != name:
        raise bad_request("name in URL does not match name in Binding object")
    kind = (body.get("target") or {}).get("kind", "")
    if kind not in ("", "Node"):
        why = f'target.kind: Unsupported value: "{kind}": supported values: "Node", "<empty>"'
        raise ApiError(500, why, reason="")


def node_of(body: Object) -> str:
    """Return the node that a Binding, or a patch of `spec.nodeName` on the subresource, names."""
    target = (body.get("target") or {}).get("name") or (body.get("spec") or {}).get("nodeName")
    return str(target or "")
