"""The parts of a cluster that KKP's REST API shows: health, events, versions, machines, nodes, applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lab.restapi.nodes import node_of_machine, shown_machine, shown_node
from tests.running_lab import eventually

if TYPE_CHECKING:
    import httpx

    from tests.lab.restapi.conftest import RestLab


def test_health_is_a_flat_map_without_konnectivity(rest_lab: RestLab, owner: httpx.Client):
    found = owner.get(f"{rest_lab.path()}/health").json()

    assert set(found.values()) == {"HealthStatusUp"}
    assert {"apiserver", "controller", "etcd", "machineController", "applicationController"} <= set(found)
    assert not {"konnectivity", "openvpn"} & set(found)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{cluster}/cniversions", {"cniPluginType": "canal", "cniDefaultVersion": "", "versions": ["v3.29", "v3.30", "v3.31"]}),
        ("/api/v2/cni/canal/versions", {"cniPluginType": "canal", "cniDefaultVersion": "v3.31", "versions": ["v3.29", "v3.30", "v3.31"]}),
        ("/api/v2/cni/cilium/versions", {"cniPluginType": "cilium", "cniDefaultVersion": "1.19.4", "versions": ["1.17.16", "1.18.10", "1.19.4"]}),
        ("/api/v2/cni/weave/versions", {"error": {"code": 400, "message": 'CNI plugin type "weave" not supported. Supported types: [canal cilium none]'}}),
        ("{cluster}/events?type=odd", {"error": {"code": 400, "message": "wrong query parameter, unsupported type: odd"}}),
        ("{cluster}/events", []),
        ("{cluster}/nodes", []),
        ("{cluster}/addons", []),
        ("{cluster}/applicationinstallations", []),
        ("{cluster}/machinedeployments/none/nodes", {"error": {"code": 404, "message": 'machinedeployments.cluster.k8s.io "none" not found'}}),
        ("{cluster}/applicationinstallations/kube-system/none", {"error": {"code": 404, "message": 'applicationinstallations.apps.kubermatic.k8c.io "none" not found'}}),
    ],
)  # fmt: skip
def test_an_answer_is_as_kkp_gives_it(rest_lab: RestLab, owner: httpx.Client, path, expected):
    assert owner.get(path.format(cluster=rest_lab.path())).json() == expected


def test_the_applications_are_listed_without_versions_and_read_with_them(owner: httpx.Client):
    (listed,) = owner.get("/api/v2/applicationdefinitions").json()
    read = owner.get("/api/v2/applicationdefinitions/cilium").json()

    assert (listed["name"], "versions" in listed["spec"]) == ("cilium", False)
    assert "1.18.10" in [item["version"] for item in read["spec"]["versions"]]


def test_machine_deployments_are_shown_paused_scaled_and_restarted(rest_lab: RestLab, owner: httpx.Client):
    path = f"{rest_lab.path(1)}/machinedeployments"
    (listed,) = owner.get(path).json()
    assert (listed["id"], listed["spec"]["replicas"], listed["status"]["availableReplicas"]) == ("workers-1", 2, 2)
    assert listed["spec"]["template"]["cloud"]["aws"]["instanceType"] == "t3.large"
    assert listed["spec"]["template"]["versions"] == {"kubelet": "1.34.11"}

    paused = owner.patch(f"{path}/workers-1", json={"spec": {"paused": True}, "name": "other"}).json()
    assert (paused["name"], paused["spec"]["paused"], paused["spec"]["replicas"]) == ("workers-1", True, 2)
    assert owner.patch(f"{path}/workers-1", json={"spec": {"paused": False}}).json()["spec"]["paused"] is False

    before = {node["id"] for node in owner.get(f"{path}/workers-1/nodes").json()}
    restarted = owner.post(f"{path}/workers-1/restart")
    assert (restarted.status_code, restarted.json()["id"]) == (200, "workers-1")

    def after() -> set[str]:
        return {node["id"] for node in owner.get(f"{path}/workers-1/nodes").json()}

    eventually(lambda: len(after()) == 2 and not before & after(), what="every machine to be replaced")
    assert owner.get(f"{rest_lab.path(1)}/nodes").json() == []
    assert isinstance(owner.get(f"{path}/workers-1/nodes/events").json(), list)


def test_a_failure_of_kkp_is_an_event_of_its_cluster(faultless: RestLab, owner: httpx.Client):
    path = faultless.path(0)
    faultless.remote.add_fault("platform", "helm-failure", subject="cilium", message="the chart broke", times=None)
    change = {"labels": {"unsafe-cni-migration": ""}, "spec": {"cniPlugin": {"type": "cilium", "version": "1.18.10"}}}
    assert owner.patch(path, json=change).status_code == 200

    def ready() -> list[str]:
        found = owner.get(f"{path}/applicationinstallations").json()
        return [item["message"] for app in found for item in app["status"]["conditions"] if item["type"] == "Ready"]

    eventually(lambda: "the chart broke" in str(ready()), what="the failure to be told")
    change["spec"] = {"cniPlugin": {"type": "canal", "version": "v3.30"}}
    assert owner.patch(path, json=change).status_code == 200
    assert owner.delete(f"{path}/applicationinstallations/kube-system/cilium").status_code == 200
    assert owner.patch(path, json={"labels": {"unsafe-cni-migration": None}}).status_code == 200
    eventually(lambda: owner.get(f"{path}/applicationinstallations").json() == [], what="Cilium to be gone")


MACHINE: dict[str, Any] = {
    "metadata": {"name": "m", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"versions": {"kubelet": "1.34.11"}, "providerSpec": {"value": {"cloudProvider": "aws", "operatingSystem": "flatcar"}}},
}  # fmt: skip
NODE: dict[str, Any] = {
    "metadata": {"name": "n", "uid": "2", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"machine-controller/owned-by": "1"}},
    "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Down", "message": "gone"}, {"type": "MemoryPressure", "status": "True", "reason": "Full", "message": "full"}]},
}  # fmt: skip


def test_a_machine_is_shown_as_its_node_with_what_is_wrong_of_it():
    node = node_of_machine(MACHINE, [NODE])
    found = shown_machine(MACHINE, node, hide_initial=False)

    assert (found["id"], found["name"], found["status"]["machineName"]) == ("m", "n", "m")
    assert (found["status"]["errorReason"], found["status"]["errorMessage"]) == ("Down & Full", "gone & full")
    assert node_of_machine({**MACHINE, "metadata": {**MACHINE["metadata"], "uid": "9"}}, [NODE]) is None
    assert shown_machine(MACHINE, None, hide_initial=True)["name"] == "m"
    assert shown_node(NODE, hide_initial=True)["status"]["machineName"] == ""
