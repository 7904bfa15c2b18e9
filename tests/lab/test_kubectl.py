"""A real kubectl finds its way in the lab."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.kubectl


def test_nodes_are_shown_as_kubectl_shows_them(kubectl):
    lines = kubectl("get", "nodes").splitlines()

    assert lines[0].split() == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [line.split()[1] for line in lines[1:]] == ["Ready"] * 3
    assert {line.split()[4] for line in lines[1:]} == {"v1.34.11"}


def test_pods_of_all_namespaces_with_custom_columns_tell_host_network(kubectl):
    columns = "NAMESPACE:.metadata.namespace,NAME:.metadata.name,HOSTNETWORK:.spec.hostNetwork"
    lines = kubectl("get", "pods", "-A", "-o", f"custom-columns={columns}", "--no-headers=true").splitlines()

    host_network = {line.split()[1].rpartition("-")[0] for line in lines if line.split()[2] == "true"}
    assert {"canal", "kube-proxy", "node-local-dns"} <= host_network
    assert [line for line in lines if line.split()[:2] == ["shop", "debug-shell"] and "<none>" in line]


def test_clusters_of_the_seed_are_listed(seed_kubectl, running_lab):
    assert running_lab.cluster_name() in seed_kubectl("get", "clusters")


def test_a_deployment_is_restarted_and_its_rollout_waited_for(kubectl):
    before = kubectl("get", "pods", "-n", "shop", "-l", "app=catalog", "-o", "name").split()
    kubectl("rollout", "restart", "deployment/catalog", "-n", "shop")
    kubectl("rollout", "status", "deployment/catalog", "-n", "shop", "--timeout=60s")

    after = kubectl("get", "pods", "-n", "shop", "-l", "app=catalog", "-o", "name").split()
    assert not set(before) & set(after)


def test_an_object_is_applied_described_and_deleted(kubectl):
    manifest = """
apiVersion: v1
kind: ConfigMap
metadata: {name: applied, namespace: shop}
data: {colour: green}
"""
    assert "created" in kubectl("apply", "-f", "-", stdin=manifest)
    assert "configured" in kubectl("apply", "-f", "-", stdin=manifest.replace("green", "blue"))
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=manifest.replace("green", "blue"))
    assert "blue" in kubectl("describe", "configmap", "-n", "shop", "applied")
    assert "deleted" in kubectl("delete", "-f", "-", stdin=manifest)


def test_an_unknown_object_is_not_found(kubectl):
    missing = kubectl.run("get", "pod", "-n", "shop", "nobody")

    assert missing.returncode == 1
    assert 'pods "nobody" not found' in missing.stderr
