"""Probes as an operator runs them: pods with the image agnhost, in a whole lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lab.objects import annotations_of, is_pod_ready, key_of, name_of
from lab.resources import NETWORK_POLICIES, NODES, PODS
from tests.lab.whole_cluster import WholeCluster, whole_cluster
from tests.real_kkp import real_kkp
from tests.running_lab import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

IMAGE = "registry.example.test/agnhost:2.53"
NAMESPACE = "shop"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[WholeCluster]:
    async with whole_cluster(tmp_path) as found:
        yield found


async def run(cluster: WholeCluster, name: str, *arguments: str, node: int = 0, **container: Any) -> None:
    """Have a pod of agnhost on a node."""
    nodes = sorted(name_of(found) for found in cluster.mirror.all(NODES))
    containers = [
        {
            "name": "agnhost",
            "image": IMAGE,
            "args": list(arguments),
            "terminationMessagePolicy": "FallbackToLogsOnError",
            **container,
        }
    ]
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": nodes[node]},
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": containers,
    }
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
    await cluster.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def pod(cluster: WholeCluster, name: str) -> Any:
    return cluster.mirror.get(PODS, name, namespace=NAMESPACE) or {}


async def address_of_server(cluster: WholeCluster, **container: Any) -> str:
    await run(cluster, "server", "netexec", "--http-port=8080", node=1, **container)
    await cluster.until(lambda: is_pod_ready(pod(cluster, "server")), "the server is ready")
    return str(pod(cluster, "server")["status"]["podIP"])


async def outcome(cluster: WholeCluster, destination: str, *, name: str = "client") -> tuple[str, Any]:
    """Return the phase in which a client ends, and its container's end."""
    await run(cluster, name, "connect", destination, "--timeout=3s", "--protocol=tcp")
    ended = await cluster.until(
        lambda: (pod(cluster, name).get("status") or {}).get("phase") in ("Succeeded", "Failed") and pod(cluster, name),
        "the client ends",
    )
    return ended["status"]["phase"], ended["status"]["containerStatuses"][0]["state"]["terminated"]


async def test_a_client_that_gets_through_succeeds(cluster: WholeCluster) -> None:
    address = await address_of_server(cluster)

    phase, end = await outcome(cluster, f"{address}:8080")

    assert (phase, end["exitCode"], end.get("message")) == ("Succeeded", 0, None)


async def test_a_client_that_nobody_answers_fails_with_agnhosts_words(cluster: WholeCluster) -> None:
    phase, end = await outcome(cluster, "172.25.200.7:8080")

    assert (phase, end["exitCode"], end["reason"], end["message"]) == ("Failed", 1, "Error", "TIMEOUT\n")


@pytest.mark.parametrize(
    "destination",
    [
        "cart.shop.svc.cluster.local:8080",
        "kubernetes.default.svc.cluster.local:443",
        "kubernetes.default.svc:443",
        "registry.example.test:443",
        "203.0.113.9:443",
    ],
)
async def test_a_settled_cluster_lets_clients_get_everywhere(cluster: WholeCluster, destination: str) -> None:
    phase, end = await outcome(cluster, destination)

    assert (phase, end.get("message")) == ("Succeeded", None)


async def test_a_policy_that_denies_is_met(cluster: WholeCluster) -> None:
    address = await address_of_server(cluster)
    spec = {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]}
    body = {"kind": "NetworkPolicy", "metadata": {"name": "closed", "namespace": NAMESPACE}, "spec": spec}
    await cluster.client.create(NETWORK_POLICIES, body)

    phase, end = await outcome(cluster, f"{address}:8080")

    assert (phase, end["message"]) == ("Failed", "TIMEOUT\n")


async def test_a_published_port_is_taken_and_answered_on_its_node(cluster: WholeCluster) -> None:
    await address_of_server(cluster, ports=[{"containerPort": 8080, "hostPort": 31080}])
    address = pod(cluster, "server")["status"]["hostIP"]

    assert (await outcome(cluster, f"{address}:31080"))[0] == "Succeeded"
    await run(cluster, "second", "netexec", node=1, ports=[{"containerPort": 8080, "hostPort": 31080}])
    await cluster.until(lambda: "free ports" in str(pod(cluster, "second").get("status")), "there is no free port")


async def test_in_between_the_cnis_clients_tell_who_is_cut_off(cluster: WholeCluster) -> None:
    address = await address_of_server(cluster)
    await cluster.choose_cilium(tunnelPort=8473)
    await cluster.installed()
    await cluster.rolled_out("cilium")

    assert (await outcome(cluster, f"{address}:8080", name="to-canal"))[1]["message"] == "TIMEOUT\n"
    assert (await outcome(cluster, "cart.shop.svc:8080", name="to-service"))[1]["message"] == "TIMEOUT\n"
    assert (await outcome(cluster, "example.com:443", name="outside"))[0] == "Succeeded"  # by the cache of its node
    await cluster.restart_pods()

    assert (await outcome(cluster, "cart.shop.svc:8080", name="to-service-again"))[0] == "Succeeded"


async def test_canals_pods_carry_its_notes_and_ciliums_do_not(cluster: WholeCluster) -> None:
    address = await address_of_server(cluster)
    notes = annotations_of(pod(cluster, "server"))
    assert notes["cni.projectcalico.org/podIP"] == f"{address}/32"
    assert notes["cni.projectcalico.org/podIPs"] == f"{address}/32"
    assert len(notes["cni.projectcalico.org/containerID"]) == 64

    await cluster.migrate_to_cilium()

    noted = [key_of(found) for found in cluster.pods("cart", key="app") if "cni.projectcalico.org/podIP" in str(found)]
    assert noted == []


@pytest.mark.control_plane
def test_probes_and_canals_notes_are_the_same_on_a_real_api_server(tmp_path: Path) -> None:
    size = ("--nodes", "1", "--pods", "1", "--speed", "100")
    with real_kkp(tmp_path, *size, workloads_by="lab") as kkp, kkp.user.client() as client:
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        for name, destination in (("outside", "203.0.113.9:443"), ("nowhere", "172.25.200.7:80")):
            container = {"name": "agnhost", "image": IMAGE, "args": ["connect", destination, "--timeout=3s"]}
            container["terminationMessagePolicy"] = "FallbackToLogsOnError"
            spec = {"restartPolicy": "Never", "containers": [container]}
            client.post(pods, json={"metadata": {"name": name}, "spec": spec}).raise_for_status()

        def ended() -> dict[str, Any]:
            found = {name: client.get(f"{pods}/{name}").json() for name in ("outside", "nowhere")}
            return found if {pod["status"]["phase"] for pod in found.values()} == {"Succeeded", "Failed"} else {}

        found = eventually(ended, what="both probes end")

    end = found["nowhere"]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (found["outside"]["status"]["phase"], end["exitCode"], end["message"]) == ("Succeeded", 1, "TIMEOUT\n")
    assert found["outside"]["metadata"]["annotations"]["cni.projectcalico.org/podIP"].endswith("/32")
