"""What KKP 2.20 refused of a change of CNI or proxy mode, in its words, and what it let pass."""

from __future__ import annotations

import copy

import pytest

from lab.apiserver.patches.merge import merge_patch
from lab.apiserver.server import ApiServer
from lab.errors import ApiError
from lab.faults import Faults
from lab.objects import Object, name_of
from lab.platform.kkp import register_seed_admission, seed_objects
from lab.platform.kkp.profiles import KKP_2_20, KKP_2_31, Profile
from lab.resources import CLUSTERS
from tests.lab.kkp.harness import CLUSTER
from tests.lab.kkp.legacy import UNLOCKED, a_cluster

PREFIX = 'admission webhook "clusters.kubermatic.io" denied the request: '

REFUSED = {
    "a version of today's Cilium": (
        UNLOCKED | {"spec": {"cniPlugin": {"type": "cilium", "version": "1.13.0"}}},
        'spec.cniPlugin.version: Unsupported value: "1.13.0": supported values: "v1.11", "v1.12"',
    ),
    "a version of today's Canal": (
        {"metadata": {"labels": {"unsafe-cni-upgrade": ""}}, "spec": {"cniPlugin": {"version": "v3.23"}}},
        'spec.cniPlugin.version: Unsupported value: "v3.23": supported values: '
        '"v3.19", "v3.20", "v3.21", "v3.22", "v3.8"',
    ),
    "the type without the label": (
        {"spec": {"cniPlugin": {"type": "cilium", "version": "v1.11"}}},
        "spec.cniPlugin.type: Forbidden: cannot change CNI plugin type, unless unsafe-cni-migration label is present",
    ),
    "two minor versions at once": (
        {"spec": {"cniPlugin": {"version": "v3.19"}}},
        "spec.cniPlugin.version: Forbidden: cannot upgrade CNI from v3.21 to v3.19, only one minor version difference "
        "is allowed unless unsafe-cni-upgrade label is present",
    ),
    "ebpf on Canal": (
        UNLOCKED | {"spec": {"clusterNetwork": {"proxyMode": "ebpf"}}},
        'spec.networkConfig.proxyMode: Invalid value: "ebpf": ebpf proxy mode is not valid for canal CNI',
    ),
    "ebpf without Konnectivity": (
        UNLOCKED
        | {
            "spec": {
                "cniPlugin": {"type": "cilium", "version": "v1.11"},
                "clusterNetwork": {"proxyMode": "ebpf", "konnectivityEnabled": False},
            }
        },
        'spec.networkConfig.proxyMode: Invalid value: "ebpf": ebpf proxy mode can be used only when Konnectivity is '
        "enabled",
    ),
}


@pytest.mark.parametrize(("patch", "violation"), REFUSED.values(), ids=REFUSED)
async def test_the_webhook_refuses(patch: Object, violation: str):
    seed = await a_seed()

    with pytest.raises(ApiError) as refused:
        await seed.client.patch(CLUSTERS, CLUSTER, patch)

    assert (refused.value.code, refused.value.message) == (403, PREFIX + violation)


async def test_the_schema_refuses_nftables():
    seed = await a_seed()

    with pytest.raises(ApiError) as refused:
        await seed.client.patch(CLUSTERS, CLUSTER, UNLOCKED | {"spec": {"clusterNetwork": {"proxyMode": "nftables"}}})

    assert refused.value.code == 422
    assert 'Unsupported value: "nftables": supported values: "ipvs", "iptables", "ebpf"' in refused.value.message


ALLOWED = {
    "Cilium v1.11 with the label": UNLOCKED | {"spec": {"cniPlugin": {"type": "cilium", "version": "v1.11"}}},
    "Canal's next version": {"spec": {"cniPlugin": {"version": "v3.22"}}},
    "no Konnectivity": {"spec": {"clusterNetwork": {"konnectivityEnabled": False}}},
    "the next Kubernetes": {"spec": {"version": "1.23.15"}},
}


@pytest.mark.parametrize("patch", ALLOWED.values(), ids=ALLOWED)
async def test_the_webhook_lets_pass(patch: Object):
    seed = await a_seed()

    found = await seed.client.patch(CLUSTERS, CLUSTER, patch)

    assert found["spec"] == merge_patch(copy.deepcopy(found["spec"]), patch["spec"])


async def test_a_cluster_without_wishes_gets_the_defaults_of_the_time():
    body = a_cluster("canal", "v3.21")
    del body["spec"]["cniPlugin"], body["spec"]["clusterNetwork"]["proxyMode"]
    seed = await a_seed(body)

    spec = (await seed.client.get(CLUSTERS, CLUSTER))["spec"]

    assert spec["cniPlugin"] == {"type": "canal", "version": "v3.22"}
    assert spec["clusterNetwork"]["proxyMode"] == "ipvs"


def test_the_definition_of_clusters_knows_no_nftables():
    assert _proxy_modes(KKP_2_20) == ["ipvs", "iptables", "ebpf"]
    assert _proxy_modes(KKP_2_31) == ["ipvs", "iptables", "ebpf", "nftables"]


async def a_seed(cluster: Object | None = None) -> ApiServer:
    server = ApiServer("lab", tokens={}, faults=Faults())
    register_seed_admission(server, KKP_2_20)
    for resource, body in seed_objects(KKP_2_20):
        await server.client.create(resource, body)
    await server.client.create(CLUSTERS, cluster or a_cluster("canal", "v3.21"))
    return server


def _proxy_modes(profile: Profile) -> list[str]:
    (found,) = [body for _, body in seed_objects(profile) if name_of(body) == "clusters.kubermatic.k8c.io"]
    spec = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return list(spec["properties"]["clusterNetwork"]["properties"]["proxyMode"]["enum"])
