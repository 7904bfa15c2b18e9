"""The columns that `kubectl get` shows of each kind, after pkg/printers/internalversion of Kubernetes v1.35.

Refuses to render tables: it only knows one object at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.apiserver.catalog import Definition
from lab.apiserver.durations import age, human, seconds_between
from lab.apiserver.tables.cells import AGE, NAME, Cell, Column, age_at, at, fraction, labels, length, number, selector
from lab.apiserver.tables.jsonpath import find
from lab.apiserver.tables.network import NETWORK_COLUMNS
from lab.apiserver.tables.others import OTHER_COLUMNS
from lab.apiserver.tables.pods import (
    node_address,
    node_roles,
    node_status,
    pod_address,
    pod_gates,
    pod_ready,
    pod_restarts,
    pod_status,
)
from lab.objects import Object


def columns_of(definition: Definition) -> tuple[Column, ...]:
    """Return the columns of a kind, NAME and AGE if nothing else is known."""
    if definition.columns:
        return (NAME, *(_custom(column) for column in definition.columns))
    if definition.resource.custom:
        return (NAME, replace(AGE, type="date"))
    return _COLUMNS.get(definition.resource.kind, (NAME, AGE))


def _custom(column: dict[str, Any]) -> Column:
    path, kind = column["jsonPath"], column.get("type", "string")

    def cell(found: Object) -> Any:
        values = find(found, path)
        return _typed(values[0], kind) if values else None

    return Column(
        column["name"],
        cell,
        kind,
        column.get("priority", 0),
        column.get("format", ""),
        column.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
    )


def _typed(value: Any, kind: str) -> Any:
    """Return a cell, None for a value of another type.

    Source: apiextensions-apiserver v0.35, pkg/registry/customresource/tableconvertor/tableconvertor.go.
    """
    if kind == "date":
        return age(value)
    if kind == "string":
        return _text(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if kind == "integer" else value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _containers(field: str, template: str) -> Cell:
    spec = at(template, {})
    return lambda found: ",".join(c.get(field, "") for c in spec(found).get("containers") or ())


def _job_status(job: Object) -> str:
    conditions = {c["type"] for c in (job.get("status") or {}).get("conditions") or () if c["status"] == "True"}
    deleted = {"Terminating"} if "deletionTimestamp" in job["metadata"] else set()
    shown = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")
    return next((name for name in shown if name in conditions | deleted), "Running")


def _job_completions(job: Object) -> str:
    done, wanted = (job.get("status") or {}).get("succeeded", 0), job["spec"].get("completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallel = job["spec"].get("parallelism") or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _job_duration(job: Object) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    return human(seconds_between(status["startTime"], status.get("completionTime")))


def _workload(template: str = "spec.template.spec", selected_by: str = "spec.selector") -> tuple[Column, ...]:
    return (
        Column("Containers", _containers("name", template), priority=1),
        Column("Images", _containers("image", template), priority=1),
        Column("Selector", selector(selected_by), priority=1),
    )


_COLUMNS: dict[str, tuple[Column, ...]] = {
    **NETWORK_COLUMNS,
    **OTHER_COLUMNS,
    "Pod": (
        NAME,
        Column("Ready", pod_ready),
        Column("Status", pod_status),
        Column("Restarts", pod_restarts),
        AGE,
        Column("IP", pod_address, priority=1),
        Column("Node", at("spec.nodeName"), priority=1),
        Column("Nominated Node", at("status.nominatedNodeName"), priority=1),
        Column("Readiness Gates", pod_gates, priority=1),
    ),
    "Node": (
        NAME,
        Column("Status", node_status),
        Column("Roles", node_roles),
        AGE,
        Column("Version", at("status.nodeInfo.kubeletVersion", "")),
        Column("Internal-IP", node_address("InternalIP"), priority=1),
        Column("External-IP", node_address("ExternalIP"), priority=1),
        Column("OS-Image", at("status.nodeInfo.osImage", "<unknown>"), priority=1),
        Column("Kernel-Version", at("status.nodeInfo.kernelVersion", "<unknown>"), priority=1),
        Column("Container-Runtime", at("status.nodeInfo.containerRuntimeVersion", "<unknown>"), priority=1),
    ),
    "Deployment": (
        NAME,
        Column("Ready", fraction("status.readyReplicas", "spec.replicas")),
        number("Up-to-date", "status.updatedReplicas", "string"),
        number("Available", "status.availableReplicas", "string"),
        AGE,
        *_workload(),
    ),
    "DaemonSet": (
        NAME,
        number("Desired", "status.desiredNumberScheduled"),
        number("Current", "status.currentNumberScheduled"),
        number("Ready", "status.numberReady"),
        number("Up-to-date", "status.updatedNumberScheduled"),
        number("Available", "status.numberAvailable"),
        Column("Node Selector", lambda found: labels(found["spec"]["template"].get("spec", {}).get("nodeSelector"))),
        AGE,
        *_workload(),
    ),
    "StatefulSet": (
        NAME,
        Column("Ready", fraction("status.readyReplicas", "spec.replicas")),
        AGE,
        *_workload()[:2],
    ),
    "ReplicaSet": (
        NAME,
        number("Desired", "spec.replicas"),
        number("Current", "status.replicas"),
        number("Ready", "status.readyReplicas"),
        AGE,
        *_workload(),
    ),
    "Job": (
        NAME,
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
        *_workload(),
    ),
    "CronJob": (
        NAME,
        Column("Schedule", at("spec.schedule")),
        Column("Timezone", at("spec.timeZone")),
        Column("Suspend", lambda found: str(bool(found["spec"].get("suspend"))), "boolean"),
        Column("Active", length("status.active"), "integer"),
        Column("Last Schedule", age_at("status.lastScheduleTime", "<none>")),
        AGE,
        *_workload("spec.jobTemplate.spec.template.spec", "spec.jobTemplate.spec.selector"),
    ),
}
