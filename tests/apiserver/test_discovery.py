"""Which groups, versions and resources there are, whether the server is well, and which one it is."""

from __future__ import annotations

import re

import pytest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
ALL_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

RESOURCES = [
    # Where, name, kind, whether in namespaces, short names, categories.
    ("/api/v1", "namespaces", "Namespace", False, "ns", ""),
    ("/api/v1", "nodes", "Node", False, "no", ""),
    ("/api/v1", "pods", "Pod", True, "po", "all"),
    ("/api/v1", "configmaps", "ConfigMap", True, "cm", ""),
    ("/api/v1", "secrets", "Secret", True, "", ""),
    ("/api/v1", "services", "Service", True, "svc", "all"),
    ("/api/v1", "endpoints", "Endpoints", True, "ep", ""),
    ("/api/v1", "serviceaccounts", "ServiceAccount", True, "sa", ""),
    ("/api/v1", "events", "Event", True, "ev", ""),
    ("/api/v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, "pvc", ""),
    ("/api/v1", "persistentvolumes", "PersistentVolume", False, "pv", ""),
    ("/apis/apps/v1", "daemonsets", "DaemonSet", True, "ds", "all"),
    ("/apis/apps/v1", "deployments", "Deployment", True, "deploy", "all"),
    ("/apis/apps/v1", "replicasets", "ReplicaSet", True, "rs", "all"),
    ("/apis/apps/v1", "statefulsets", "StatefulSet", True, "sts", "all"),
    ("/apis/apps/v1", "controllerrevisions", "ControllerRevision", True, "", ""),
    ("/apis/batch/v1", "jobs", "Job", True, "", "all"),
    ("/apis/batch/v1", "cronjobs", "CronJob", True, "cj", "all"),
    ("/apis/policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", True, "pdb", ""),
    ("/apis/networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", True, "netpol", ""),
    ("/apis/discovery.k8s.io/v1", "endpointslices", "EndpointSlice", True, "", ""),
    ("/apis/coordination.k8s.io/v1", "leases", "Lease", True, "", ""),
    ("/apis/rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", False, "", ""),
    ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", False, "", ""),
    ("/apis/rbac.authorization.k8s.io/v1", "roles", "Role", True, "", ""),
    ("/apis/rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding", True, "", ""),
    (
        "/apis/apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        "crd crds",
        "api-extensions",
    ),
    (
        "/apis/admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        False,
        "",
        "api-extensions",
    ),
    (
        "/apis/admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        False,
        "",
        "api-extensions",
    ),
    ("/apis/apiregistration.k8s.io/v1", "apiservices", "APIService", False, "", "api-extensions"),
    ("/apis/storage.k8s.io/v1", "storageclasses", "StorageClass", False, "sc", ""),
    ("/apis/scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", False, "pc", ""),
]
RESOURCE_NAMES = [row[1] for row in RESOURCES]


@pytest.mark.parametrize("row", RESOURCES, ids=RESOURCE_NAMES)
def test_every_resource_is_described(api, row):
    path, name, kind, namespaced, short_names, categories = row
    listed = api.get(path).json()

    entry = next(entry for entry in listed["resources"] if entry["name"] == name)
    entry.pop("storageVersionHash", None)
    described = {
        "name": name,
        "singularName": kind.lower(),
        "namespaced": namespaced,
        "kind": kind,
        "verbs": [verb for verb in ALL_VERBS if (name, verb) != ("namespaces", "deletecollection")],
    }
    if short_names:
        described["shortNames"] = short_names.split()
    if categories:
        described["categories"] = categories.split()
    assert entry == described
    assert (listed["kind"], listed.get("apiVersion")) == ("APIResourceList", None if path == "/api/v1" else "v1")
    assert listed["groupVersion"] == path.removeprefix("/apis/").removeprefix("/api/")


GET_AND_WRITE = ["get", "patch", "update"]
SUBRESOURCES = [
    ("/api/v1", "pods/status", {"kind": "Pod", "verbs": GET_AND_WRITE}),
    ("/api/v1", "pods/log", {"kind": "Pod", "verbs": ["get"]}),
    ("/api/v1", "pods/binding", {"kind": "Binding", "verbs": ["create"]}),
    ("/api/v1", "pods/eviction", {"group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"]}),
    ("/api/v1", "namespaces/finalize", {"kind": "Namespace", "verbs": ["update"]}),
    ("/api/v1", "nodes/status", {"kind": "Node", "verbs": GET_AND_WRITE}),
    (
        "/api/v1",
        "serviceaccounts/token",
        {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest", "verbs": ["create"]},
    ),
    *(
        (
            "/apis/apps/v1",
            f"{name}/scale",
            {"group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": GET_AND_WRITE},
        )
        for name in ("deployments", "replicasets", "statefulsets")
    ),
    ("/apis/batch/v1", "jobs/status", {"kind": "Job", "verbs": GET_AND_WRITE}),
    ("/apis/policy/v1", "poddisruptionbudgets/status", {"kind": "PodDisruptionBudget", "verbs": GET_AND_WRITE}),
]


@pytest.mark.parametrize(("path", "name", "described"), SUBRESOURCES, ids=[row[1] for row in SUBRESOURCES])
def test_subresources_are_described(api, path, name, described):
    entry = next(entry for entry in api.get(path).json()["resources"] if entry["name"] == name)

    namespaced = name.partition("/")[0] not in ("namespaces", "nodes")
    assert entry == {"name": name, "singularName": "", "namespaced": namespaced, **described}


def test_resources_are_in_order(api):
    names = [entry["name"] for entry in api.get("/apis/apps/v1").json()["resources"]]

    assert names == sorted(names)


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_the_core_group_has_one_version(api, path):
    found = api.get(path).json()

    assert (found["kind"], found["versions"]) == ("APIVersions", ["v1"])


@pytest.mark.parametrize("path", ["/apis", "/apis/"])
def test_groups_are_listed(api, path):
    found = api.get(path).json()

    groups = {group["name"]: group for group in found["groups"]}
    version = {"groupVersion": "apps/v1", "version": "v1"}
    assert (found["kind"], found["apiVersion"]) == ("APIGroupList", "v1")
    assert groups["apps"] == {"name": "apps", "versions": [version], "preferredVersion": version}
    assert {row[0].split("/")[2] for row in RESOURCES if row[0] != "/api/v1"} <= set(groups)


def test_a_group_is_described(api):
    version = {"groupVersion": "policy/v1", "version": "v1"}

    assert api.get("/apis/policy").json() == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "policy",
        "versions": [version],
        "preferredVersion": version,
    }


