"""What the default addons leave in the user cluster, and what remains when they go."""

from __future__ import annotations

import json

import pytest

from lab.errors import ApiError
from lab.objects import annotations_of
from lab.platform.kkp.addons import CANAL_IMAGES, addon_objects
from lab.platform.kkp.applying import LAST_APPLIED
from lab.resources import (
    ADDONS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTERS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    POD_DISRUPTION_BUDGETS,
    SERVICE_ACCOUNTS,
)
from tests.lab.kkp.harness import CLUSTER, NAMESPACE, Platform, names

CANAL = "kubermatic-addon=canal"


async def test_a_fresh_canal_cluster_gets_canal_and_kube_proxy(platform: Platform):
    assert await names(platform.user, DAEMON_SETS, "kubermatic-addon") == {"canal", "kube-proxy"}
    assert await names(platform.user, DEPLOYMENTS, CANAL) == {"calico-kube-controllers"}
    assert await names(platform.user, POD_DISRUPTION_BUDGETS, CANAL) == {"calico-kube-controllers"}
    assert len(await names(platform.user, CUSTOM_RESOURCE_DEFINITIONS, CANAL)) == 24
    assert "calico-tier-getter" in await names(platform.user, CLUSTER_ROLE_BINDINGS, CANAL)


async def test_addon_objects_carry_their_last_applied_configuration(platform: Platform):
    canal = await platform.user.client.get(DAEMON_SETS, "canal", namespace="kube-system")
    applied = json.loads(annotations_of(canal)[LAST_APPLIED])
    assert applied["metadata"]["labels"]["kubermatic-addon"] == "canal"
    assert "kubermatic-addon" not in canal["spec"]["template"]["metadata"]["labels"]


async def test_addon_is_marked_as_default_and_ensured(platform: Platform):
    addon = await platform.addon("canal")
    assert addon is not None
    assert addon["spec"]["isDefault"] is True
    assert addon["metadata"]["labels"] == {"addons.kubermatic.io/ensure": "true"}
    assert addon["metadata"]["finalizers"] == ["cleanup-manifests"]


async def test_canal_is_orphaned_when_the_type_changes(platform: Platform):
    before = {kind: await names(platform.user, kind, CANAL) for kind in (DAEMON_SETS, DEPLOYMENTS, CONFIG_MAPS)}
    uid = (await platform.user.client.get(DAEMON_SETS, "canal", namespace="kube-system"))["metadata"]["uid"]

    await platform.switch("cilium", "1.18.10")
    await platform.until(lambda: _is_gone(platform, "canal"))
    await platform.until(platform.is_ready)

    assert {kind: await names(platform.user, kind, CANAL) for kind in before} == before
    canal = await platform.user.client.get(DAEMON_SETS, "canal", namespace="kube-system")
    assert canal["metadata"]["uid"] == uid


async def test_canal_addon_stays_without_effect_when_the_type_is_none(platform: Platform):
    await platform.switch("none", "")
    await platform.patch_cluster({"metadata": {"labels": {"team": "other"}}})
    await platform.user.client.delete(CONFIG_MAPS, "canal-config", namespace="kube-system")
    await platform.patch_cluster({"spec": {"clusterNetwork": {"proxyMode": "nftables"}}})
    await platform.until(lambda: _proxy_mode(platform, "nftables"))
    assert await platform.addon("canal") is not None
    assert await platform.find(CONFIG_MAPS, "canal-config") is None


async def test_kube_proxy_is_really_deleted_on_ebpf(platform: Platform):
    await platform.switch("cilium", "1.18.10")
    await platform.patch_cluster({"spec": {"clusterNetwork": {"proxyMode": "ebpf"}}})
    await platform.until(lambda: _is_gone(platform, "kube-proxy"))
    for resource in (DAEMON_SETS, CONFIG_MAPS, SERVICE_ACCOUNTS):
        assert await platform.find(resource, "kube-proxy") is None
    assert "kubeadm:node-proxier" not in await names(platform.user, CLUSTER_ROLE_BINDINGS)


async def test_kube_proxy_rolls_by_its_checksum_when_the_mode_changes(platform: Platform):
    before = await platform.user.client.get(DAEMON_SETS, "kube-proxy", namespace="kube-system")
    await platform.patch_cluster(
        {"metadata": {"labels": {"unsafe-cni-migration": ""}}, "spec": {"clusterNetwork": {"proxyMode": "ipvs"}}}
    )
    await platform.until(lambda: _proxy_mode(platform, "ipvs"))

    async def rolled():
        found = await platform.user.client.get(DAEMON_SETS, "kube-proxy", namespace="kube-system")
        return found if _checksum(found) != _checksum(before) else None

    after = await platform.until(rolled)
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


async def test_applying_again_writes_nothing(platform: Platform):
    found, _ = await platform.user.client.list(DAEMON_SETS)
    before = {item["metadata"]["name"]: item["metadata"]["generation"] for item in found}
    await platform.patch_cluster({"metadata": {"labels": {"team": "other"}}})
    await platform.user.client.delete(CONFIG_MAPS, "kube-proxy", namespace="kube-system")
    await platform.patch_cluster({"metadata": {"labels": {"team": "third"}}})
    await platform.until(lambda: platform.find(CONFIG_MAPS, "kube-proxy"))
    found, _ = await platform.user.client.list(DAEMON_SETS)
    assert {item["metadata"]["name"]: item["metadata"]["generation"] for item in found} == before


