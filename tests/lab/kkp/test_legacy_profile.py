"""KKP as the documented procedure knew it: Cilium as an addon, and what a person has to do by hand."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab.objects import Object, name_of
from lab.platform.kkp import seed_objects, user_cluster_definitions
from lab.platform.kkp.addons import addon_objects
from lab.platform.kkp.profiles import KKP_2_20, KKP_2_31
from lab.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTERS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from lab.settings import Delays
from tests.lab.kkp.harness import CLUSTER, NAMESPACE, NO_DELAYS, Platform, names, running_platform
from tests.lab.kkp.legacy import UNLOCKED, a_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CANAL, CILIUM = "kubermatic-addon=canal", "kubermatic-addon=cilium"


@contextlib.asynccontextmanager
async def old_platform(delays: Delays = NO_DELAYS) -> AsyncIterator[Platform]:
    async with running_platform(cni_version="v3.21", proxy_mode="ipvs", profile=KKP_2_20, delays=delays) as found:
        await found.until(found.is_settled)
        yield found


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with old_platform() as found:
        yield found


async def switched(platform: Platform) -> None:
    await platform.switch("cilium", "v1.11")
    await platform.until(lambda: is_there(platform, "cilium"))


async def is_there(platform: Platform, addon: str) -> bool:
    found = await platform.addon(addon)
    return found is not None and (found.get("status") or {}).get("phase") == "Healthy"


async def is_gone(platform: Platform, addon: str) -> bool:
    return await platform.addon(addon) is None


async def set_proxy_mode(platform: Platform, mode: str) -> None:
    await platform.patch_cluster(UNLOCKED | {"spec": {"clusterNetwork": {"proxyMode": mode}}})


# --- what is there ---


def test_there_is_nothing_of_applications():
    bodies = [body for _, body in [*seed_objects(KKP_2_20), *user_cluster_definitions(KKP_2_20)]]

    assert [body for body in bodies if body["kind"] == "ApplicationDefinition"] == []
    assert [name_of(body) for body in bodies if "apps.kubermatic.k8c.io" in name_of(body)] == []


async def test_a_fresh_cluster_runs_canal_and_tells_the_release(platform: Platform):
    cluster = await platform.cluster()

    assert {item["kubermaticVersion"] for item in cluster["status"]["conditions"].values()} == {"v2.20.16"}
    assert "applicationController" not in cluster["status"]["extendedHealth"]
    assert await names(platform.user, DAEMON_SETS, "kubermatic-addon") == {"canal", "kube-proxy"}
    assert await platform.addon("cilium") is None
    (image,) = {item["image"] for item in await containers(platform, "canal") if "calico" in item["image"]}
    assert image == "quay.io/calico/node:v3.21.6"


@pytest.mark.parametrize("version", ["1.20.14", "1.23.15"])
async def test_addons_are_applied_to_the_control_planes_of_the_time(platform: Platform, version: str):
    await platform.user.client.delete(CONFIG_MAPS, "kube-proxy", namespace="kube-system")
    await set_version(platform, version)

    await platform.until(lambda: platform.find(CONFIG_MAPS, "kube-proxy"))


async def test_a_control_plane_of_today_has_no_kubectl(platform: Platform):
    await set_version(platform, "1.34.11")

    async def event() -> bool:
        found, _ = await platform.seed.client.list(EVENTS)
        return any('unsupported Kubernetes version "1.34.11"' in item["message"] for item in found)

    assert await platform.until(event)


# --- Cilium as an addon ---


async def test_cilium_comes_up_as_an_addon_beside_canal(platform: Platform):
    before = await labelled(platform, CANAL)

    await switched(platform)
    await platform.until(lambda: is_gone(platform, "canal"))

    assert await labelled(platform, CANAL) == before
    assert await labelled(platform, CILIUM) == {
        *("ServiceAccount/cilium", "ServiceAccount/cilium-operator", "ConfigMap/cilium-config"),
        *("ClusterRole/cilium", "ClusterRole/cilium-operator"),
        *("ClusterRoleBinding/cilium", "ClusterRoleBinding/cilium-operator"),
        *("DaemonSet/cilium", "Deployment/cilium-operator"),
    }
    assert {item["image"] for item in await containers(platform, "cilium")} == {"quay.io/cilium/cilium:v1.11.16"}


async def test_cilium_is_no_helm_release(platform: Platform):
    await switched(platform)

    assert await names(platform.user, SECRETS, "owner=helm") == set()
    assert await names(platform.user, DAEMON_SETS, "app.kubernetes.io/managed-by=Helm") == set()


async def test_cilium_is_orphaned_when_the_type_changes_back(platform: Platform):
    await switched(platform)
    before = await labelled(platform, CILIUM)

    await platform.switch("canal", "v3.21")
    await platform.until(lambda: is_gone(platform, "cilium"))
    await platform.until(lambda: is_there(platform, "canal"))

    assert await labelled(platform, CILIUM) == before


def test_the_addon_renders_empty_for_any_other_cni_and_version():
    assert addon_objects("cilium", a_cluster("canal", "v3.21"), profile=KKP_2_20) == []
    assert addon_objects("cilium", a_cluster("cilium", "1.13.0"), profile=KKP_2_20) == []
    assert addon_objects("cilium", a_cluster("cilium", "v1.12"), profile=KKP_2_20) != []


@pytest.mark.parametrize(("mode", "word"), [("ipvs", "disabled"), ("iptables", "disabled"), ("ebpf", "strict")])
def test_the_configuration_says_whether_cilium_replaces_kube_proxy(mode: str, word: str):
    objects = addon_objects("cilium", a_cluster("cilium", "v1.11", mode), profile=KKP_2_20)

    (config,) = [item["data"] for item in objects if item["kind"] == "ConfigMap"]
    assert config["kube-proxy-replacement"] == word


def test_the_agents_restart_by_a_change_to_or_from_ebpf_alone():
    ipvs, iptables, ebpf = (
        [found for found in addon_objects("cilium", a_cluster("cilium", "v1.11", mode)) if found["kind"] == "DaemonSet"]
        for mode in ("ipvs", "iptables", "ebpf")
    )

    assert ipvs == iptables != ebpf


async def test_the_addons_take_their_time_to_follow_the_cluster():
    an_hour = 3600.0
    async with old_platform(replace(NO_DELAYS, legacy_addon_delay=an_hour)) as platform:
        await platform.switch("cilium", "v1.11")
        await platform.until(lambda: has_followed(platform))

        assert await platform.addon("cilium") is None
        assert await platform.addon("canal") is not None


async def has_followed(platform: Platform) -> bool:
    """Tell whether the control plane, which takes no time, is configured for Cilium."""
    manager = await platform.find(DEPLOYMENTS, "controller-manager", NAMESPACE)
    assert manager is not None
    return "--allocate-node-cidrs=true" not in manager["spec"]["template"]["spec"]["containers"][0]["args"]


def test_only_the_old_release_makes_addons_wait():
    assert KKP_2_20.addon_delay(Delays()) == 120.0
    assert KKP_2_31.addon_delay(Delays()) == 0.0


# --- kube-proxy ---


async def test_a_new_mode_changes_kube_proxy_s_configuration_and_not_its_pods(platform: Platform):
    before = await daemon_set(platform, "kube-proxy")

    await set_proxy_mode(platform, "iptables")
    await platform.until(lambda: has_mode(platform, "iptables"))

    assert (await daemon_set(platform, "kube-proxy"))["metadata"]["generation"] == before["metadata"]["generation"]
    assert "annotations" not in before["spec"]["template"]["metadata"]


async def test_kube_proxy_goes_with_ebpf_and_comes_back(platform: Platform):
    await switched(platform)
    await set_proxy_mode(platform, "ebpf")
    await platform.until(lambda: is_gone(platform, "kube-proxy"))
    assert await platform.find(DAEMON_SETS, "kube-proxy") is None

    await set_proxy_mode(platform, "iptables")

    await platform.until(lambda: has_mode(platform, "iptables"))


# --- what the tests ask ---


async def labelled(platform: Platform, selector: str) -> set[str]:
    kinds = (
        *(SERVICE_ACCOUNTS, CONFIG_MAPS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS),
        *(DAEMON_SETS, DEPLOYMENTS, CUSTOM_RESOURCE_DEFINITIONS),
    )
    return {f"{kind.kind}/{name}" for kind in kinds for name in await names(platform.user, kind, selector)}


async def daemon_set(platform: Platform, name: str) -> Object:
    return await platform.user.client.get(DAEMON_SETS, name, namespace="kube-system")


async def containers(platform: Platform, name: str) -> list[Object]:
    return list((await daemon_set(platform, name))["spec"]["template"]["spec"]["containers"])


async def has_mode(platform: Platform, mode: str) -> bool:
    found = await platform.find(CONFIG_MAPS, "kube-proxy")
    return found is not None and f"\nmode: {mode}\n" in found["data"]["config.conf"]


async def set_version(platform: Platform, version: str) -> None:
    status = {"versions": {"controlPlane": version}}
    await platform.seed.client.patch(CLUSTERS, CLUSTER, {"status": status}, subresource="status")
