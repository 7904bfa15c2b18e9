"""What is lost and what stays when a node reboots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.clock import Clock
from lab.platform.nodes import NodePower, node_controllers
from lab.resources import NODES, PODS
from lab.settings import Delays
from tests.lab.small_cluster import PlainProgram, SmallCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.objects import Object


class Rebooting(SmallCluster):
    """A small cluster whose nodes can be rebooted; going down and up takes 100 ms."""

    def __init__(self) -> None:
        super().__init__(clock=Clock(200), delays=Delays(node_join=20.0))
        self.power = NodePower()

    async def reboot(self, node: str) -> None:
        """Have a node down."""
        self.power.reboot(node)
        await self.until(lambda: self.ready_of(node) == "False", "the node is not ready")

    async def is_up(self, node: str) -> None:
        await self.until(lambda: not self.power.is_down(node) and self.ready_of(node) == "True", "the node is up")

    def ready_of(self, node: str) -> str:
        return str(self.condition(NODES, node, "Ready").get("status", ""))

    def boot_id(self, node: str) -> str:
        return str((self.mirror.get(NODES, node) or {})["status"]["nodeInfo"]["bootID"])

    def container(self, name: str, index: int = 0) -> Object:
        return dict((self.pod(name) or {})["status"]["containerStatuses"][index])


@pytest.fixture
async def cluster() -> AsyncIterator[Rebooting]:
    small = Rebooting()
    controllers = node_controllers(
        small.site,
        small.clock,
        small.delays,
        network=small.network,
        programs=small.programs,
        faults=small.faults,
        power=small.power,
    )
    async with small.running(*controllers):
        await small.add_node("a")
        await small.until(lambda: small.ready_of("a") == "True")
        yield small


async def test_a_node_is_not_ready_until_it_is_up_and_has_another_boot_id(cluster: Rebooting) -> None:
    before = cluster.boot_id("a")
    await cluster.reboot("a")
    assert cluster.condition(NODES, "a", "Ready")["message"] == "node is shutting down"

    await cluster.is_up("a")

    await cluster.until(lambda: cluster.boot_id("a") != before)
    assert cluster.network.rebooted == ["a"]
    assert cluster.network.forgotten == []


async def test_containers_of_the_same_pod_are_restarted_in_a_new_sandbox(cluster: Rebooting) -> None:
    containers = [{"name": "main", "image": "x"}, {"name": "beside", "image": "y"}]
    pod = await cluster.add_pod("p", containers=containers)
    await cluster.until(lambda: cluster.is_ready("p"))
    container_id = cluster.container("p")["containerID"]

    await cluster.reboot("a")
    await cluster.until(lambda: not cluster.is_ready("p"))
    await cluster.is_up("a")
    await cluster.until(lambda: cluster.is_ready("p"))

    assert (cluster.pod("p") or {})["metadata"]["uid"] == pod["metadata"]["uid"]
    for index in (0, 1):
        status = cluster.container("p", index)
        assert status["restartCount"] == 1
        assert status["lastState"]["terminated"]["exitCode"] == 255
        assert "running" in status["state"]
    assert cluster.container("p")["containerID"] != container_id


async def test_a_second_reboot_counts_again(cluster: Rebooting) -> None:
    await cluster.add_pod("p")
    for restarts in (1, 2):
        await cluster.until(lambda: cluster.is_ready("p"))
        await cluster.reboot("a")
        await cluster.until(lambda: not cluster.is_ready("p"))
        await cluster.is_up("a")
        await cluster.until(lambda: cluster.is_ready("p"))
        assert cluster.container("p")["restartCount"] == restarts


async def test_a_program_begins_anew_without_having_been_stopped(cluster: Rebooting) -> None:
    program = cluster.programs.by_label["agent"] = PlainProgram()
    await cluster.add_pod("agent", labels={"program": "agent"}, hostNetwork=True)
    await cluster.until(lambda: cluster.is_ready("agent"))

    await cluster.reboot("a")
    await cluster.is_up("a")

    await cluster.until(lambda: program.starts == 2 and cluster.is_ready("agent"))
    assert program.stops == 0


async def test_a_pod_that_is_not_to_be_restarted_has_failed(cluster: Rebooting) -> None:
    await cluster.add_pod("p", restartPolicy="Never")
    await cluster.until(lambda: cluster.is_ready("p"))

    await cluster.reboot("a")
    await cluster.is_up("a")

    await cluster.until(lambda: (cluster.pod("p") or {})["status"]["phase"] == "Failed")
    assert cluster.container("p")["state"]["terminated"]["exitCode"] == 255


async def test_what_is_asked_of_a_node_that_is_down_is_done_when_it_is_up(cluster: Rebooting) -> None:
    await cluster.add_pod("old")
    await cluster.until(lambda: cluster.is_ready("old"))
    await cluster.reboot("a")

    await cluster.client.delete(PODS, "old", namespace="default")
    await cluster.add_pod("new", nodeName="a")
    await cluster.until(lambda: cluster.pod("new"))
    assert cluster.pod("old") is not None
    assert cluster.power.is_down("a")

    await cluster.until(lambda: cluster.pod("old") is None and cluster.is_ready("new"))


async def test_a_pod_without_network_after_the_reboot_waits_for_it(cluster: Rebooting) -> None:
    await cluster.add_pod("p")
    await cluster.until(lambda: cluster.is_ready("p"))
    cluster.network.broken["a"] = "nobody answers"

    await cluster.reboot("a")
    await cluster.is_up("a")
    await cluster.settle()
    assert cluster.container("p")["state"] == {"waiting": {"reason": "ContainerCreating"}}
    cluster.network.broken.clear()

    await cluster.until(lambda: cluster.is_ready("p"))


async def test_a_node_that_is_deleted_while_it_is_down_stays_away(cluster: Rebooting) -> None:
    await cluster.add_pod("p")
    await cluster.until(lambda: cluster.is_ready("p"))
    await cluster.reboot("a")

    await cluster.client.delete(NODES, "a")

    await cluster.until(lambda: not cluster.mirror.all(PODS) and not cluster.power.is_down("a"))
    assert cluster.mirror.get(NODES, "a") is None
