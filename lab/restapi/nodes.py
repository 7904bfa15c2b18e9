"""Machines and nodes as the REST API shows them (D pkg/handler/common/machine.go). Refuses to fetch any."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from lab.objects import Object, name_of
from lab.restapi.answers import metadata, without_empty

_GLUE = " & "
_INITIAL = timedelta(minutes=5)
"""How long the conditions of a new node can be kept quiet about."""
_NODE_INFO = ("kernelVersion", "containerRuntimeVersion", "kubeletVersion", "operatingSystem", "architecture")


def node_of_machine(machine: Object, nodes: Iterable[Object]) -> Object | None:
    """Return the node of a machine, by its reference or its label of ownership."""
    reference = ((machine.get("status") or {}).get("nodeRef") or {}).get("name")
    for node in nodes:
        owner = (node["metadata"].get("labels") or {}).get("machine-controller/owned-by")
        if name_of(node) == reference or owner == machine["metadata"]["uid"]:
            return node
    return None


def shown_machine(machine: Object, node: Object | None, *, hide_initial: bool) -> Object:
    """Return a machine as answers hold it, which is as a node."""
    spec, status = machine["spec"], machine.get("status") or {}
    provider = (spec.get("providerSpec") or {}).get("value") or {}
    reasons = [status["errorReason"]] if status.get("errorReason") else []
    messages = [status.get("errorMessage") or ""] if reasons else []
    system = provider.get("operatingSystem", "unknown")
    name = name_of(node) if node is not None else str((spec.get("metadata") or {}).get("name") or name_of(machine))
    return {
        **_without_annotations(metadata(machine, name=name)),
        "spec": {
            "cloud": {provider.get("cloudProvider", "unknown"): provider.get("cloudProviderSpec") or {}},
            "operatingSystem": {system: provider.get("operatingSystemSpec") or {}},
            "sshUserName": system,
            "versions": {"kubelet": (spec.get("versions") or {}).get("kubelet", "")},
        },
        "status": {
            "machineName": name_of(machine),
            **_status(node, reasons=reasons, messages=messages, hide_initial=hide_initial),
        },
    }


def shown_node(node: Object, *, hide_initial: bool) -> Object:
    """Return a node without a machine as answers hold it."""
    return {
        **_without_annotations(metadata(node)),
        "spec": {"cloud": {}, "operatingSystem": {}, "versions": {"kubelet": ""}},
        "status": {"machineName": "", **_status(node, reasons=[], messages=[], hide_initial=hide_initial)},
    }


def _without_annotations(found: Object) -> Object:
    return {key: value for key, value in found.items() if key != "annotations"}


def _status(node: Object | None, *, reasons: list[str], messages: list[str], hide_initial: bool) -> Object:
    status = ((node or {}).get("status") or {}) if node is not None else {}
    if node is not None and not (hide_initial and _is_new(node)):
        bad = [item for item in status.get("conditions") or () if _is_bad(item)]
        reasons = reasons + [item.get("reason", "") for item in bad]
        messages = messages + [item.get("message", "") for item in bad]
    addresses = [{"type": item["type"], "address": item["address"]} for item in status.get("addresses") or ()]
    return {
        "capacity": _amounts(status.get("capacity")),
        "allocatable": _amounts(status.get("allocatable")),
        **without_empty({"addresses": addresses}),
        "nodeInfo": {key: (status.get("nodeInfo") or {}).get(key, "") for key in _NODE_INFO},
        **without_empty({"errorReason": _GLUE.join(reasons), "errorMessage": _GLUE.join(messages)}),
    }


def _amounts(found: Object | None) -> Object:
    return {name: str((found or {}).get(name, "")) for name in ("cpu", "memory")}


def _is_bad(condition: Object) -> bool:
    return bool((condition["type"] == "Ready") != (condition["status"] == "True"))


def _is_new(node: Object) -> bool:
    created = datetime.fromisoformat(node["metadata"]["creationTimestamp"])
    return datetime.now(UTC) - created < _INITIAL
