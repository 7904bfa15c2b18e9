"""What KKP keeps in every user cluster comes back when it is deleted (docs/platform.md 6.4)."""

from __future__ import annotations

from lab.resources import CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, POD_DISRUPTION_BUDGETS, SERVICES
from tests.lab.kkp.harness import Platform, names


async def test_a_fresh_cluster_has_its_system_workloads(platform: Platform):
    await platform.until(lambda: platform.find(DAEMON_SETS, "user-ssh-keys-agent"))
    assert {"coredns", "konnectivity-agent", "metrics-server"} <= await names(platform.user, DEPLOYMENTS)
    assert {"dashboard-metrics-scraper"} <= await names(platform.user, DEPLOYMENTS)
    assert {"node-local-dns", "user-ssh-keys-agent"} <= await names(platform.user, DAEMON_SETS)
    assert {"konnectivity-agent", "metrics-server"} <= await names(platform.user, POD_DISRUPTION_BUDGETS)
    dns = await platform.user.client.get(SERVICES, "kube-dns", namespace="kube-system")
    assert dns["spec"]["clusterIP"] == "10.240.16.10"


async def test_deleted_objects_come_back(platform: Platform):
    await platform.until(lambda: platform.find(CONFIG_MAPS, "coredns"))
    before = await platform.until(lambda: platform.find(DEPLOYMENTS, "coredns"))
    await platform.user.client.delete(DEPLOYMENTS, "coredns", namespace="kube-system")

    async def is_back():
        found = await platform.find(DEPLOYMENTS, "coredns")
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    await platform.until(is_back)


async def test_changes_are_undone_but_additions_stay(platform: Platform):
    await platform.until(lambda: platform.find(DEPLOYMENTS, "coredns"))
    annotations = {"kubectl.kubernetes.io/restartedAt": "2026-08-21T10:00:00Z"}
    patch = {"spec": {"replicas": 0, "template": {"metadata": {"annotations": annotations}}}}
    await platform.user.client.patch(DEPLOYMENTS, "coredns", patch, namespace="kube-system")

    async def is_scaled_back():
        found = await platform.find(DEPLOYMENTS, "coredns")
        return found if found is not None and found["spec"]["replicas"] == 2 else None

    found = await platform.until(is_scaled_back)
    assert found["spec"]["template"]["metadata"]["annotations"] == annotations
