"""What a migration must leave as good as it was, each made worse through the API of a lab cluster."""

import asyncio
from datetime import timedelta

import pytest

from clusters.kinds import (
    API_SERVICES,
    DEPLOYMENTS,
    NODES,
    PODS,
    SERVICES,
    VALIDATING_WEBHOOKS,
)
from clusters.steps import measuring, verification
from clusters.steps.bookkeeping import begin_migration
from clusters.steps.measuring import measured
from clusters.steps.observing import observe_baseline
from clusters.steps.result import changed
from clusters.steps.verification import record_baseline, verify
from migration.errors import OperatorActionNeeded
from migration.models import StepStatus
from tests.clusters.conftest import SOON
from tests.clusters.looking import becomes

BRIEFLY = timedelta(seconds=0.5)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(verification, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(verification, "LONGEST_PAUSE_SECONDS", 0.2)


async def status(opened, kind, name, change, *, namespace=""):
    """Patch an object's status, as its controller would."""
    path = kind.path(namespace=namespace, name=name, subresource="status")
    await opened.api._retrying("PATCH", path, body={"status": change}, content_type="application/merge-patch+json")


async def api_service(opened, *, available):
    name = "v1beta1.metrics.k8s.io"
    service = {"name": "metrics-server", "namespace": "kube-system"}
    spec = {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100}
    if await opened.api.find(API_SERVICES, name) is None:
        body = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}}
        await opened.api.create(API_SERVICES, {**body, "spec": {**spec, "service": service}})
    condition = {"type": "Available", "status": str(available)}
    await status(opened, API_SERVICES, name, {"conditions": [condition]})


async def node_condition(opened, kind, value):
    """Report a condition of the first node that the lab leaves to others; returns its name."""
    node = (await opened.api.list(NODES))[0]
    others = [condition for condition in node["status"]["conditions"] if condition["type"] != kind]
    name = node["metadata"]["name"]
    await status(opened, NODES, name, {"conditions": [*others, {"type": kind, "status": value}]})
    return str(name)


async def owned_pod(opened):
    """Have a pod of a controller that nobody here knows; returns when it is ready."""
    owner = {"apiVersion": "db.example.test/v1", "kind": "Cluster", "name": "main", "uid": "u-1", "controller": True}
    node = (await opened.api.list(NODES))[0]["metadata"]["name"]
    metadata = {"name": "main-0", "namespace": "data", "ownerReferences": [owner]}
    spec = {"nodeName": node, "containers": [{"name": "db", "image": "db"}], "terminationGracePeriodSeconds": 0}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    await opened.api.create(PODS, body, namespace="data")
    await becomes(lambda: has_ready_owned_pod(opened))


async def has_ready_owned_pod(opened):
    return (await observe_baseline(opened.api)).owned_pods.get("data/Cluster/main") == 1


