"""The definitions of KKP, machine-controller, Cilium and Calico: what they keep out, on every API server."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from lab.network.cilium_resources import cilium_definitions
from lab.platform.kkp import cluster_objects, seed_objects, user_cluster_definitions
from lab.platform.kkp.addons import addon_objects
from tests.apiserver.custom_resources import DEFINITIONS, causes, is_served
from tests.running_lab import eventually


def a_cluster():
    (_, cluster), *_ = cluster_objects(
        "bqk2m5xw9z",
        human_readable_name="one",
        project="m5zd8kx2wq",
        cni_type="canal",
        cni_version="v3.31",
        proxy_mode="ipvs",
        version="1.34.11",
        url="https://127.0.0.1:6443",
        labels={},
    )
    return cluster


def definitions():
    """Return every definition that the platform brings along."""
    found = [body for _, body in [*seed_objects(), *user_cluster_definitions()]]
    found += [*cilium_definitions(), *addon_objects("canal", a_cluster())]
    return [body for body in found if body["kind"] == "CustomResourceDefinition"]


@pytest.fixture(scope="module")
def platform(api):
    """Paths of the platform's resources by plural and group, once all of them are served."""
    found = {}
    for body in definitions():
        answer = api.post(DEFINITIONS, json=body, params={"fieldValidation": "Strict"})
        assert answer.status_code in (201, 409), answer.text
        spec = body["spec"]
        where = "/namespaces/default" if spec["scope"] == "Namespaced" else ""
        root = f"/apis/{spec['group']}/{spec['versions'][0]['name']}"
        found[body["metadata"]["name"]] = f"{root}{where}/{spec['names']['plural']}"
    for path in found.values():
        eventually(partial(is_served, api, path), what=f"{path} to be served")
    return found


def cluster(**spec):
    return "clusters.kubermatic.k8c.io", {"spec": {**a_cluster()["spec"], **spec}}


def network(**fields):
    return cluster(clusterNetwork={**a_cluster()["spec"]["clusterNetwork"], **fields})


CILIUM, CALICO, K8C, APPS = "cilium.io", "crd.projectcalico.org", "kubermatic.k8c.io", "apps.kubermatic.k8c.io"
REFERENCE = {"name": "cilium", "version": "1.19.4"}
RULE: dict[str, Any] = {"endpointSelector": {}, "ingress": [{}]}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (cluster(cniPlugin={"type": "calico", "version": "v3.31"}), "spec.cniPlugin.type"),
        (cluster(cniPlugin={"type": "cilium"}), "spec.cniPlugin.version"),
        (cluster(version=None), "spec.version"),
        (cluster(exposeStrategy="Ingress"), "spec.exposeStrategy"),
        (cluster(features={"externalCloudProvider": "yes"}), "spec.features.externalCloudProvider"),
        (network(proxyMode="kernelspace"), "spec.clusterNetwork.proxyMode"),
        (network(pods={}), "spec.clusterNetwork.pods.cidrBlocks"),
        ((f"addons.{K8C}", {"spec": {"name": "canal"}}), "spec.cluster"),
        ((f"projects.{K8C}", {"spec": {}}), "spec.name"),
        (
            (f"applicationdefinitions.{APPS}", {"spec": {"description": "", "method": "git", "versions": []}}),
            "spec.method",
        ),
        ((f"applicationinstallations.{APPS}", {"spec": {"applicationRef": REFERENCE}}), "spec.namespace"),
        ((f"ciliumidentities.{CILIUM}", {}), "security-labels"),
        ((f"ciliumnodes.{CILIUM}", {}), "spec"),
        ((f"ciliumnodes.{CILIUM}", {"spec": {"ipam": {"podCIDRs": ["172.25.0.0"]}}}), "spec.ipam.podCIDRs[0]"),
        ((f"ciliumendpoints.{CILIUM}", {"status": {"state": "happy"}}), "status.state"),
        ((f"ciliumnetworkpolicies.{CILIUM}", {"spec": {"ingress": [{}]}}), "<nil>"),
        ((f"ciliumnetworkpolicies.{CILIUM}", {"spec": {"endpointSelector": {}}}), "<nil>"),
        ((f"ciliumclusterwidenetworkpolicies.{CILIUM}", {"spec": {**RULE, "nodeSelector": {}}}), "<nil>"),
        ((f"ippools.{CALICO}", {"spec": {"blockSize": 26}}), "spec.cidr"),
        ((f"networkpolicies.{CALICO}", {"spec": {"ingress": [{}]}}), "spec.ingress[0].action"),
        ((f"globalnetworkpolicies.{CALICO}", {"spec": {"order": "first"}}), "spec.order"),
        (
            ("adminnetworkpolicies.policy.networking.k8s.io", {"spec": {"priority": 2000, "subject": {"pods": {}}}}),
            "spec.priority",
        ),
    ],
)
def test_a_definition_keeps_out_what_makes_no_sense(api, platform, asked, field):
    name, body = asked

    answer = api.post(platform[name], json=as_object(api, name, body))

    assert field in {found for found, _, _ in causes(answer)}


@pytest.mark.parametrize(
    "asked",
    [
        cluster(cniPlugin={"type": "none", "version": ""}),
        network(proxyMode="nftables"),
        (f"ciliumnetworkpolicies.{CILIUM}", {"spec": RULE}),
        (f"ciliumidentities.{CILIUM}", {"security-labels": {"k8s:app": "shop"}}),
        (
            f"applicationinstallations.{APPS}",
            {"spec": {"applicationRef": REFERENCE, "namespace": {"name": "kube-system"}}},
        ),
        ("machines.cluster.k8s.io", {"spec": {"anything": {"goes": None}}}),
    ],
)
def test_a_definition_lets_in_what_makes_sense(api, platform, asked):
    name, body = asked

    answer = api.post(
        platform[name], json=as_object(api, name, body), params={"dryRun": "All", "fieldValidation": "Strict"}
    )

    assert answer.status_code == 201, answer.text


def test_kkp_s_defaults_are_filled_in(api, platform):
    name, body = network(nodeLocalDNSCacheEnabled=None, proxyMode=None)
    del body["spec"]["containerRuntime"]

    made = api.post(platform[name], json=as_object(api, name, body), params={"dryRun": "All"}).json()

    assert made["spec"]["containerRuntime"] == "containerd"
    assert made["spec"]["clusterNetwork"]["proxyMode"] == "ipvs"
    assert made["spec"]["clusterNetwork"]["nodeLocalDNSCacheEnabled"] is True


@pytest.mark.parametrize("name", ["machinedeployments.cluster.k8s.io", "machinesets.cluster.k8s.io"])
def test_machine_deployments_and_sets_can_be_scaled(api, platform, name):
    made = api.post(platform[name], json=as_object(api, name, {"spec": {"replicas": 2}})).json()
    path = f"{platform[name]}/{made['metadata']['name']}"

    assert api.get(f"{path}/scale").json()["spec"] == {"replicas": 2}
    assert api.get(f"{path}/status").status_code == 200
    api.delete(path)


def as_object(api, definition, body):
    """Return an object of a kind that a definition defines."""
    spec = next(found["spec"] for found in definitions() if found["metadata"]["name"] == definition)
    api_version = f"{spec['group']}/{spec['versions'][0]['name']}"
    return {"apiVersion": api_version, "kind": spec["names"]["kind"], "metadata": {"name": "asked"}, **body}
