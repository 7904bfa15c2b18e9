"""Whatever the lab's platform creates and reports is what a real API server accepts, to the last field."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from lab.network.cilium_resources import cilium_definitions
from lab.objects import name_of, namespace_of
from lab.platform.kkp.addons import CANAL_IMAGES, addon_objects
from lab.platform.kkp.cilium_addon import CILIUM_IMAGES
from lab.platform.kkp.cilium_chart import render_cilium
from lab.platform.kkp.profiles import KKP_2_20, TODAY
from lab.platform.kkp.rendering import resource_of
from lab.platform.kkp.seed import cluster_objects
from lab.platform.kkp.system_workloads import system_objects
from lab.resources import CILIUM_ENDPOINTS, CLUSTERS, DAEMON_SETS, MACHINE_DEPLOYMENTS, PODS
from lab.settings import LabSettings, UserClusterSize
from lab.world import Lab
from tests.apiserver.platform_writes import Replay, Write, Writes, without_repetitions
from tests.control_plane import control_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from lab.objects import Object
    from lab.user_cluster import UserCluster

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(180)]

SETTLES_SECONDS = 60
# What an operator asks for beside the CNI itself (kkp-facts: the annotation replaces the application's values).
CILIUM_VALUES = {
    "envoy": {"enabled": True},
    "hubble": {"relay": {"enabled": True}, "ui": {"enabled": True}, "tls": {"auto": {"method": "cronJob"}}},
    "operator": {"replicas": 2},
    "tunnelPort": 8473,
}
TO_CILIUM = {
    "metadata": {
        "labels": {"unsafe-cni-migration": "true"},
        "annotations": {"kubermatic.io/initial-cni-values-request": json.dumps(CILIUM_VALUES)},
    },
    "spec": {"cniPlugin": {"type": "cilium", "version": "1.19.4"}},
}


@pytest.fixture(scope="module")
def real_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server without controllers: what is written stays as it was written."""
    folder = tmp_path_factory.mktemp("platform") / "real"
    with control_plane(folder, service_accounts=False) as plane, plane.client() as client:
        yield client


@pytest.fixture(scope="module")
def writes(tmp_path_factory: pytest.TempPathFactory) -> list[list[Write]]:
    """What the platform wrote to the seed, and to its user cluster, from the start to Cilium on one more node."""
    recorded = Writes()
    directory = tmp_path_factory.mktemp("platform") / "lab"
    size = UserClusterSize(nodes=2, pods=20)
    with pytest.MonkeyPatch.context() as monkeypatch:
        recorded.record(monkeypatch)
        asyncio.run(migrate(LabSettings(clusters=1, size=size, speed=200, directory=str(directory))))
    return list(recorded.by_client.values())


async def migrate(settings: LabSettings) -> None:
    """Have a lab switch from Canal to Cilium, restart all pods, and add a node."""
    async with asyncio.timeout(SETTLES_SECONDS), Lab(settings) as lab:
        await lab.ready()
        (cluster,) = lab.user_clusters
        await lab._seed.client.patch(CLUSTERS, cluster.name, TO_CILIUM)
        await until(lambda: runs_cilium(cluster))
        client, mirror = cluster.site.client, cluster.site.mirror
        for pod in [pod for pod in mirror.all(PODS) if not pod["spec"].get("hostNetwork")]:
            await client.delete(PODS, name_of(pod), namespace=namespace_of(pod))
        (workers,) = mirror.all(MACHINE_DEPLOYMENTS)
        more = {"spec": {"replicas": settings.size.nodes + 1}}
        await client.patch(MACHINE_DEPLOYMENTS, name_of(workers), more, namespace=namespace_of(workers))
        await until(lambda: runs_cilium(cluster, settings.size.nodes + 1))
        await until(lambda: has_settled(lab))


def has_settled(lab: Lab) -> bool:
    """Tell whether only Canal on the new node is not ready: it has no pod CIDR there."""
    return all("kube-system/canal" in left for left in lab.state()["clusters"][0]["waitingFor"])


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.05)  # many objects of two servers decide it


def runs_cilium(cluster: UserCluster, nodes: int = 1) -> bool:
    found = cluster.site.mirror.get(DAEMON_SETS, "cilium", namespace="kube-system")
    return found is not None and (found.get("status") or {}).get("numberReady", 0) >= nodes


def test_everything_that_the_platform_writes_in_a_migration_is_accepted(
    real_api: httpx.Client, writes: list[list[Write]]
):
    seed, user = writes
    assert any(write.resource == CILIUM_ENDPOINTS for write in user)

    refusals = [refusal for part in (seed, user) for refusal in Replay(real_api).refusals(without_repetitions(part))]

    assert refusals == []


def a_cluster(cni_version: str, proxy_mode: str) -> Object:
    (_, cluster), *_ = cluster_objects(
        "bqk2m5xw9z",
        human_readable_name="one",
        project="m5zd8kx2wq",
        cni_type="canal",
        cni_version=cni_version,
        proxy_mode=proxy_mode,
        version="1.34.11",
        url="https://127.0.0.1:6443",
        labels={},
    )
    cluster["spec"]["features"]["kubeSystemNetworkPolicies"] = True
    return cluster


@pytest.mark.parametrize("version", CANAL_IMAGES)
def test_every_version_of_canal_is_accepted(real_api: httpx.Client, version: str):
    assert refusals_of(real_api, addon_objects("canal", a_cluster(version, "ipvs"))) == []


@pytest.mark.parametrize("proxy_mode", ["ipvs", "iptables", "nftables"])
def test_kube_proxy_and_the_system_objects_are_accepted(real_api: httpx.Client, proxy_mode: str):
    cluster = a_cluster("v3.31", proxy_mode)

    assert refusals_of(real_api, [*addon_objects("kube-proxy", cluster), *system_objects(cluster)]) == []


@pytest.mark.parametrize("version", TODAY.application_versions)
def test_every_version_of_cilium_is_accepted(real_api: httpx.Client, version: str):
    chart = render_cilium(version, CILIUM_VALUES, release="cilium", namespace="cilium")

    assert refusals_of(real_api, [*chart.objects, *chart.hooks]) == []


@pytest.mark.parametrize("version", CILIUM_IMAGES)
@pytest.mark.parametrize("proxy_mode", KKP_2_20.proxy_modes)
def test_the_addons_of_kkp_2_20_are_accepted(real_api: httpx.Client, version: str, proxy_mode: str):
    cluster = a_cluster("v3.21", proxy_mode)
    cluster["spec"]["cniPlugin"] = {"type": "cilium", "version": version}
    objects = [found for addon in ("cilium", "kube-proxy") for found in addon_objects(addon, cluster, profile=KKP_2_20)]

    assert refusals_of(real_api, objects) == []


def test_the_definitions_of_cilium_are_accepted(real_api: httpx.Client):
    assert refusals_of(real_api, cilium_definitions()) == []


def refusals_of(api: httpx.Client, objects: list[Object]) -> list[str]:
    """Create the objects without leaving a trace, and return what is refused; namespaces need not be there."""
    found = []
    strict = {"fieldValidation": "Strict", "dryRun": "All"}
    for body in objects:
        where = {"namespace": "kube-system"} if namespace_of(body) else {}
        write = Write(resource_of(body), "create", "", where.get("namespace", ""), name_of(body), body, "")
        placed = {**body, "metadata": {**body["metadata"], **where}}
        answer = api.post(write.collection, json=placed, params=strict)
        if answer.status_code not in (201, 409):
            found.append(f"{write}: {answer.text[:600]}")
    return found