async def test_an_older_canal_version_prunes_nothing_but_what_it_lacks(platform: Platform):
    await platform.patch_cluster(
        {"metadata": {"labels": {"unsafe-cni-upgrade": ""}}, "spec": {"cniPlugin": {"version": "v3.25"}}}
    )

    async def is_downgraded():
        found = await platform.user.client.get(DAEMON_SETS, "canal", namespace="kube-system")
        return found["spec"]["template"]["spec"]["containers"][0]["image"] == "quay.io/calico/node:v3.25.1"

    await platform.until(is_downgraded)
    assert "calico-cni-plugin" in await names(platform.user, SERVICE_ACCOUNTS)


async def test_addons_of_users_are_never_deleted(platform: Platform):
    addon = {
        "metadata": {"name": "hubble-of-mine", "namespace": NAMESPACE},
        "spec": {"name": "hubble-of-mine", "cluster": {"name": "x"}, "isDefault": False},
    }
    await platform.seed.client.create(ADDONS, addon)
    await platform.switch("cilium", "1.18.10")
    await platform.until(lambda: _is_gone(platform, "canal"))
    assert await platform.addon("hubble-of-mine") is not None


async def test_a_paused_cluster_is_left_alone(platform: Platform):
    await platform.patch_cluster({"spec": {"pause": True}})
    await platform.switch("cilium", "1.18.10")
    await platform.patch_cluster({"spec": {"pause": True, "pauseReason": "maintenance"}})
    assert await platform.addon("canal") is not None
    await platform.patch_cluster({"spec": {"pause": False}})
    await platform.until(lambda: _is_gone(platform, "canal"))


async def test_an_addon_that_cannot_be_applied_is_told_in_an_event(platform: Platform):
    status = {"versions": {"controlPlane": "1.31.4"}}
    await platform.seed.client.patch(CLUSTERS, CLUSTER, {"status": status}, subresource="status")

    async def event():
        found, _ = await platform.seed.client.list(EVENTS)
        return [item for item in found if 'failed to reconcile Addon "canal"' in item["message"]]

    (found,) = (await platform.until(event))[:1]
    assert (found["type"], found["reason"]) == ("Warning", "ReconcilingError")
    assert "unsupported Kubernetes version" in found["message"]


@pytest.mark.parametrize(
    ("version", "objects", "definitions"),
    [(version, 12, 17) for version in ("v3.21", "v3.22", "v3.23", "v3.24", "v3.25")]
    + [(version, 15, 18) for version in ("v3.26", "v3.27", "v3.28")]
    + [("v3.29", 15, 20), ("v3.30", 17, 24), ("v3.31", 17, 24)],
)
def test_canal_has_its_objects_per_version(version: str, objects: int, definitions: int):
    found = addon_objects("canal", _cluster(version))
    kinds = [item["kind"] for item in found]
    assert kinds.count("CustomResourceDefinition") == definitions
    assert len(found) - definitions == objects
    images = [item["image"] for item in _containers(found, "DaemonSet")]
    assert images == [f"quay.io/calico/node:{CANAL_IMAGES[version].calico}", CANAL_IMAGES[version].flannel]


def test_canal_brings_a_network_policy_only_with_the_feature():
    cluster = _cluster("v3.30")
    cluster["spec"]["features"] = {"kubeSystemNetworkPolicies": True}
    assert [
        item["metadata"]["name"] for item in addon_objects("canal", cluster) if item["kind"] == "NetworkPolicy"
    ] == ["calico"]
    assert not [item for item in addon_objects("canal", _cluster("v3.30")) if item["kind"] == "NetworkPolicy"]


def test_canal_renders_empty_for_any_other_cni():
    assert addon_objects("canal", _cluster("1.18.10", cni_type="cilium")) == []
    assert addon_objects("canal", _cluster("", cni_type="none")) == []


def _cluster(version: str, cni_type: str = "canal"):
    network = {
        "pods": {"cidrBlocks": ["172.25.0.0/16"]},
        "services": {"cidrBlocks": ["10.240.16.0/20"]},
        "proxyMode": "ipvs",
    }
    return {"spec": {"cniPlugin": {"type": cni_type, "version": version}, "clusterNetwork": network}}


def _containers(objects, kind):
    (found,) = [item for item in objects if item["kind"] == kind]
    return found["spec"]["template"]["spec"]["containers"]


def _checksum(daemon_set):
    return daemon_set["spec"]["template"]["metadata"]["annotations"]["checksum/config"]


async def _is_gone(platform: Platform, addon: str) -> bool:
    return await platform.addon(addon) is None


async def _proxy_mode(platform: Platform, mode: str) -> bool:
    try:
        found = await platform.user.client.get(CONFIG_MAPS, "kube-proxy", namespace="kube-system")
    except ApiError:
        return False
    return f"\nmode: {mode}\n" in found["data"]["config.conf"]
