"""Tables, as kubectl asks for them: which columns each kind has."""

from __future__ import annotations

import pytest

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}

COLUMNS = [
    # A plus: for `-o wide`. A type behind a colon: not a string.
    ("/api/v1/namespaces", "Name | Status | Age"),
    (
        "/api/v1/nodes",
        "Name | Status | Roles | Age | Version | +Internal-IP | +External-IP | +OS-Image | +Kernel-Version | +Container-Runtime",
    ),
    ("/api/v1/pods", "Name | Ready | Status | Restarts | Age | +IP | +Node | +Nominated Node | +Readiness Gates"),
    ("/api/v1/configmaps", "Name | Data | Age"),
    ("/api/v1/secrets", "Name | Type | Data | Age"),
    ("/api/v1/services", "Name | Type | Cluster-IP | External-IP | Port(s) | Age | +Selector"),
    ("/api/v1/endpoints", "Name | Endpoints | Age"),
    ("/api/v1/serviceaccounts", "Name | Age"),
    (
        "/api/v1/events",
        "Last Seen | Type | Reason | Object | +Subobject | +Source | Message | +First Seen | +Count | +Name",
    ),
    (
        "/api/v1/persistentvolumeclaims",
        "Name | Status | Volume | Capacity | Access Modes | StorageClass | VolumeAttributesClass | Age | +VolumeMode",
    ),
    (
        "/apis/apps/v1/daemonsets",
        "Name | Desired:integer | Current:integer | Ready:integer | Up-to-date:integer | Available:integer | Node Selector | Age | +Containers | +Images | +Selector",
    ),
    ("/apis/apps/v1/deployments", "Name | Ready | Up-to-date | Available | Age | +Containers | +Images | +Selector"),
    (
        "/apis/apps/v1/replicasets",
        "Name | Desired:integer | Current:integer | Ready:integer | Age | +Containers | +Images | +Selector",
    ),
    ("/apis/apps/v1/statefulsets", "Name | Ready | Age | +Containers | +Images"),
    ("/apis/apps/v1/controllerrevisions", "Name | Controller | Revision | Age"),
    ("/apis/batch/v1/jobs", "Name | Status | Completions | Duration | Age | +Containers | +Images | +Selector"),
    (
        "/apis/batch/v1/cronjobs",
        "Name | Schedule | Timezone | Suspend:boolean | Active:integer | Last Schedule | Age | +Containers | +Images | +Selector",
    ),
    (
        "/apis/policy/v1/poddisruptionbudgets",
        "Name | Min Available | Max Unavailable | Allowed Disruptions:integer | Age",
    ),
    ("/apis/networking.k8s.io/v1/networkpolicies", "Name | Pod-Selector | Age"),
    ("/apis/discovery.k8s.io/v1/endpointslices", "Name | AddressType | Ports | Endpoints | Age"),
    ("/apis/coordination.k8s.io/v1/leases", "Name | Holder | Age"),
    ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "Name | Created At:date"),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "Name | Role | Age | +Users | +Groups | +ServiceAccounts",
    ),
    ("/apis/rbac.authorization.k8s.io/v1/roles", "Name | Created At:date"),
    ("/apis/rbac.authorization.k8s.io/v1/rolebindings", "Name | Role | Age | +Users | +Groups | +ServiceAccounts"),
    ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "Name | Created At:date"),
    ("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "Name | Webhooks:integer | Age"),
    ("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "Name | Webhooks:integer | Age"),
    ("/apis/apiregistration.k8s.io/v1/apiservices", "Name | Service | Available | Age"),
    (
        "/apis/storage.k8s.io/v1/storageclasses",
        "Name | Provisioner | ReclaimPolicy | VolumeBindingMode | AllowVolumeExpansion | Age",
    ),
    (
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        "Name | Value:integer | Global-Default:boolean | Age | PreemptionPolicy",
    ),
]


@pytest.mark.parametrize(("path", "columns"), COLUMNS, ids=[path.rpartition("/")[2] for path, _ in COLUMNS])
def test_every_kind_has_its_columns(api, path, columns):
    table = api.get(path, headers=TABLE, params={"limit": 1}).json()

    def shown(column):
        name = f"{'+' if column['priority'] else ''}{column['name']}"
        return name if column["type"] == "string" else f"{name}:{column['type']}"

    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert " | ".join(shown(column) for column in table["columnDefinitions"]) == columns
    assert [column["format"] for column in table["columnDefinitions"] if column["name"] == "Name"] == ["name"]
    assert all(set(column) >= {"name", "type", "format", "description"} for column in table["columnDefinitions"])


@pytest.fixture
def path(api, namespace):
    """Where the ConfigMaps a and b are."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("a", "b"):
        body = {"metadata": {"name": name, "labels": {"app": name}}, "data": {"x": "1", "y": "2"}}
        assert api.post(path, json=body).status_code == 201
    return path


def test_a_list_is_a_table_with_its_version(api, path):
    table = api.get(path, headers=TABLE).json()

    assert [row["cells"][:2] for row in table["rows"]] == [["a", 2], ["b", 2]]
    assert set(table["metadata"]) == {"resourceVersion"}


def test_an_object_is_a_table_with_one_row(api, path):
    table = api.get(f"{path}/a", headers=TABLE).json()

    (row,) = table["rows"]
    assert row["cells"][:2] == ["a", 2]
    assert table["metadata"]["resourceVersion"] == api.get(f"{path}/a").json()["metadata"]["resourceVersion"]


@pytest.mark.parametrize("query", [{}, {"includeObject": "Metadata"}, {"includeObject": ""}])
def test_a_row_comes_with_the_metadata(api, path, query):
    whole = api.get(f"{path}/a").json()

    row = api.get(path, headers=TABLE, params=query).json()["rows"][0]

    assert row["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": whole["metadata"],
    }


def test_a_row_comes_with_the_whole_object_if_asked(api, path):
    whole = api.get(f"{path}/a").json()

    assert api.get(path, headers=TABLE, params={"includeObject": "Object"}).json()["rows"][0]["object"] == whole


def test_a_row_comes_without_object_if_asked(api, path):
    row = api.get(path, headers=TABLE, params={"includeObject": "None"}).json()["rows"][0]

    assert row.get("object") is None


def test_anything_else_cannot_be_included(api, path):
    answer = api.get(path, headers=TABLE, params={"includeObject": "Colour"})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        'Unable to convert to Table as requested: includeObject: Invalid value: "Colour": '
        "must be 'Metadata', 'Object', 'None', or empty"
    )


def test_an_empty_table_has_columns(api, namespace):
    table = api.get(f"/api/v1/namespaces/{namespace}/secrets", headers=TABLE).json()

    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Type", "Data", "Age"]
    assert table["rows"] == []


def test_an_older_version_of_tables_is_known(api, path):
    headers = {"accept": "application/json;as=Table;v=v1beta1;g=meta.k8s.io"}
    table = api.get(path, headers=headers).json()

    assert table["apiVersion"] == table["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"