def aggregated(api, path):
    answer = api.get(path, headers={"accept": f"{AGGREGATED},application/json"})
    assert answer.headers["content-type"] == AGGREGATED
    found = answer.json()
    assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    return {group["metadata"].get("name", ""): group["versions"] for group in found["items"]}


def test_discovery_comes_in_one_piece_if_asked(api):
    groups = aggregated(api, "/apis")

    (version,) = groups["apps"]
    found = {resource["resource"]: resource for resource in version["resources"]}
    assert (version["version"], version["freshness"]) == ("v1", "Current")
    assert found["deployments"] == {
        "resource": "deployments",
        "responseKind": {"group": "", "version": "", "kind": "Deployment"},
        "scope": "Namespaced",
        "singularResource": "deployment",
        "verbs": ALL_VERBS,
        "shortNames": ["deploy"],
        "categories": ["all"],
        "subresources": [
            {
                "subresource": "scale",
                "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                "verbs": GET_AND_WRITE,
            },
            {
                "subresource": "status",
                "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                "verbs": GET_AND_WRITE,
            },
        ],
    }


def test_the_core_group_comes_in_one_piece_too(api):
    groups = aggregated(api, "/api")

    (version,) = groups[""]
    found = {resource["resource"]: resource for resource in version["resources"]}
    assert list(groups) == [""]
    assert found["nodes"]["scope"] == "Cluster"
    assert {subresource["subresource"] for subresource in found["pods"]["subresources"]} >= {
        "eviction",
        "log",
        "status",
    }


def test_custom_resources_are_discovered(api, served_things):
    groups = aggregated(api, "/apis")
    group = served_things.split("/")[2]

    preferred = api.get(f"/apis/{group}").json()["preferredVersion"]["version"]

    assert next(version["version"] for version in groups[group]) == preferred
    assert "things" in {resource["resource"] for version in groups[group] for resource in version["resources"]}
    assert "things" in {entry["name"] for entry in api.get(served_things).json()["resources"]}


def test_an_unknown_form_of_discovery_is_refused(api):
    answer = api.get("/apis", headers={"accept": AGGREGATED.replace("v=v2", "v=v7")})

    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")


def test_who_takes_no_newer_form_gets_the_older(api):
    accept = f"{AGGREGATED.replace('v=v2', 'v=v7')},application/json"

    assert api.get("/apis", headers={"accept": accept}).json()["kind"] == "APIGroupList"


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/healthz/ping", "/livez/etcd", "/readyz/ping"])
def test_the_server_is_well(api, path):
    answer = api.get(path)

    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"].startswith("text/plain")


def test_what_is_well_can_be_told_one_by_one(api):
    lines = api.get("/readyz", params={"verbose": ""}).text.splitlines()

    assert "[+]ping ok" in lines
    assert lines[-1] == "readyz check passed"


def test_a_check_that_is_none_is_not_found(api):
    answer = api.get("/readyz/none")

    assert (answer.status_code, answer.text) == (404, "404 page not found\n")


def test_the_version_is_told(api):
    version = api.get("/version").json()

    major, minor = re.match(r"v(\d+)\.(\d+)\.\d+", version["gitVersion"]).groups()
    assert (version["major"], version["minor"]) == (major, minor)
    assert {"gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"} <= set(version)


@pytest.mark.parametrize("path", ["/version", "/api", "/apis/apps/v1"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_documents_are_only_read(api, path, method):
    answer = api.request(method, path)

    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
