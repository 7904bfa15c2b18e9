"""The columns that `kubectl get` shows of each kind, after pkg/printers/internalversion of Kubernetes v1.34.

Refuses to render tables: it only knows one object at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.apiserver.catalog import Definition
from lab.apiserver.durations import age, human, seconds_between
from lab.apiserver.jsonpath import find
from lab.apiserver.podcolumns import node_address, node_roles, node_status, pod_ready, pod_restarts, pod_status
from lab.objects import Object

Cell = Callable[[Object], Any]


@dataclass(frozen=True)
class Column:
    """One column. Those of a priority above 0 are for `-o wide`."""

    name: str
    cell: Cell
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    def definition(self) -> Object:
        """Return the columnDefinition of a Table."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def columns_of(definition: Definition) -> tuple[Column, ...]:
    """Return the columns of a kind, NAME and AGE if nothing else is known."""
    if definition.columns:
        return (_NAME, *(_custom(column) for column in definition.columns))
    if definition.resource.custom:
        return (_NAME, _AGE)
    return _COLUMNS.get(definition.resource.kind, (_NAME, _AGE))


def _custom(column: dict[str, Any]) -> Column:
    path, kind = column["jsonPath"], column.get("type", "string")

    def cell(found: Object) -> Any:
        values = find(found, path)
        if not values:
            return None
        if kind == "date":
            return age(values[0])
        if kind == "string":
            return values[0] if len(values) == 1 and isinstance(values[0], str) else ",".join(map(_text, values))
        return values[0]

    return Column(
        column["name"], cell, kind, column.get("priority", 0), column.get("format", ""), column.get("description", "")
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(path: str, missing: Any = "<none>") -> Cell:
    steps = path.split(".")

    def cell(found: Object) -> Any:
        here: Any = found
        for step in steps:
            here = here.get(step) if isinstance(here, dict) else None
        return missing if here is None or here == "" else here

    return cell


def _containers(field: str, *template: str) -> Cell:
    def cell(found: Object) -> str:
        here: Any = found["spec"]
        for step in template:
            here = here.get(step) or {}
        return ",".join(c.get(field, "") for c in here.get("containers") or ())

    return cell


def _fraction(part: str, whole: str) -> Cell:
    of_part, of_whole = _at(part, 0), _at(whole, 0)
    return lambda found: f"{of_part(found)}/{of_whole(found)}"


def _labels(labels: dict[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def _selector(found: Object) -> str:
    selector = found["spec"].get("selector") or {}
    return _labels(selector.get("matchLabels") if "matchLabels" in selector else selector)


def _ports(service: Object) -> str:
    ports = []
    for port in service["spec"].get("ports") or ():
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}")
    return ",".join(ports) or "<none>"


def _external_address(service: Object) -> str:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName"))
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = [*(i.get("ip") or i.get("hostname") for i in ingress), *(spec.get("externalIPs") or ())]
    return ",".join(addresses) or ("<pending>" if spec.get("type") == "LoadBalancer" else "<none>")


def _job_status(job: Object) -> str:
    conditions = {c["type"] for c in (job.get("status") or {}).get("conditions") or () if c["status"] == "True"}
    for shown in ("Complete", "Failed", "Suspended"):
        if shown in conditions:
            return shown
    return "Terminating" if "deletionTimestamp" in job["metadata"] else "Running"


def _job_duration(job: Object) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    return human(seconds_between(status["startTime"], status.get("completionTime")))


def _event_object(event: Object) -> str:
    involved = event.get("involvedObject") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


def _last_seen(event: Object) -> str:
    return age(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp"))


_NAME = Column("Name", lambda found: found["metadata"]["name"], format="name")
_AGE = Column("Age", lambda found: age(found["metadata"].get("creationTimestamp")))
_CONTAINERS = Column("Containers", _containers("name", "template", "spec"), priority=1)
_IMAGES = Column("Images", _containers("image", "template", "spec"), priority=1)
_SELECTOR = Column("Selector", _selector, priority=1)
_WORKLOAD = (_CONTAINERS, _IMAGES, _SELECTOR)
_DATA = Column("Data", lambda found: len(found.get("data") or ()) + len(found.get("binaryData") or ()), "integer")


def _number(name: str, path: str) -> Column:
    return Column(name, _at(path, 0), "integer")


_COLUMNS: dict[str, tuple[Column, ...]] = {
    "Pod": (
        _NAME,
        Column("Ready", pod_ready),
        Column("Status", pod_status),
        Column("Restarts", pod_restarts),
        _AGE,
        Column("IP", _at("status.podIP"), priority=1),
        Column("Node", _at("spec.nodeName"), priority=1),
        Column("Nominated Node", _at("status.nominatedNodeName"), priority=1),
        Column("Readiness Gates", lambda _: "<none>", priority=1),
    ),
    "Node": (
        _NAME,
        Column("Status", node_status),
        Column("Roles", node_roles),
        _AGE,
        Column("Version", _at("status.nodeInfo.kubeletVersion", "")),
        Column("Internal-IP", node_address("InternalIP"), priority=1),
        Column("External-IP", node_address("ExternalIP"), priority=1),
        Column("OS-Image", _at("status.nodeInfo.osImage", "<unknown>"), priority=1),
        Column("Kernel-Version", _at("status.nodeInfo.kernelVersion", "<unknown>"), priority=1),
        Column("Container-Runtime", _at("status.nodeInfo.containerRuntimeVersion", "<unknown>"), priority=1),
    ),
    "Deployment": (
        _NAME,
        Column("Ready", _fraction("status.readyReplicas", "spec.replicas")),
        _number("Up-to-date", "status.updatedReplicas"),
        _number("Available", "status.availableReplicas"),
        _AGE,
        *_WORKLOAD,
    ),
    "DaemonSet": (
        _NAME,
        _number("Desired", "status.desiredNumberScheduled"),
        _number("Current", "status.currentNumberScheduled"),
        _number("Ready", "status.numberReady"),
        _number("Up-to-date", "status.updatedNumberScheduled"),
        _number("Available", "status.numberAvailable"),
        Column("Node Selector", lambda found: _labels(found["spec"]["template"].get("spec", {}).get("nodeSelector"))),
        _AGE,
        *_WORKLOAD,
    ),
    "StatefulSet": (
        _NAME,
        Column("Ready", _fraction("status.readyReplicas", "spec.replicas")),
        _AGE,
        _CONTAINERS,
        _IMAGES,
    ),
    "ReplicaSet": (
        _NAME,
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
        _AGE,
        *_WORKLOAD,
    ),
    "Job": (
        _NAME,
        Column("Status", _job_status),
        Column("Completions", _fraction("status.succeeded", "spec.completions")),
        Column("Duration", _job_duration),
        _AGE,
        *_WORKLOAD,
    ),
    "CronJob": (
        _NAME,
        Column("Schedule", _at("spec.schedule")),
        Column("Timezone", _at("spec.timeZone")),
        Column("Suspend", lambda found: str(bool(found["spec"].get("suspend")))),
        Column("Active", lambda found: len((found.get("status") or {}).get("active") or ()), "integer"),
        Column(
            "Last Schedule",
            lambda found: (
                age(found["status"]["lastScheduleTime"])
                if (found.get("status") or {}).get("lastScheduleTime")
                else "<none>"
            ),
        ),
        _AGE,
    ),
    "Service": (
        _NAME,
        Column("Type", _at("spec.type")),
        Column("Cluster-IP", _at("spec.clusterIP")),
        Column("External-IP", _external_address),
        Column("Port(s)", _ports),
        _AGE,
        _SELECTOR,
    ),
    "Namespace": (_NAME, Column("Status", _at("status.phase", "")), _AGE),
    "ConfigMap": (_NAME, _DATA, _AGE),
    "Secret": (_NAME, Column("Type", _at("type", "Opaque")), _DATA, _AGE),
    "Event": (
        Column("Last Seen", _last_seen),
        Column("Type", _at("type", "")),
        Column("Reason", _at("reason", "")),
        Column("Object", _event_object),
        Column("Message", lambda event: str(event.get("message", "")).strip()),
    ),
    "PodDisruptionBudget": (
        _NAME,
        Column("Min Available", _at("spec.minAvailable", "N/A")),
        Column("Max Unavailable", _at("spec.maxUnavailable", "N/A")),
        _number("Allowed Disruptions", "status.disruptionsAllowed"),
        _AGE,
    ),
    "CustomResourceDefinition": (_NAME, Column("Created At", _at("metadata.creationTimestamp"), "date")),
}