async def webhook(opened, service):
    namespace, name = service.split("/")
    hook = {
        "name": "pods.example.test",
        "clientConfig": {"service": {"namespace": namespace, "name": name}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [],
    }
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    await opened.api.create(VALIDATING_WEBHOOKS, {**body, "metadata": {"name": "checks"}, "webhooks": [hook]})


async def orphaned(opened, namespace, name):
    """Have a Service select nobody, as if its pods were not reached; returns when its endpoints are gone."""
    await opened.api.patch(SERVICES, name, {"spec": {"selector": {"app": "nobody"}}}, namespace=namespace)
    await becomes(lambda: is_without_endpoints(opened, f"{namespace}/{name}"))


async def is_without_endpoints(opened, service):
    return (await observe_baseline(opened.api)).services.get(service) == 0


async def begun(cluster, opened):
    migration = await begin_migration(opened, cluster.request)
    return migration, await record_baseline(opened, migration.id)


class TestRegressions:
    async def refused(self, opened, migration):
        with pytest.raises(OperatorActionNeeded) as refusal:
            await verify(opened, migration.id, deadline=BRIEFLY)
        return str(refusal.value)

    async def test_an_api_that_is_no_longer_available(self, cluster, opened):
        await api_service(opened, available=True)
        migration, _ = await begun(cluster, opened)
        await api_service(opened, available=False)

        said = await self.refused(opened, migration)

        assert "before: APIService v1beta1.metrics.k8s.io is not available (it was). Mend" in said

    async def test_a_node_without_its_network(self, cluster, opened):
        migration, _ = await begun(cluster, opened)
        name = await node_condition(opened, "NetworkUnavailable", "True")

        assert f"before: Node {name} has NetworkUnavailable. Mend" in await self.refused(opened, migration)

    async def test_cluster_dns_without_endpoints(self, cluster, opened):
        migration, _ = await begun(cluster, opened)
        cluster.platform_fault("pod-never-ready", subject="kube-system/coredns-*")
        for pod in await opened.api.list(PODS, namespace="kube-system", labels="app=coredns"):
            metadata = pod["metadata"]
            await opened.api.delete(PODS, metadata["name"], namespace="kube-system", uid=metadata["uid"])
        await becomes(lambda: is_without_endpoints(opened, "kube-system/kube-dns"))

        assert "before: Cluster DNS has no ready endpoint" in await self.refused(opened, migration)

    async def test_a_webhook_without_backends(self, cluster, opened):
        await webhook(opened, "shop/cart")
        migration, _ = await begun(cluster, opened)
        await orphaned(opened, "shop", "cart")

        said = await self.refused(opened, migration)

        assert "before: Webhook checks/pods.example.test fails closed and its Service shop/cart has no ready" in said

    async def test_a_service_without_endpoints(self, cluster, opened):
        migration, _ = await begun(cluster, opened)
        await orphaned(opened, "shop", "cart")

        assert "before: Service shop/cart has no ready endpoint (it had 2)" in await self.refused(opened, migration)

    async def test_a_pod_of_an_operator_that_is_gone(self, cluster, opened):
        await owned_pod(opened)
        migration, _ = await begun(cluster, opened)
        found = await opened.api.get(PODS, "main-0", namespace="data")
        await opened.api.delete(PODS, "main-0", namespace="data", uid=found["metadata"]["uid"])

        assert "before: data/Cluster/main has 0 ready pods (it had 1)" in await self.refused(opened, migration)


class TestBrokenBefore:
    async def test_what_was_broken_before_is_listed_and_not_blamed(self, cluster, opened):
        await api_service(opened, available=False)
        node = await node_condition(opened, "NetworkUnavailable", "True")
        await orphaned(opened, "shop", "cart")

        migration, recorded = await begun(cluster, opened)
        result = await verify(opened, migration.id, deadline=SOON)

        assert {(finding.code, finding.subject) for finding in recorded.findings} == {
            ("broken-before", "APIService v1beta1.metrics.k8s.io"),
            ("broken-before", f"Node {node}"),
            ("broken-before", "Service shop/cart"),
        }
        assert result.status is StepStatus.CONFIRMED

    async def test_a_sound_cluster_has_nothing_to_be_listed(self, cluster, opened):
        _, recorded = await begun(cluster, opened)

        assert recorded.findings == ()


class TestMeasuring:
    async def test_the_outage_of_a_disruptive_step_is_in_its_result(self, cluster, opened, monkeypatch):
        monkeypatch.setattr(measuring, "COALESCE_SECONDS", 0.0)

        async def disrupt():
            fault = cluster.platform_fault("pod-never-ready", subject="data/cache-*")
            for pod in await opened.api.list(PODS, namespace="data", labels="app=cache"):
                metadata = pod["metadata"]
                await opened.api.delete(PODS, metadata["name"], namespace="data", uid=metadata["uid"])
            await becomes(lambda: has_ready(0))
            cluster.lab.remote.clear_faults(fault)
            await becomes(lambda: has_ready(2))
            return changed("done")

        async def has_ready(count):
            found = await opened.api.get(DEPLOYMENTS, "cache", namespace="data")
            return found["status"].get("readyReplicas", 0) == count

        result = await measured(opened, disrupt)

        (outage,) = [found for found in result.outage if found.workload == "data/Deployment/cache"]
        assert 0 < outage.down_seconds <= outage.degraded_seconds
        assert result.outage_seconds == pytest.approx(outage.down_seconds, abs=0.01)
        assert (result.status, result.summary) == (StepStatus.CHANGED, "done")

    async def test_a_quiet_step_has_no_outage(self, opened):
        async def rest():
            await asyncio.sleep(0)
            return changed("done")

        result = await measured(opened, rest)

        assert (result.outage, result.outage_seconds) == ((), 0.0)
