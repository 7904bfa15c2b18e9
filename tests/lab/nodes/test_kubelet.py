"""A pod's life on its node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lab.faults import PlatformFault
from lab.objects import Object
from lab.platform.runtime import Change
from lab.resources import EVENTS, NODES, PODS
from tests.lab.small_cluster import PlainProgram, SmallCluster


@pytest.fixture
async def node(cluster: SmallCluster) -> str:
    """One ready node."""
    await cluster.add_node("a")
    await cluster.until(lambda: cluster.condition(NODES, "a", "Ready").get("status") == "True")
    return "a"


def status_of(cluster: SmallCluster, name: str) -> Object:
    return (cluster.pod(name) or {}).get("status") or {}


def first_container(cluster: SmallCluster, name: str) -> Object:
    return next(iter(status_of(cluster, name).get("containerStatuses") or ()), {})


def waiting_reason(cluster: SmallCluster, name: str) -> str:
    return str((first_container(cluster, name).get("state", {}).get("waiting") or {}).get("reason", ""))


async def running_pod(cluster: SmallCluster, name: str = "p", **spec: Any) -> Object:
    await cluster.add_pod(name, **spec)
    await cluster.until(lambda: cluster.is_ready(name), f"{name} ready")
    found = cluster.pod(name)
    assert found is not None
    return found


async def test_running_pod_reports_everything_about_itself(cluster: SmallCluster, node: str) -> None:
    status = (await running_pod(cluster))["status"]
    assert status["phase"] == "Running"
    assert {condition["type"]: condition["status"] for condition in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    assert status["podIP"].startswith("172.25.")
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert status["hostIP"].startswith("192.168.")
    assert status["qosClass"] == "BestEffort"
    container = status["containerStatuses"][0]
    assert (container["name"], container["ready"], container["restartCount"], container["started"]) == (
        "main",
        True,
        0,
        True,
    )
    assert container["imageID"].startswith("registry.k8s.io/pause@sha256:")
    assert "startedAt" in container["state"]["running"]
    assert node == cluster.pod("p")["spec"]["nodeName"]  # type: ignore[index]


async def test_quick_pod_costs_one_bind_and_one_status_write(cluster: SmallCluster, node: str) -> None:
    before = cluster.client.writes.copy()
    await running_pod(cluster, nodeSelector={"kubernetes.io/hostname": node})
    spent = cluster.client.writes - before
    assert spent == {"create pods": 1, "patch pods binding": 1, "patch pods status": 1}


@pytest.mark.usefixtures("node")
async def test_host_network_pod_has_its_nodes_address(cluster: SmallCluster) -> None:
    status = (await running_pod(cluster, hostNetwork=True))["status"]
    assert status["podIP"] == status["hostIP"]
    assert not cluster.network.attached


@pytest.mark.usefixtures("node")
async def test_init_containers_are_completed_before_the_pod_is_ready(cluster: SmallCluster) -> None:
    status = (await running_pod(cluster, initContainers=[{"name": "setup", "image": "busybox"}]))["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"


async def test_pod_without_sandbox_waits_with_an_event_until_the_network_works(
    cluster: SmallCluster, node: str
) -> None:
    cluster.network.broken[node] = "plugin type=cilium-cni failed (add): unable to connect to agent"
    await cluster.add_pod("p")
    await cluster.until(lambda: waiting_reason(cluster, "p") == "ContainerCreating")
    await cluster.mirror.follow(EVENTS)
    event = (await cluster.until(lambda: cluster.mirror.all(EVENTS)))[0]
    assert event["reason"] == "FailedCreatePodSandBox"
    assert "unable to connect to agent" in event["message"]
    del cluster.network.broken[node]
    await cluster.until(lambda: cluster.is_ready("p"))


@pytest.mark.usefixtures("node")
async def test_crashing_program_backs_off_and_recovers(cluster: SmallCluster) -> None:
    program = cluster.programs.by_label["agent"] = PlainProgram(crashes=2, message="address already in use")
    await cluster.add_pod("p", labels={"program": "agent"})
    await cluster.until(lambda: waiting_reason(cluster, "p") == "CrashLoopBackOff")
    container = first_container(cluster, "p")
    assert container["lastState"]["terminated"]["message"] == "address already in use"
    assert "restarting failed container=main pod=p_default" in container["state"]["waiting"]["message"]
    await cluster.until(lambda: cluster.is_ready("p"))
    assert first_container(cluster, "p")["restartCount"] == 2
    assert program.starts == 3


@pytest.mark.usefixtures("node")
async def test_starting_program_leaves_its_pod_running_and_unready(cluster: SmallCluster) -> None:
    gate = asyncio.Event()
    cluster.programs.by_label["agent"] = PlainProgram(gate=gate)
    await cluster.add_pod("agent", labels={"program": "agent"})
    await cluster.until(lambda: status_of(cluster, "agent").get("phase") == "Running")
    await running_pod(cluster, "other")
    assert not cluster.is_ready("agent")
    gate.set()
    await cluster.until(lambda: cluster.is_ready("agent"))


@pytest.mark.usefixtures("node")
async def test_job_succeeds_when_its_program_finishes(cluster: SmallCluster) -> None:
    cluster.programs.by_label["job"] = PlainProgram(finishes=True)
    await cluster.add_pod("p", labels={"program": "job"}, restartPolicy="Never")
    await cluster.until(lambda: status_of(cluster, "p").get("phase") == "Succeeded")
    assert first_container(cluster, "p")["state"]["terminated"]["reason"] == "Completed"
    assert not cluster.network.attached


@pytest.mark.usefixtures("node")
async def test_job_that_must_not_restart_fails_at_its_first_crash(cluster: SmallCluster) -> None:
    program = cluster.programs.by_label["job"] = PlainProgram(finishes=True, crashes=1)
    await cluster.add_pod("p", labels={"program": "job"}, restartPolicy="Never")
    await cluster.until(lambda: status_of(cluster, "p").get("phase") == "Failed")
    assert first_container(cluster, "p")["state"]["terminated"]["exitCode"] == 1
    assert program.starts == 1


@pytest.mark.usefixtures("node")
async def test_job_on_failure_is_restarted(cluster: SmallCluster) -> None:
    cluster.programs.by_label["job"] = PlainProgram(finishes=True, crashes=1)
    await cluster.add_pod("p", labels={"program": "job"}, restartPolicy="OnFailure")
    await cluster.until(lambda: status_of(cluster, "p").get("phase") == "Succeeded")
    assert first_container(cluster, "p")["restartCount"] == 1


@pytest.mark.usefixtures("node")
async def test_pod_kept_from_being_ready_gets_ready_once_the_fault_is_off(cluster: SmallCluster) -> None:
    fault = cluster.faults.add(PlatformFault(trouble="pod-never-ready", subject="default/p*"))
    await cluster.add_pod("p")
    await cluster.until(lambda: status_of(cluster, "p").get("phase") == "Running")
    assert cluster.condition(PODS, "p", "Ready", namespace="default")["reason"] == "ContainersNotReady"
    cluster.faults.clear(fault)
    await cluster.until(lambda: cluster.is_ready("p"))


@pytest.mark.usefixtures("node")
async def test_deleted_pod_is_stopped_detached_and_removed(cluster: SmallCluster) -> None:
    program = cluster.programs.by_label["agent"] = PlainProgram()
    await running_pod(cluster, labels={"program": "agent"})
    await cluster.client.delete(PODS, "p", namespace="default")
    await cluster.until(lambda: cluster.pod("p") is None)
    assert program.stops == 1
    assert not cluster.network.attached


@pytest.mark.usefixtures("node")
async def test_pod_deleted_while_starting_ends_too(cluster: SmallCluster) -> None:
    program = cluster.programs.by_label["agent"] = PlainProgram(gate=asyncio.Event())
    await cluster.add_pod("p", labels={"program": "agent"})
    await cluster.until(lambda: program.starts)
    await cluster.client.delete(PODS, "p", namespace="default")
    await cluster.until(lambda: cluster.pod("p") is None)
    assert program.stops == 1


@pytest.mark.usefixtures("node")
async def test_stuck_pod_goes_only_when_deleted_with_no_grace(cluster: SmallCluster) -> None:
    cluster.faults.add(PlatformFault(trouble="stuck-pod", subject="default/p"))
    await running_pod(cluster)
    await cluster.client.delete(PODS, "p", namespace="default")
    await cluster.settle()
    assert cluster.pod("p") is not None
    assert cluster.network.attached
    await cluster.client.delete(PODS, "p", namespace="default", grace_period_seconds=0)
    await cluster.until(lambda: cluster.pod("p") is None)
    await cluster.until(lambda: not cluster.network.attached)


@pytest.mark.usefixtures("node")
async def test_force_deleted_pod_leaves_nothing_behind(cluster: SmallCluster) -> None:
    program = cluster.programs.by_label["agent"] = PlainProgram()
    await running_pod(cluster, labels={"program": "agent"})
    await cluster.client.delete(PODS, "p", namespace="default", grace_period_seconds=0)
    await cluster.until(lambda: program.stops == 1)
    assert not cluster.network.attached


@pytest.mark.usefixtures("node")
async def test_namesake_of_a_removed_pod_starts_afresh(cluster: SmallCluster) -> None:
    old = await running_pod(cluster)
    await cluster.client.delete(PODS, "p", namespace="default", grace_period_seconds=0)
    new = await cluster.add_pod("p")
    await cluster.until(
        lambda: cluster.is_ready("p") and (cluster.pod("p") or {})["metadata"]["uid"] != old["metadata"]["uid"]
    )
    await cluster.until(lambda: set(cluster.network.attached) == {new["metadata"]["uid"]})


@pytest.mark.usefixtures("node")
async def test_condition_of_others_survives_the_kubelets_writes(cluster: SmallCluster) -> None:
    program = cluster.programs.by_label["agent"] = PlainProgram(gate=asyncio.Event())
    await cluster.add_pod("p", labels={"program": "agent"})
    await cluster.until(lambda: program.starts)
    foreign = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    kept = status_of(cluster, "p")["conditions"]
    change = {"status": {"conditions": [*kept, foreign]}}
    await cluster.client.patch(PODS, "p", change, namespace="default", subresource="status")
    await cluster.until(lambda: cluster.condition(PODS, "p", "DisruptionTarget", namespace="default"))
    assert program.gate is not None
    program.gate.set()
    await cluster.until(lambda: cluster.is_ready("p"))
    assert cluster.condition(PODS, "p", "DisruptionTarget", namespace="default") == foreign


@pytest.mark.usefixtures("node")
async def test_idle_pods_need_no_tasks(cluster: SmallCluster) -> None:
    await running_pod(cluster, "first")
    before = len(asyncio.all_tasks())
    for number in range(50):
        await cluster.add_pod(f"p{number}")
    await cluster.until(lambda: all(cluster.is_ready(f"p{number}") for number in range(50)))
    await cluster.until(lambda: len(asyncio.all_tasks()) <= before)


async def test_slow_pod_reports_each_step(slow_cluster: SmallCluster) -> None:
    seen: list[str] = []

    def note(change: Change) -> None:
        status = change.object["status"]
        containers = status.get("containerStatuses") or [{"state": {}}]
        step = f"{status['phase']} {next(iter(containers[0]['state']), 'bound')}"
        if seen[-1:] != [step]:
            seen.append(step)

    await slow_cluster.mirror.follow(PODS)
    slow_cluster.mirror.subscribe(PODS, note)
    await slow_cluster.add_node("a")
    await slow_cluster.add_pod("p")
    await slow_cluster.until(lambda: slow_cluster.is_ready("p"))
    assert seen == ["Pending bound", "Pending waiting", "Running running"]


async def test_pod_has_its_grace_period_to_end(slow_cluster: SmallCluster) -> None:
    await slow_cluster.add_node("a")
    await slow_cluster.add_pod("patient")
    await slow_cluster.add_pod("hasty", terminationGracePeriodSeconds=1)
    await slow_cluster.until(lambda: slow_cluster.is_ready("patient") and slow_cluster.is_ready("hasty"))
    for name in ("patient", "hasty"):
        await slow_cluster.client.delete(PODS, name, namespace="default")
    await slow_cluster.until(lambda: slow_cluster.pod("hasty") is None)
    assert slow_cluster.pod("patient") is not None
    await slow_cluster.until(lambda: slow_cluster.pod("patient") is None)
