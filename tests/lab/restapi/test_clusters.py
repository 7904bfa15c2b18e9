"""Clusters by KKP's REST API: what is shown, what a patch changes, and what it does not."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from lab.apiserver.patches.merge import merge_patch
from lab.restapi.cluster_shape import taken_over, to_patch
from lab.restapi.decoding import wrong_type
from tests.running_lab import eventually

if TYPE_CHECKING:
    import httpx

    from tests.lab.restapi.conftest import RestLab


def test_a_project_lists_its_own_clusters_with_labels_on_top_and_nothing_of_their_state(
    rest_lab: RestLab, owner: httpx.Client
):
    found = owner.get(f"/api/v2/projects/{rest_lab.projects[0]}/clusters?show_dm_count=true").json()

    (cluster,) = found["clusters"]
    assert set(found) == {"clusters"}
    assert set(cluster) == {
        "id",
        "name",
        "creationTimestamp",
        "type",
        "labels",
        "spec",
        "status",
        "machineDeploymentCount",
    }
    assert (cluster["id"], cluster["name"], cluster["machineDeploymentCount"]) == (rest_lab.clusters[0], "lab-1", 1)
    assert cluster["labels"] == {"env": "dev", "team": "shop"}
    assert cluster["spec"]["cloud"] == {"dc": "lab-dc1", "providerName": "openstack", "openstack": {}}
    assert cluster["spec"]["cniPlugin"] == {"type": "canal", "version": "v3.30"}
    assert "pause" not in cluster["spec"]
    assert set(cluster["status"]) == {"version", "url", "externalCCMMigration"}


def test_the_clusters_of_a_lab_lie_in_three_projects_and_datacenters(rest_lab: RestLab, owner: httpx.Client):
    lists = [owner.get(f"/api/v2/projects/{project}/clusters").json()["clusters"] for project in rest_lab.projects]

    clouds = [cluster["spec"]["cloud"] for clusters in lists for cluster in clusters]
    assert [(cloud["dc"], cloud["providerName"]) for cloud in clouds] == [
        ("lab-dc1", "openstack"), ("lab-dc2", "aws"), ("lab-dc3", "vsphere"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("project", "cluster", "message"),
    [
        (0, "nosuch", 'cluster-provider "nosuch" not found'),
        (0, 1, 'clusters.kubermatic.k8c.io "{1}" not found'),
        ("nosuch", 0, 'projects.kubermatic.k8c.io "nosuch" not found'),
    ],
)
def test_what_is_not_there_is_not_found(rest_lab: RestLab, owner: httpx.Client, project, cluster, message):
    project_id = project if isinstance(project, str) else rest_lab.projects[project]
    cluster_id = cluster if isinstance(cluster, str) else rest_lab.clusters[cluster]
    answer = owner.get(f"/api/v2/projects/{project_id}/clusters/{cluster_id}")

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == message.format(*rest_lab.clusters)


def test_the_clusters_of_no_project_are_an_answer_that_says_it_is_not_whole(owner: httpx.Client):
    answer = owner.get("/api/v2/projects/nosuch/clusters")

    assert (answer.status_code, answer.json()["clusters"]) == (200, [])
    assert answer.json()["errorMessage"].startswith("Failed to fetch data for one or more seeds.")


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"cniPlugin": {"type": "cilium", "version": "1.18.10"}}}, "invalid cluster: spec.cniPlugin.type: Forbidden: cannot change CNI plugin type, unless unsafe-cni-migration label is present"),
        ({"spec": {"clusterNetwork": {"proxyMode": "nftables"}}}, 'invalid cluster: spec.clusterNetwork.proxyMode: Invalid value: "nftables": field is immutable'),
        ({"labels": {"unsafe-cni-migration": "true"}, "spec": {"clusterNetwork": {"proxyMode": "ebpf"}}}, 'invalid cluster: spec.networkConfig.proxyMode: Invalid value: "ebpf": ebpf proxy mode is not valid for canal CNI'),
        ({"spec": {"cniPlugin": None}}, "invalid cluster: spec.cniPlugin: Required value: CNI plugin settings cannot be removed"),
        ({"spec": {"version": "1.39.0"}}, "Cluster contains nodes running the following incompatible kubelet versions: [1.34.11]. Upgrade your nodes before you upgrade the cluster."),
        ({"name": ""}, "invalid cluster: spec.humanReadableName: Required value: no name specified"),
        ({"labels": {"env": 1}}, "cannot decode patched cluster: json: cannot unmarshal labels.env into its Go type"),
        ([], "cannot decode patched cluster: json: cannot unmarshal Cluster into its Go type"),
    ],
)  # fmt: skip
def test_a_patch_that_breaks_a_rule_is_refused_before_anything_is_written(
    rest_lab: RestLab, owner: httpx.Client, patch, message
):
    before = owner.get(rest_lab.path()).json()
    answer = owner.patch(rest_lab.path(), json=patch)

    assert answer.json() == {"error": {"code": 400, "message": message}}
    assert owner.get(rest_lab.path()).json() == before


def test_the_look_at_kubelets_is_left_out_on_request(rest_lab: RestLab, owner: httpx.Client):
    answer = owner.patch(
        f"{rest_lab.path()}?skip_kubelet_version_validation=true", json={"spec": {"version": "1.39.0"}}
    )

    assert answer.json()["error"]["message"].startswith('invalid cluster: spec.version: Unsupported value: "1.39.0"')


def test_what_the_schema_forbids_is_refused_by_the_seed(rest_lab: RestLab, owner: httpx.Client):
    patch = {"labels": {"unsafe-cni-migration": ""}, "spec": {"clusterNetwork": {"proxyMode": "sorcery"}}}
    answer = owner.patch(rest_lab.path(), json=patch)

    assert answer.status_code == 422
    assert 'Unsupported value: "sorcery"' in answer.json()["error"]["message"]


def test_a_body_that_is_no_json_is_refused(rest_lab: RestLab, owner: httpx.Client):
    answer = owner.patch(rest_lab.path(), content=b"{")

    assert answer.json() == {"error": {"code": 400, "message": "cannot patch cluster: Invalid JSON Patch"}}


CLUSTER: dict[str, Any] = {
    "metadata": {
        "name": "x", "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"project-id": "p", "worker-name": "w", "env": "dev"}, "annotations": {"note": "kept"},
    },
    "spec": {
        "humanReadableName": "lab", "version": "1.34.11", "pause": False, "cniPlugin": {"type": "canal", "version": "v3.30"},
        "cloud": {"dc": "a", "openstack": {"credentialsReference": {"name": "secret"}}}, "componentsOverride": {"etcd": {}},
        "clusterNetwork": {"proxyMode": "ipvs", "dnsDomain": "cluster.local", "ipvs": {"strictArp": True}},
    },
    "status": {"versions": {"controlPlane": "1.34.11"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({}, {}),
        ({"spec": {"pause": True, "features": {"x": True}, "componentsOverride": None}, "status": {"url": "x"}, "id": "y"}, {}),
        ({"spec": {"clusterNetwork": {"dnsDomain": "x", "nodeLocalDNSCacheEnabled": False, "ipvs": None}}}, {}),
        ({"spec": {"clusterNetwork": {"proxyMode": "iptables"}}}, {"spec.clusterNetwork.proxyMode": "iptables"}),
        ({"spec": {"clusterNetwork": {"konnectivityEnabled": False}}}, {"spec.clusterNetwork.konnectivityEnabled": False}),
        ({"name": "new", "spec": {"humanReadableName": "ignored"}}, {"spec.humanReadableName": "new"}),
        ({"labels": {"project-id": "other", "unsafe-cni-migration": "true", "env": None}}, {"metadata.labels": {"project-id": "p", "worker-name": "w", "unsafe-cni-migration": "true"}}),
        ({"annotations": {"a": "b"}}, {"metadata.annotations": {"note": "kept", "a": "b"}}),
        ({"spec": {"cniPlugin": {"version": "v3.31"}}}, {"spec.cniPlugin": {"type": "canal", "version": "v3.31"}}),
        ({"spec": {"updateWindow": {"start": "22:30"}}}, {"spec.updateWindow": {"start": "22:30"}}),
    ],
)  # fmt: skip
def test_a_patch_takes_over_what_kkp_takes_over_and_passes_the_rest_over_in_silence(patch, changed):
    expected = copy.deepcopy(CLUSTER)
    for path, value in changed.items():
        *parts, last = path.split(".")
        place = expected
        for part in parts:
            place = place[part]
        place[last] = value

    assert taken_over(CLUSTER, merge_patch(to_patch(CLUSTER), patch)) == expected


@pytest.mark.parametrize(
    ("patched", "where"),
    [
        ({}, ""), (None, "Cluster"), ({"name": 1}, "name"), ({"labels": []}, "labels"), ({"labels": None, "spec": {"cniPlugin": None}}, ""), ({"labels": ["a"]}, "labels"),
        ({"labels": {"a": True}}, "labels.a"), ({"spec": "x"}, "spec"), ({"spec": {"cniPlugin": "x"}}, "spec.cniPlugin"),
        ({"spec": {"cniPlugin": {"type": 1}}}, "spec.cniPlugin.type"),
        ({"spec": {"clusterNetwork": {"proxyMode": 1}}}, "spec.clusterNetwork.proxyMode"),
    ],
)  # fmt: skip
def test_what_go_would_not_decode_is_named(patched, where):
    assert wrong_type(patched) == where


def test_a_patch_has_kkp_bring_the_other_cni_and_the_application_goes_when_it_is_deleted(
    rest_lab: RestLab, owner: httpx.Client
):
    path = rest_lab.path(2)
    annotation = '{"tunnelPort": 8473}'
    patch = {
        "labels": {"unsafe-cni-migration": "true"},
        "annotations": {"kubermatic.io/initial-cni-values-request": annotation},
        "spec": {"cniPlugin": {"type": "cilium", "version": "1.18.10"}},
    }
    patched = owner.patch(path, json=patch).json()
    assert patched["spec"]["cniPlugin"] == {"type": "cilium", "version": "1.18.10"}
    assert owner.get(f"{path}/cniversions").json()["versions"] == ["1.17.16", "1.18.10", "1.19.4"]

    def condition() -> object:
        found = owner.get(f"{path}/applicationinstallations").json()
        return [item["status"] for app in found for item in app["status"]["conditions"] if item["type"] == "Ready"]

    eventually(lambda: condition() == ["True"], what="Cilium to be installed")
    (listed,) = owner.get(f"{path}/applicationinstallations").json()
    read = owner.get(f"{path}/applicationinstallations/kube-system/cilium").json()
    assert "observedGeneration" not in str(listed)
    assert "helmRelease" not in str(read)
    assert ("valuesBlock" in listed["spec"], "8473" in read["spec"]["valuesBlock"]) == (False, True)

    back = {"labels": {"unsafe-cni-migration": "true"}, "spec": {"cniPlugin": {"type": "canal", "version": "v3.30"}}}
    assert owner.patch(path, json=back).status_code == 200
    deleted = owner.delete(f"{path}/applicationinstallations/kube-system/cilium")
    assert (deleted.status_code, deleted.json()) == (200, {})
    eventually(lambda: owner.get(f"{path}/applicationinstallations").json() == [], what="Cilium to be gone")
    unlocked = owner.patch(path, json={"labels": {"unsafe-cni-migration": None}}).json()
    assert "unsafe-cni-migration" not in unlocked["labels"]
