"""What `kubectl get` says of roles, volumes, events and more (pkg/printers/internalversion, Kubernetes v1.35)."""

from __future__ import annotations

from lab.apiserver.durations import age
from lab.apiserver.tables.cells import AGE, CREATED_AT, NAME, Cell, Column, at, length
from lab.objects import Object

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _subjects(kind: str) -> Cell:
    def cell(binding: Object) -> str:
        found = [subject for subject in binding.get("subjects") or () if subject.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{subject.get('namespace', '')}/{subject['name']}" for subject in found)
        return ", ".join(subject["name"] for subject in found)

    return cell


def _event_object(event: Object) -> str:
    involved = event.get("involvedObject") or {}
    kind, name = str(involved.get("kind", "")).lower(), involved.get("name")
    return f"{kind}/{name}" if name else kind


def _first_seen(event: Object) -> str:
    return age(event.get("firstTimestamp") or event.get("eventTime"))


def _last_seen(event: Object) -> str:
    if event.get("series"):
        return age(event["series"].get("lastObservedTime"))
    return age(event["lastTimestamp"]) if event.get("lastTimestamp") else _first_seen(event)


def _event_count(event: Object) -> int:
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)


def _event_source(event: Object) -> str:
    source = event.get("source") or {}
    parts = (
        source.get("component") or event.get("reportingComponent"),
        source.get("host") or event.get("reportingInstance"),
    )
    return ", ".join(filter(None, parts))


def _controller(found: Object) -> str:
    for owner in found["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            return f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return "<none>"


def _class_name(found: Object) -> str:
    default = (found["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    return f"{found['metadata']['name']}{' (default)' if default else ''}"


def _claim_phase(claim: Object) -> str:
    if "deletionTimestamp" in claim["metadata"]:
        return "Terminating"
    return str((claim.get("status") or {}).get("phase", ""))


def _if_bound(cell: Cell) -> Cell:
    return lambda claim: cell(claim) if claim["spec"].get("volumeName") else ""


def _access_modes(claim: Object) -> str:
    return ",".join(_ACCESS_MODES.get(mode, mode) for mode in (claim.get("status") or {}).get("accessModes") or ())


def _service_of(api: Object) -> str:
    service = (api.get("spec") or {}).get("service")
    return f"{service['namespace']}/{service['name']}" if service else "Local"


def _availability(api: Object) -> str:
    for held in (api.get("status") or {}).get("conditions") or ():
        if held["type"] == "Available":
            return "True" if held["status"] == "True" else f"{held['status']} ({held.get('reason', '')})"
    return "Unknown"


_BINDING = (
    NAME,
    Column("Role", lambda binding: f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"),
    AGE,
    Column("Users", _subjects("User"), priority=1),
    Column("Groups", _subjects("Group"), priority=1),
    Column("ServiceAccounts", _subjects("ServiceAccount"), priority=1),
)
_WEBHOOKS = (NAME, Column("Webhooks", length("webhooks"), "integer"), AGE)

OTHER_COLUMNS: dict[str, tuple[Column, ...]] = {
    "Role": (NAME, CREATED_AT),
    "ClusterRole": (NAME, CREATED_AT),
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "CustomResourceDefinition": (NAME, CREATED_AT),
    "ValidatingWebhookConfiguration": _WEBHOOKS,
    "MutatingWebhookConfiguration": _WEBHOOKS,
    "APIService": (NAME, Column("Service", _service_of), Column("Available", _availability), AGE),
    "Lease": (NAME, Column("Holder", at("spec.holderIdentity", "")), AGE),
    "ControllerRevision": (
        NAME,
        Column("Controller", _controller),
        Column("Revision", at("revision", 0)),
        AGE,
    ),
    "PriorityClass": (
        NAME,
        Column("Value", at("value", 0), "integer"),
        Column("Global-Default", at("globalDefault", missing=False), "boolean"),
        AGE,
        Column("PreemptionPolicy", at("preemptionPolicy", "")),
    ),
    "StorageClass": (
        Column("Name", _class_name, format="name"),
        Column("Provisioner", at("provisioner", "")),
        Column("ReclaimPolicy", at("reclaimPolicy", "Delete")),
        Column("VolumeBindingMode", at("volumeBindingMode", "Immediate")),
        Column("AllowVolumeExpansion", at("allowVolumeExpansion", missing=False)),
        AGE,
    ),
    "PersistentVolumeClaim": (
        NAME,
        Column("Status", _claim_phase),
        Column("Volume", at("spec.volumeName", "")),
        Column("Capacity", _if_bound(at("status.capacity.storage", "0"))),
        Column("Access Modes", _if_bound(_access_modes)),
        Column("StorageClass", at("spec.storageClassName", "")),
        Column("VolumeAttributesClass", at("spec.volumeAttributesClassName", "<unset>")),
        AGE,
        Column("VolumeMode", at("spec.volumeMode", "<unset>"), priority=1),
    ),
    "Event": (
        Column("Last Seen", _last_seen),
        Column("Type", at("type", "")),
        Column("Reason", at("reason", "")),
        Column("Object", _event_object),
        Column("Subobject", at("involvedObject.fieldPath", ""), priority=1),
        Column("Source", _event_source, priority=1),
        Column("Message", lambda event: str(event.get("message", "")).strip()),
        Column("First Seen", _first_seen, priority=1),
        Column("Count", _event_count, priority=1),
        Column("Name", NAME.cell, priority=1, format="name"),
    ),
    "Namespace": (NAME, Column("Status", at("status.phase", "")), AGE),
    "ConfigMap": (NAME, Column("Data", length("data", "binaryData")), AGE),
    "Secret": (NAME, Column("Type", at("type", "Opaque")), Column("Data", length("data")), AGE),
    "PodDisruptionBudget": (
        NAME,
        Column("Min Available", at("spec.minAvailable", "N/A")),
        Column("Max Unavailable", at("spec.maxUnavailable", "N/A")),
        Column("Allowed Disruptions", at("status.disruptionsAllowed", 0), "integer"),
        AGE,
    ),
}
