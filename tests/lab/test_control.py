"""The lab's own interface: trouble, speed, outage; and one clear message for what makes no sense."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from lab.cli import main
from lab.control import BadInput, fault_from
from lab.faults import PlatformFault, RequestFault
from tests.running_lab import RunningLab, eventually, lab_process, run_lab

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def faultless(running_lab: RunningLab):
    yield running_lab
    running_lab.remote.clear_faults()


@pytest.mark.kubectl
def test_a_request_fault_meets_the_next_request_only(faultless: RunningLab, kubectl):
    fault_id = faultless.remote.add_fault("request", "403", method="GET", path="/configmaps/shop-settings")
    assert [fault["id"] for fault in faultless.remote.faults()] == [fault_id]

    refused = kubectl.run("get", "configmap", "-n", "shop", "shop-settings")
    allowed = kubectl.run("get", "configmap", "-n", "shop", "shop-settings")

    assert (refused.returncode, allowed.returncode) == (1, 0)
    assert faultless.remote.faults() == []


@pytest.mark.kubectl
def test_a_platform_fault_stays_until_it_is_cleared(faultless: RunningLab, kubectl):
    fault_id = faultless.remote.add_fault("platform", "pod-never-ready", subject="shop/cart-*")
    kubectl("rollout", "restart", "deployment/cart", "-n", "shop")
    eventually(lambda: "0/1" in kubectl("get", "pods", "-n", "shop", "-l", "app=cart"), what="an unready pod")

    faultless.remote.clear_faults(fault_id)

    kubectl("rollout", "status", "deployment/cart", "-n", "shop", "--timeout=30s")


def test_speed_is_changed_at_run_time(running_lab: RunningLab):
    before = running_lab.remote.state()["speed"]

    assert running_lab.remote.set_speed(7.5)["speed"] == 7.5
    assert running_lab.remote.set_speed(before)["speed"] == before


@pytest.mark.kubectl
def test_requests_are_counted_by_server(running_lab: RunningLab, seed_kubectl):
    def listed() -> int:
        return int(running_lab.remote.requests()["lab"].get("list clusters.kubermatic.k8c.io", 0))

    before = listed()
    seed_kubectl("get", "clusters")

    assert listed() == before + 1


def test_the_interface_needs_the_labs_token(running_lab: RunningLab):
    context = ssl.create_default_context(cafile=str(running_lab.directory / "ca.crt"))
    address = running_lab.clusters()[0]["url"].partition("/clusters/")[0]

    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{address}/lab/state", context=context)
    assert refusal.value.code == 401
    assert "own token" in json.loads(refusal.value.read())["error"]
    refusal.value.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "kind request, platform"),
        ({"kind": "other"}, "kind request, platform"),
        ({"kind": "request"}, "trouble is missing"),
        ({"kind": "request", "trouble": "418"}, "trouble is one of 500, 503"),
        ({"kind": "request", "trouble": "500", "subject": "x"}, "has no 'subject'"),
        ({"kind": "request", "trouble": "500", "path": "("}, "regular expression"),
        ({"kind": "request", "trouble": "500", "times": "3"}, "times is a whole number or null"),
        ({"kind": "request", "trouble": "500", "times": 0}, "times is at least 1"),
        ({"kind": "request", "trouble": "500", "times": True}, "times is a whole number or null"),
        ({"kind": "platform", "trouble": "500"}, "trouble is one of agent-crash-loop"),
        ({"kind": "platform", "trouble": "stuck-pod", "id": 4}, "has no 'id'"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_the_reason(body, message):
    with pytest.raises(BadInput, match=message):
        fault_from(body)


def test_a_fault_is_read_from_json():
    assert fault_from({"kind": "request", "trouble": "timeout", "times": None}) == RequestFault(
        trouble="timeout", times=None
    )
    assert fault_from({"kind": "platform", "trouble": "helm-failure", "subject": "cilium"}) == PlatformFault(
        trouble="helm-failure", subject="cilium"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("up", "--clusters", "0"), "'0' is no whole number from 1 to 100"),
        (("up", "--speed", "-1"), "above 0"),
        (("up", "--speed", "nan"), "above 0"),
        (("up", "--nodes", "x"), "no whole number"),
        (("up", "--nodes", "2", "--machine-deployments", "3"), "machine-deployments"),
        (("up", "--nodes", "1", "--pods", "5000"), "nodes"),
        (("up", "--without", "everything"), "invalid choice"),
        (("up", "--directory", "/proc/lab"), "cannot write to directory /proc/lab"),
        (("fault", "add", "500", "--times", "2", "--forever"), "not allowed with"),
        (("fault", "add", "flood"), "invalid choice"),
        (("fault", "add", "500", "--subject", "x"), "has no 'subject'"),
        (("fault", "add", "500", "--path", "("), "regular expression"),
        (("state", "--directory", "nowhere"), "no lab runs in nowhere"),
        (("outage", "--directory", "nowhere"), "no lab runs in nowhere"),
        ((), "required"),
    ],
)
def test_bad_input_on_the_command_line_is_one_line_and_status_2(arguments, message, capsys):
    try:
        status: object = main(arguments)
    except SystemExit as ended:
        status = ended.code
    shown = capsys.readouterr()

    assert (status, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert message in shown.err


def test_the_command_line_switches_trouble_on_and_off(faultless: RunningLab):
    here = ("--directory", str(faultless.directory))

    assert run_lab("fault", "add", "helm-failure", "--subject", "cilium", "--times", "2", *here)[0] == 0
    listed = json.loads(run_lab("fault", "list", *here)[1])
    assert [(fault["trouble"], fault["times"]) for fault in listed] == [("helm-failure", 2)]

    assert run_lab("fault", "clear", str(listed[0]["id"]), *here)[0] == 0
    assert json.loads(run_lab("fault", "list", *here)[1]) == []
    status, _, complaint = run_lab("fault", "clear", str(listed[0]["id"]), *here)
    assert (status, "there is no fault" in complaint) == (2, True)


def test_an_unknown_cluster_is_named_with_those_there_are(running_lab: RunningLab):
    status, _, complaint = run_lab("outage", "--cluster", "other", "--directory", str(running_lab.directory))

    assert status == 2
    assert running_lab.cluster_name() in complaint


def test_the_outage_of_a_cluster_is_shown_by_either_name(running_lab: RunningLab):
    here = ("--directory", str(running_lab.directory))

    by_name = run_lab("outage", "--cluster", running_lab.cluster_name(), *here)
    by_human_name = run_lab("outage", "--cluster", "lab-1", *here)

    assert by_name[0] == by_human_name[0] == 0


def test_a_node_is_rebooted_from_outside(tmp_path: Path):
    directory = tmp_path / "lab"
    with lab_process(directory, "--clusters", "1", "--nodes", "1", "--pods", "0", "--speed", "20") as running:
        node = min(running.remote.nodes())

        status, _, complaint = run_lab("reboot", "--directory", str(directory), node)

        assert (status, complaint) == (0, "")
        assert running.remote.state()["clusters"][0]["waitingFor"]
        eventually(lambda: not running.remote.state()["clusters"][0]["waitingFor"], what="a settled lab")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("reboot", "nowhere"), "there is no node 'nowhere'; there are workers-1-"),
        (("remove-cni-file", "nowhere", "05-cilium.conflist"), "there is no node 'nowhere'"),
    ],
)
def test_a_node_that_is_not_there_is_refused(running_lab: RunningLab, command, complaint):
    status, _, told = run_lab(command[0], "--directory", str(running_lab.directory), *command[1:])

    assert status == 2
    assert complaint in told


def test_a_file_of_a_cni_is_removed_once(running_lab: RunningLab):
    node, files = min(running_lab.remote.nodes().items())
    assert files == ["10-canal.conflist"]

    with pytest.raises(BadInput, match=f"{node} has no '05-cilium.conflist'.* it has 10-canal.conflist"):
        running_lab.remote.remove_cni_configuration(None, node, "05-cilium.conflist")
