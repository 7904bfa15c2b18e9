"""A lab as a whole: it starts, settles, is reached by its files alone, and ends without a trace."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import stat
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from lab.directory import DirectoryInUse
from lab.objects import name_of
from lab.resources import CONFIG_MAPS, NODES, PODS
from lab.serving import AddressInUse
from lab.settings import LabSettings, UserClusterSize
from lab.user_cluster import cluster_name
from lab.world import Lab, LabFailed
from tests.running_lab import RunningLab, eventually, lab_process, run_lab

if TYPE_CHECKING:
    from pathlib import Path

    from lab.platform.runtime import Change

SMALL = UserClusterSize(nodes=2, pods=20)
TRIGGER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trigger", "namespace": "default"}}


def client_for(kubeconfig: Path) -> httpx.Client:
    config = yaml.safe_load(kubeconfig.read_text())
    authority = kubeconfig.parents[1 if kubeconfig.parent.name in ("clusters", "connections") else 0] / "ca.crt"
    return httpx.Client(
        base_url=config["clusters"][0]["cluster"]["server"],
        headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}"},
        verify=ssl.create_default_context(cafile=str(authority)),
    )


def test_a_settled_lab_has_every_node_ready_and_every_pod_running(running_lab: RunningLab):
    with client_for(running_lab.cluster_kubeconfig()) as client:
        nodes = client.get("/api/v1/nodes").json()["items"]
        pods = client.get("/api/v1/pods").json()["items"]

    ready = [c["status"] for node in nodes for c in node["status"]["conditions"] if c["type"] == "Ready"]
    assert ready == ["True"] * 3
    not_running = {pod["metadata"]["labels"]["app"] for pod in pods if pod["status"]["phase"] != "Running"}
    assert not_running <= {"nightly-import"}  # the Job may have ended meanwhile
    assert len(pods) >= 40


def test_the_seed_knows_the_cluster_and_holds_its_kubeconfig(running_lab: RunningLab):
    name = running_lab.cluster_name()
    with client_for(running_lab.connections / "lab.kubeconfig") as seed:
        cluster = seed.get(f"/apis/kubermatic.k8c.io/v1/clusters/{name}").json()
        secret = seed.get(f"/api/v1/namespaces/cluster-{name}/secrets/admin-kubeconfig").json()

    assert cluster["spec"]["humanReadableName"] == "lab-1"
    assert cluster["spec"]["cniPlugin"] == {"type": "canal", "version": "v3.30"}
    assert set(cluster["status"]["extendedHealth"].values()) <= {"HealthStatusUp", ""}
    assert "kubeconfig" in secret["data"]


def test_no_outage_is_measured_while_nothing_happens(running_lab: RunningLab):
    outage = running_lab.remote.outage()

    assert outage["total_seconds"] == 0


def test_what_holds_a_token_is_readable_by_its_owner_alone(running_lab: RunningLab):
    files = [file for file in running_lab.directory.rglob("*") if file.is_file()]
    folders = [running_lab.directory, running_lab.connections, running_lab.directory / "clusters"]

    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_request_without_the_token_is_refused(running_lab: RunningLab):
    with client_for(running_lab.seed_kubeconfig) as client:
        client.headers["Authorization"] = "Bearer wrong"
        assert client.get("/api/v1/namespaces").status_code == 401


def test_a_second_lab_in_the_same_directory_is_refused(running_lab: RunningLab):
    status, _, complaint = run_lab("up", "--directory", str(running_lab.directory))

    assert status == 2
    assert complaint.count("\n") == 1
    assert f"a lab already runs in {running_lab.directory} (process {running_lab.process.pid})" in complaint


def test_a_taken_port_is_one_clear_error(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, _, complaint = run_lab("up", "--port", str(taken.getsockname()[1]), "--directory", str(tmp_path))

    assert status == 2
    assert "Address already in use" in complaint
    assert complaint.count("\n") == 1


def test_a_lab_that_was_killed_hinders_no_new_one(tmp_path: Path):
    directory = tmp_path / "lab"
    small = ("--clusters", "1", "--nodes", "1", "--pods", "0", "--speed", "1000")
    with lab_process(directory, *small) as killed:
        killed.process.kill()
        killed.process.wait()
        status, _, complaint = run_lab("state", "--directory", str(directory))
        assert (status, "no lab runs in" in complaint) == (2, True)

        with lab_process(directory, *small) as again:
            assert again.remote.state()["ready"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_lab_and_takes_its_kubeconfigs_away(tmp_path: Path, number: signal.Signals):
    directory = tmp_path / "lab"
    with lab_process(directory, "--clusters", "1", "--nodes", "1", "--pods", "0", "--speed", "1000") as running:
        running.process.send_signal(number)

        assert running.process.wait(timeout=10) == 0
        assert not list(directory.rglob("*.kubeconfig"))


async def test_two_user_clusters_settle_side_by_side_under_names_that_stay(tmp_path: Path):
    settings = LabSettings(clusters=2, size=SMALL, speed=1000, directory=str(tmp_path / "lab"))
    async with Lab(settings) as lab, asyncio.timeout(60):
        await lab.ready()
        state = lab.state()

    assert [item["name"] for item in state["clusters"]] == [cluster_name(1), cluster_name(2)]
    assert [item["nodes"] for item in state["clusters"]] == [2, 2]
    assert [item["waitingFor"] for item in state["clusters"]] == [[], []]


async def test_the_job_begins_at_the_speed_that_was_asked_for(tmp_path: Path):
    settings = LabSettings(size=SMALL, speed=20, directory=str(tmp_path / "lab"))
    async with Lab(settings) as lab, asyncio.timeout(60):
        await lab.ready()
        pods, _ = await lab.user_clusters[0].site.client.list(PODS, label_selector="app=nightly-import")

    assert [pod["status"]["phase"] for pod in pods] == ["Running"]


async def test_without_its_nodes_a_lab_is_ready_and_pods_stay_pending(tmp_path: Path):
    settings = LabSettings(
        size=SMALL, speed=1000, directory=str(tmp_path / "lab"), without=frozenset({"nodes", "machines", "network"})
    )
    async with Lab(settings) as lab, asyncio.timeout(30):
        await lab.ready()
        nodes, _ = await lab.user_clusters[0].site.client.list(NODES)

    assert nodes == []


async def test_a_part_that_crashes_ends_the_lab_with_its_reason(tmp_path: Path):
    settings = LabSettings(size=UserClusterSize(nodes=1, pods=0), speed=1000, directory=str(tmp_path / "lab"))

    def crash(change: Change) -> None:
        if name_of(change.object) == "trigger":
            raise RuntimeError("a bug in a controller")

    async def run_into_the_crash() -> None:
        async with Lab(settings) as lab, asyncio.timeout(30):
            await lab.ready()
            site = lab.user_clusters[0].site
            await site.mirror.follow(CONFIG_MAPS)
            site.mirror.subscribe(CONFIG_MAPS, crash)
            await site.client.create(CONFIG_MAPS, TRIGGER)
            await asyncio.Event().wait()

    with pytest.raises(LabFailed, match="RuntimeError: a bug in a controller"):
        await run_into_the_crash()
    async with Lab(settings) as again:
        await again.ready()


async def test_an_error_in_the_block_ends_the_lab_and_is_the_error_that_is_seen(tmp_path: Path):
    settings = LabSettings(size=UserClusterSize(nodes=1, pods=0), speed=1000, directory=str(tmp_path / "lab"))

    with pytest.raises(ZeroDivisionError):
        async with Lab(settings):
            raise ZeroDivisionError


async def test_a_directory_and_a_port_are_held_by_one_lab_at_a_time(tmp_path: Path):
    settings = LabSettings(size=UserClusterSize(nodes=1, pods=0), speed=1000, directory=str(tmp_path / "a"))
    async with Lab(settings) as lab:
        with pytest.raises(DirectoryInUse):
            async with Lab(settings):
                pass
        with pytest.raises(AddressInUse):
            async with Lab(LabSettings(port=int(lab.url.rpartition(":")[2]), directory=str(tmp_path / "b"))):
                pass


def test_output_names_the_kubeconfigs_and_no_token(tmp_path: Path):
    directory = tmp_path / "lab"
    with lab_process(directory, "--clusters", "1", "--nodes", "1", "--pods", "0", "--speed", "1000") as running:
        printed = eventually(
            lambda: text if "Ctrl-C" in (text := (tmp_path / "lab.log").read_text()) else "", what="the welcome"
        )
        tokens = [
            yaml.safe_load(file.read_text())["users"][0]["user"]["token"] for file in directory.rglob("*.kubeconfig")
        ]

        assert str(running.seed_kubeconfig) in printed
        assert str(running.cluster_kubeconfig()) in printed
        assert tokens
        assert not [token for token in tokens if token in printed]
