"""What kubectl shows of nodes, workloads and the other kinds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.rows import CONTAINERS, NEVER_SCHEDULED, SPACE, condition, names, row_of, shown


@pytest.fixture(scope="module")
def space(api):
    api.post("/api/v1/namespaces", json={"metadata": {"name": SPACE}})
    return SPACE


READY = condition("Ready", reason="r", message="m")
NODES: dict[str, tuple[Any, ...]] = {
    "unknown": ({}, {}, {}, "Unknown", "<none>"),
    "ready": ({}, {}, {"conditions": [READY]}, "Ready", "<none>"),
    "not ready": ({}, {}, {"conditions": [{**READY, "status": "False"}]}, "NotReady", "<none>"),
    "lost": ({}, {}, {"conditions": [{**READY, "status": "Unknown"}]}, "NotReady", "<none>"),
    "cordoned": ({}, {"unschedulable": True}, {"conditions": [READY]}, "Ready,SchedulingDisabled", "<none>"),
    "roles": ({"node-role.kubernetes.io/b": "", "node-role.kubernetes.io/a": ""}, {}, {}, "Unknown", "a,b"),
    "older role": ({"kubernetes.io/role": "worker"}, {}, {}, "Unknown", "worker"),
}


def row_of_node(api, body, status):
    """Return the row of a node that is gone again, as others count on there being none."""
    name = body.setdefault("metadata", {}).setdefault("name", next(names))
    row = shown(api, "/api/v1/nodes", body, status)
    api.delete(f"/api/v1/nodes/{name}")
    return row


@pytest.mark.parametrize(("labels", "spec", "status", "says", "roles"), NODES.values(), ids=NODES.keys())
def test_what_a_nodes_row_says(api, *, labels, spec, status, says, roles):
    row = row_of_node(api, {"metadata": {"labels": labels}, "spec": spec}, status)

    assert (row["Status"], row["Roles"]) == (says, roles)
    assert (row["Internal-IP"], row["External-IP"], row["OS-Image"]) == ("<none>", "<none>", "<unknown>")


def test_the_wide_columns_of_a_node(api):
    information = dict.fromkeys(("architecture", "bootID", "machineID", "operatingSystem", "systemUUID"), "")
    information |= {"kubeletVersion": "v1.35.4", "kubeProxyVersion": "", "osImage": "Linux", "kernelVersion": "6.1"}
    information["containerRuntimeVersion"] = "containerd://2"
    addresses = [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "ExternalIP", "address": "1.2.3.4"}]

    row = row_of_node(api, {}, {"addresses": addresses, "nodeInfo": information})

    assert (row["Version"], row["Internal-IP"], row["External-IP"]) == ("v1.35.4", "10.0.0.1", "1.2.3.4")
    assert (row["OS-Image"], row["Kernel-Version"], row["Container-Runtime"]) == ("Linux", "6.1", "containerd://2")
    assert not any(cell is None for cell in row.values())


SELECTOR: dict[str, Any] = {
    "matchLabels": {"app": "web"},
    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web", "tier": "a"}},
    "spec": {"containers": CONTAINERS, **NEVER_SCHEDULED},
}
WIDE = {"Containers": "one,two", "Images": "example.com/one,example.com/two"}
WIDE_SELECTED = {**WIDE, "Selector": "app=web,tier in (a,b)"}
NOW = "2026-01-01T00:00:00.000000Z"

ROWS: dict[str, tuple[Any, ...]] = {
    "Deployment": (
        "/apis/apps/v1",
        "deployments",
        {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
        {"Ready": "0/0", "Up-to-date": 0, "Available": 0, **WIDE_SELECTED},
    ),
    "DaemonSet": (
        "/apis/apps/v1",
        "daemonsets",
        {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
        {
            **dict.fromkeys(("Desired", "Current", "Ready", "Up-to-date", "Available"), 0),
            "Node Selector": "none=such",
            **WIDE_SELECTED,
        },
    ),
    "StatefulSet": (
        "/apis/apps/v1",
        "statefulsets",
        {"spec": {"replicas": 0, "serviceName": "x", "selector": SELECTOR, "template": TEMPLATE}},
        {"Ready": "0/0", **WIDE},
    ),
    "ReplicaSet": (
        "/apis/apps/v1",
        "replicasets",
        {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
        {"Desired": 0, "Current": 0, "Ready": 0, **WIDE_SELECTED},
    ),
    "CronJob": (
        "/apis/batch/v1",
        "cronjobs",
        {
            "spec": {
                "schedule": "0 0 1 1 *",
                "suspend": True,
                "jobTemplate": {"spec": {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}},
            }
        },
        {
            "Schedule": "0 0 1 1 *",
            "Timezone": "<none>",
            "Suspend": "True",
            "Active": 0,
            "Last Schedule": "<none>",
            **WIDE,
            "Selector": "<none>",
        },
    ),
    "ConfigMap": ("/api/v1", "configmaps", {"data": {"x": "1"}, "binaryData": {"y": "MQ=="}}, {"Data": 2}),
    "Secret": ("/api/v1", "secrets", {"stringData": {"x": "1"}}, {"Type": "Opaque", "Data": 1}),
    "Service": (
        "/api/v1",
        "services",
        {"spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80, "name": "web"}]}},
        {
            "Type": "ClusterIP",
            "Cluster-IP": "None",
            "External-IP": "<none>",
            "Port(s)": "80/TCP",
            "Selector": "app=web",
        },
    ),
    "Service of another name": (
        "/api/v1",
        "services",
        {"spec": {"type": "ExternalName", "externalName": "example.com"}},
        {
            "Type": "ExternalName",
            "Cluster-IP": "<none>",
            "External-IP": "example.com",
            "Port(s)": "<none>",
            "Selector": "<none>",
        },
    ),
    "PodDisruptionBudget": (
        "/apis/policy/v1",
        "poddisruptionbudgets",
        {"spec": {"maxUnavailable": "50%", "selector": {"matchLabels": {"none": "such"}}}},
        {"Min Available": "N/A", "Max Unavailable": "50%", "Allowed Disruptions": 0},
    ),
    "NetworkPolicy": (
        "/apis/networking.k8s.io/v1",
        "networkpolicies",
        {"spec": {"podSelector": SELECTOR}},
        {"Pod-Selector": "app=web,tier in (a,b)"},
    ),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases", {"spec": {"holderIdentity": "me"}}, {"Holder": "me"}),
    "Endpoints": (
        "/api/v1",
        "endpoints",
        {"subsets": [{"addresses": [{"ip": f"10.0.0.{i}"} for i in range(1, 5)], "ports": [{"port": 80}]}]},
        {"Endpoints": "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more..."},
    ),
    "EndpointSlice": (
        "/apis/discovery.k8s.io/v1",
        "endpointslices",
        {"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
        {"AddressType": "IPv4", "Ports": "80", "Endpoints": "10.0.0.1"},
    ),
    "RoleBinding": (
        "/apis/rbac.authorization.k8s.io/v1",
        "rolebindings",
        {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [
                {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
                {"kind": "Group", "name": "g", "apiGroup": "rbac.authorization.k8s.io"},
                {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
            ],
        },
        {"Role": "ClusterRole/view", "Users": "u", "Groups": "g", "ServiceAccounts": "n/s"},
    ),
    "ServiceAccount": ("/api/v1", "serviceaccounts", {}, None),
    "ControllerRevision": (
        "/apis/apps/v1",
        "controllerrevisions",
        {"revision": 7, "data": {}},
        {"Controller": "<none>", "Revision": 7},
    ),
    "PersistentVolumeClaim": (
        "/api/v1",
        "persistentvolumeclaims",
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "fast",
            }
        },
        {
            "Status": "Pending",
            "Volume": "",
            "Capacity": "",
            "Access Modes": "",
            "StorageClass": "fast",
            "VolumeAttributesClass": "<unset>",
            "VolumeMode": "Filesystem",
        },
    ),
}


@pytest.mark.parametrize(("group", "plural", "body", "cells"), ROWS.values(), ids=ROWS.keys())
def test_what_a_row_says(api, space, *, group, plural, body, cells):
    row = shown(api, f"{group}/namespaces/{space}/{plural}", body)

    assert cells is None or row == cells


def test_what_an_events_row_says(api, space):
    event: dict[str, Any] = {
        "metadata": {"namespace": space, "name": next(names)},
        "involvedObject": {"kind": "Pod", "name": "one", "namespace": space, "fieldPath": "spec.x"},
        "type": "Warning",
        "reason": "Failed",
        "message": " it failed\n",
        "source": {"component": "kubelet", "host": "n1"},
        "firstTimestamp": "2020-01-01T00:00:00Z",
        "lastTimestamp": "2020-01-01T00:00:00Z",
        "count": 3,
    }
    where = f"/api/v1/namespaces/{space}/events"
    assert api.post(where, json=event).status_code == 201

    row = row_of(api, f"{where}/{event['metadata']['name']}")

    assert (row["Type"], row["Reason"], row["Object"], row["Message"]) == ("Warning", "Failed", "pod/one", "it failed")
    assert (row["Subobject"], row["Source"], row["Count"]) == ("spec.x", "kubelet, n1", 3)
    assert row["First Seen"] == row["Last Seen"]
    assert row["Last Seen"].endswith("d")


JOBS: dict[str, tuple[Any, ...]] = {
    "running": ([], "Running"),
    "complete": ([condition("SuccessCriteriaMet"), condition("Complete")], "Complete"),
    "failed": ([condition("FailureTarget"), condition("Failed")], "Failed"),
}


@pytest.mark.parametrize(("conditions", "says"), JOBS.values(), ids=JOBS.keys())
def test_what_a_jobs_row_says(api, space, conditions, says):
    # Of another controller, so that none changes its status.
    template = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
    body = {"spec": {"managedBy": "example.com/nobody", "completions": 2, "parallelism": 2, "template": template}}
    stamped = [{**held, "lastTransitionTime": NOW} for held in conditions]
    status: dict[str, Any] = {"startTime": "2026-01-01T00:00:00Z", "conditions": stamped}
    if says == "Complete":
        status |= {"completionTime": "2026-01-01T00:01:30Z", "succeeded": 2}

    row = shown(api, f"/apis/batch/v1/namespaces/{space}/jobs", body, status)

    done = says == "Complete"
    assert (row["Status"], row["Completions"], row["Containers"]) == (says, "2/2" if done else "0/2", "one,two")
    assert not done or row["Duration"] == "90s"
