"""Every rule of KKP's Cluster webhooks with its exact message (docs/platform.md 1.2 and 1.3)."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest

from lab.apiserver.patches.merge import merge_patch
from lab.apiserver.server import ApiServer
from lab.errors import ApiError
from lab.faults import Faults
from lab.objects import Object
from lab.platform.kkp import cluster_objects, register_seed_admission, seed_objects
from lab.platform.kkp.profiles import TODAY
from lab.platform.kkp.values import merged
from lab.resources import CLUSTERS

PREFIX = 'admission webhook "clusters.kubermatic.io" denied the request: '
MIGRATION = {"metadata": {"labels": {"unsafe-cni-migration": "true"}}}
NAME = "hv2c7xk9tl"


def _cluster(**changes: Any) -> Object:
    parts: dict[str, Any] = {"cni_type": "canal", "cni_version": "v3.30", "proxy_mode": "iptables", **changes}
    (_, body), *_ = cluster_objects(
        NAME, human_readable_name="stage", project="q7mdz4w8sn", version="1.34.11",
        url="https://lab.example:6443/clusters/x", labels={"team": "shop"}, **parts,
    )  # fmt: skip
    return body


@pytest.fixture
async def seed() -> ApiServer:
    server = ApiServer("lab", tokens={}, faults=Faults())
    register_seed_admission(server)
    for resource, body in seed_objects():
        await server.client.create(resource, body)
    return server


async def _refusal(seed: ApiServer, body: Object, patch: Object) -> ApiError:
    await seed.client.create(CLUSTERS, body)
    with pytest.raises(ApiError) as refused:
        await seed.client.patch(CLUSTERS, NAME, patch)
    return refused.value


def _cni(cni_type: str, version: str) -> Object:
    return {"spec": {"cniPlugin": {"type": cni_type, "version": version}}}


def _network(**fields: Any) -> Object:
    return {"spec": {"clusterNetwork": fields}}


def _with(body: Object, patch: Object) -> Object:
    return dict(merge_patch(copy.deepcopy(body), patch))


def _both(*patches: Object) -> Object:
    """Return one patch that does what all of these do, nulls included."""
    return functools.reduce(merged, patches)


def _supported(versions: Any) -> str:
    return ", ".join(f'"{version}"' for version in versions)


CANAL, CILIUM = _cluster(), _cluster(cni_type="cilium", cni_version="1.16.9")
DUAL_STACK = _with(
    _cluster(cni_version="v3.22"),
    _network(
        ipFamily="IPv4+IPv6",
        pods={"cidrBlocks": ["172.25.0.0/16", "fd01::/48"]},
        services={"cidrBlocks": ["10.240.16.0/20", "fd02::/120"]},
    ),
)
NEEDS_LABEL = (
    "spec.cniPlugin.type: Forbidden: cannot change CNI plugin type, unless unsafe-cni-migration label is present"
)
TOO_FAR = (
    "spec.cniPlugin.version: Forbidden: cannot upgrade CNI from {} to {}, only one minor version difference is allowed "
    "unless unsafe-cni-upgrade label is present"
)
REFUSED = {
    "the CNI is removed": (
        CANAL, {"spec": {"cniPlugin": None}}, "spec.cniPlugin: Required value: CNI plugin settings cannot be removed",
    ),
    "the type changes without the label": (
        CANAL, _cni("cilium", "1.18.10"),
        NEEDS_LABEL,
    ),
    "the old version stays": (
        CANAL, _both(MIGRATION, {"spec": {"cniPlugin": {"type": "cilium"}}}),
        'spec.cniPlugin.version: Unsupported value: "v3.30": supported values: "1.13.0", "1.13.14", "1.13.3", '
        + _supported(TODAY.cni_versions.allowed("cilium")[3:]),
    ),
    "the version skips a minor": (
        CILIUM, _cni("cilium", "1.18.10"),
        TOO_FAR.format("1.16.9", "1.18.10"),
    ),
    "the version skips a minor downwards": (
        CANAL, _cni("canal", "v3.28"),
        TOO_FAR.format("v3.30", "v3.28"),
    ),
    "the proxy mode changes without the label": (
        CANAL, _network(proxyMode="ipvs"), 'spec.clusterNetwork.proxyMode: Invalid value: "ipvs": field is immutable',
    ),
    "ebpf with canal": (
        CANAL, _both(MIGRATION, _network(proxyMode="ebpf")),
        'spec.networkConfig.proxyMode: Invalid value: "ebpf": ebpf proxy mode is not valid for canal CNI',
    ),
    "konnectivity is switched off": (
        CANAL, _network(konnectivityEnabled=False),
        "spec.networkConfig.konnectivityEnabled: Invalid value: false: Konnectivity can no longer be disabled",
    ),
    "ebpf without konnectivity": (
        CILIUM, _both(MIGRATION, _network(proxyMode="ebpf", konnectivityEnabled=False)),
        '[spec.networkConfig.proxyMode: Invalid value: "ebpf": ebpf proxy mode can be used only when Konnectivity is '
        "enabled, spec.networkConfig.konnectivityEnabled: Invalid value: false: Konnectivity can no longer be disabled]",
    ),
    "a version that is none": (
        CANAL, _cni("canal", "x"),
        '[spec.cniPlugin.version: Unsupported value: "x": supported values: '
        f"{_supported(TODAY.cni_versions.allowed('canal'))}, "
        "spec.cniPlugin.version: Invalid value: \"x\": couldn't parse CNI version `x`: invalid semantic version]",
    ),
    "the DNS domain changes": (
        CANAL, _network(dnsDomain="other.local"),
        """[spec.networkConfig.dnsDomain: Invalid value: "other.local": dnsDomain must be 'cluster.local', """
        'spec.clusterNetwork.dnsDomain: Invalid value: "other.local": field is immutable]',
    ),
    "the IP family changes": (
        CANAL, _network(ipFamily="IPv4+IPv6"),
        'spec.clusterNetwork.ipFamily: Invalid value: "IPv4+IPv6": field is immutable',
    ),
    "the pod range changes": (
        CANAL, _both(MIGRATION, _network(pods={"cidrBlocks": ["172.26.0.0/16"]})),
        'spec.clusterNetwork.pods.cidrBlocks: Invalid value: ["172.26.0.0/16"]: field is immutable',
    ),
    "the service range changes": (
        CANAL, _network(services={"cidrBlocks": ["10.241.0.0/20"]}),
        'spec.clusterNetwork.services.cidrBlocks: Invalid value: ["10.241.0.0/20"]: field is immutable',
    ),
    "node-local-dns is switched off": (
        CANAL, _network(nodeLocalDNSCacheEnabled=False),
        "spec.clusterNetwork.nodeLocalDNSCacheEnabled: Invalid value: false: field is immutable",
    ),
    "the project changes": (
        CANAL, {"metadata": {"labels": {"project-id": "other"}}},
        'metadata.labels: Invalid value: "other": the project-id label is immutable',
    ),
    "the datacenter changes": (
        CANAL, {"spec": {"cloud": {"dc": "elsewhere"}}}, "spec.cloud: Forbidden: changing the datacenter is not allowed",
    ),
    "the expose strategy changes": (
        CANAL, {"spec": {"exposeStrategy": "LoadBalancer"}},
        'spec.exposeStrategy: Invalid value: "LoadBalancer": field is immutable',
    ),
    "an unknown Kubernetes version": (
        CANAL, {"spec": {"version": "1.34.99"}},
        f'spec.version: Unsupported value: "1.34.99": supported values: {_supported(TODAY.kubernetes_versions)}',
    ),
    "a Kubernetes version two minors up": (
        CANAL, {"spec": {"version": "1.36.4"}},
        'spec.version: Unsupported value: "1.36.4": supported values: '
        + _supported(version for version in TODAY.kubernetes_versions if version.startswith(("1.34", "1.35"))),
    ),
    "an unrelated old problem": (
        _with(CANAL, {"spec": {"humanReadableName": "x"}}), {"spec": {"humanReadableName": ""}},
        "spec.humanReadableName: Required value: no name specified",
    ),
    "canal too old for dual-stack": (
        DUAL_STACK, _cni("canal", "v3.21"),
        "spec.cniPlugin: Forbidden: dual-stack not allowed on Canal CNI version lower than 3.22",
    ),
    "several rules at once": (
        CANAL, _both(_cni("cilium", "1.18.10"), _network(proxyMode="ebpf")),
        f'[spec.clusterNetwork.proxyMode: Invalid value: "ebpf": field is immutable, {NEEDS_LABEL}]',
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", REFUSED)
async def test_refused(seed: ApiServer, rule: str):
    body, patch, message = REFUSED[rule]
    refusal = await _refusal(seed, body, patch)
    assert (refusal.code, refusal.reason, refusal.message) == (403, "Forbidden", PREFIX + message)


ALLOWED = {
    "the type with the label in one patch": (CANAL, _both(MIGRATION, _cni("cilium", "1.18.10"))),
    "the label's value is empty": (
        CANAL, _both({"metadata": {"labels": {"unsafe-cni-migration": ""}}}, _cni("cilium", "1.18.10")),
    ),
    "the label says false": (
        CANAL, _both({"metadata": {"labels": {"unsafe-cni-migration": "false"}}}, _cni("cilium", "1.18.10")),
    ),
    "a deprecated version that nothing installs": (CANAL, _both(MIGRATION, _cni("cilium", "v1.11"))),
    "type and ebpf in one patch": (CANAL, _both(MIGRATION, _cni("cilium", "1.18.10"), _network(proxyMode="ebpf"))),
    "a change of type is not held to one minor": (CILIUM, _both(MIGRATION, _cni("canal", "v3.21"))),
    "none with ebpf": (CANAL, _both(MIGRATION, _cni("none", ""), _network(proxyMode="ebpf"))),
    "one minor up": (CILIUM, _cni("cilium", "1.17.16")),
    "one minor down": (CILIUM, _cni("cilium", "1.15.3")),
    "any patch": (CILIUM, _cni("cilium", "1.16.6")),
    "two minors with the label": (
        CILIUM, _both({"metadata": {"labels": {"unsafe-cni-upgrade": ""}}}, _cni("cilium", "1.19.4")),
    ),
    "canal from before 3.22 to 3.22": (_cluster(cni_version="v3.21"), _cni("canal", "v3.22")),
    "nftables": (CANAL, _both(MIGRATION, _network(proxyMode="nftables"))),
    "cilium with ipvs": (CANAL, _both(MIGRATION, _cni("cilium", "1.18.10"), _network(proxyMode="ipvs"))),
    "one Kubernetes minor up": (CANAL, {"spec": {"version": "1.35.8"}}),
    "an expose strategy with the label": (
        CANAL, {"metadata": {"labels": {"unsafe-expose-strategy-migration": ""}}, "spec": {"exposeStrategy": "LoadBalancer"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", ALLOWED)
async def test_allowed(seed: ApiServer, change: str):
    body, patch = ALLOWED[change]
    await seed.client.create(CLUSTERS, body)
    changed = await seed.client.patch(CLUSTERS, NAME, patch)
    assert changed["metadata"]["generation"] == 2


async def test_the_label_may_go_again(seed: ApiServer):
    await seed.client.create(CLUSTERS, _with(CANAL, MIGRATION))
    changed = await seed.client.patch(CLUSTERS, NAME, {"metadata": {"labels": {"unsafe-cni-migration": None}}})
    assert "unsafe-cni-migration" not in changed["metadata"]["labels"]


async def test_leaving_ebpf_for_canal_takes_the_mode_in_the_same_patch(seed: ApiServer):
    body = _cluster(cni_type="cilium", cni_version="1.18.10", proxy_mode="ebpf")
    refusal = await _refusal(seed, body, _both(MIGRATION, _cni("canal", "v3.30")))
    assert "ebpf proxy mode is not valid for canal CNI" in refusal.message
    await seed.client.patch(CLUSTERS, NAME, _both(MIGRATION, _cni("canal", "v3.30"), _network(proxyMode="iptables")))


async def test_a_missing_cni_version_becomes_the_default(seed: ApiServer):
    await seed.client.create(CLUSTERS, CANAL)
    changed = await seed.client.patch(CLUSTERS, NAME, _both(MIGRATION, _cni("cilium", "")))
    assert changed["spec"]["cniPlugin"] == {"type": "cilium", "version": "1.19.4"}


async def test_ipvs_gets_strict_arp(seed: ApiServer):
    await seed.client.create(CLUSTERS, CANAL)
    changed = await seed.client.patch(CLUSTERS, NAME, _both(MIGRATION, _network(proxyMode="ipvs")))
    assert changed["spec"]["clusterNetwork"]["ipvs"] == {"strictArp": True}


async def test_a_new_cluster_gets_the_defaults(seed: ApiServer):
    body = _with(CANAL, {"spec": {"cniPlugin": None, "containerRuntime": None, "clusterNetwork": None}})
    created = await seed.client.create(CLUSTERS, body)
    assert created["spec"]["cniPlugin"] == {"type": "cilium", "version": "1.19.4"}
    assert created["spec"]["containerRuntime"] == "containerd"
    assert created["spec"]["clusterNetwork"]["pods"] == {"cidrBlocks": ["172.25.0.0/16"]}


async def test_a_new_cluster_needs_a_project(seed: ApiServer):
    with pytest.raises(ApiError, match='Required value: Cluster resources must have a "project-id" label'):
        await seed.client.create(CLUSTERS, _with(CANAL, {"metadata": {"labels": {"project-id": None}}}))


async def test_a_name_that_is_too_long_is_refused(seed: ApiServer):
    with pytest.raises(ApiError, match="maximum allowed length of 36"):
        await seed.client.create(CLUSTERS, _with(CANAL, {"metadata": {"name": "a" * 37}}))


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (
            _network(proxyMode="x"),
            'spec.clusterNetwork.proxyMode: Unsupported value: "x": supported values: "ipvs", "iptables", "ebpf", "nftables"',
        ),
        (
            _cni("weave", "1"),
            'spec.cniPlugin.type: Unsupported value: "weave": supported values: "canal", "cilium", "none"',
        ),
        (_network(pods=None), "spec.clusterNetwork.pods: Required value"),
    ],
)
async def test_the_schema_comes_before_the_webhook(seed: ApiServer, patch: Object, message: str):
    refusal = await _refusal(seed, CANAL, _both(MIGRATION, patch))
    assert (refusal.code, refusal.reason) == (422, "Invalid")
    assert refusal.message == f'Cluster.kubermatic.k8c.io "{NAME}" is invalid: {message}'


async def test_the_status_is_no_business_of_the_webhook(seed: ApiServer):
    created = await seed.client.create(CLUSTERS, CANAL)
    changed = {**created, "status": {"phase": "Running"}}
    assert (await seed.client.update(CLUSTERS, changed, subresource="status"))["status"] == {"phase": "Running"}
