"""Probes in a lab cluster: what a sound network shows, what a broken one does, and that nothing of them stays."""

import asyncio

import pytest

from clusters import api
from clusters.kinds import DAEMON_SETS, NAMESPACES, NETWORK_POLICIES, NODES, PODS
from clusters.steps import probe_pods, probe_round, probes, verification
from clusters.steps.bookkeeping import begin_migration
from clusters.steps.observing import observe_baseline
from clusters.steps.pods import restart_pods
from clusters.steps.probe_pods import PROBES_NAMESPACE
from clusters.steps.probes import clear_probes, run_probes
from clusters.steps.verification import record_baseline, verify
from migration.errors import OperatorActionNeeded
from migration.models import CniType, ProbeOptions, RestartOptions
from migration.probes import ProbeKind, Seen
from tests.clusters.conftest import SOON
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes

ON = ProbeOptions(enabled=True, image="registry.example.test/agnhost:2.53")
ID = "20260821080000-0a1b2c"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(verification, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(verification, "LONGEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(probe_round, "CREATION_PAUSE_SECONDS", 0.02)


@pytest.fixture
def hurried(monkeypatch):
    """Waits that are not expected to end well are short."""
    monkeypatch.setattr(probe_round, "SERVERS_SECONDS", 3.0)
    monkeypatch.setattr(probe_round, "CLIENTS_SECONDS", 3.0)


async def deny_everything(opened, *, role):
    """Deny all traffic to the probes' pods of a role, as somebody else's policy may."""
    spec = {"podSelector": {"matchLabels": {probe_pods.ROLE_LABEL: role}}, "policyTypes": ["Ingress"]}
    body = {"kind": "NetworkPolicy", "metadata": {"name": "theirs", "namespace": PROBES_NAMESPACE}, "spec": spec}
    await becomes(lambda: opened.api.find(NAMESPACES, PROBES_NAMESPACE))
    await opened.api.create(NETWORK_POLICIES, body, namespace=PROBES_NAMESPACE)


async def is_gone(opened):
    return await opened.api.find(NAMESPACES, PROBES_NAMESPACE) is None


def bad(tried):
    return [
        (str(found.kind), found.source, str(found.seen), found.detail) for found in tried.results if not found.is_good
    ]


class TestRound:
    async def test_a_sound_network_passes_every_probe_and_nothing_stays(self, opened):
        options = ON.model_copy(update={"egress": ("203.0.113.9:443",)})

        tried = await run_probes(opened, ID, options)

        assert (bad(tried), tried.problem, tried.leftovers) == ([], "", "")
        assert {found.kind for found in tried.results} == set(ProbeKind)
        assert len(tried.results) == 2 * 7 + 4
        assert await is_gone(opened)

    async def test_a_policy_of_somebody_else_is_met(self, opened):
        running = asyncio.create_task(run_probes(opened, ID, ON))
        await deny_everything(opened, role="open")

        tried = await running

        assert {(kind, seen) for kind, _, seen, _ in bad(tried)} >= {
            ("pod on another node", "no answer"),
            ("Service by address", "no answer"),
        }
        assert not {kind for kind, *_ in bad(tried)} & {"API server", "pod that a policy opens"}

    async def test_what_nobody_enforces_is_seen(self, opened, monkeypatch):
        _, guarded = probe_pods.policies(ID)
        monkeypatch.setattr(probe_pods, "policies", lambda _: (guarded,))

        tried = await run_probes(opened, ID, ON)

        assert {(kind, seen) for kind, _, seen, _ in bad(tried)} == {("pod that a policy closes", "an open connection")}

    async def test_a_node_whose_pods_get_no_network_is_named(self, cluster, opened, hurried):
        """A probe that can't run there is told with the reason; the other node's are as they were."""
        broken = sorted(item["metadata"]["name"] for item in await opened.api.list(NODES))[1]
        cluster.platform_fault("agent-crash-loop", subject=broken, message="no route to the API server")
        (agent,) = [
            item
            for item in await opened.api.list(PODS, namespace="kube-system", labels="k8s-app=canal")
            if item["spec"]["nodeName"] == broken
        ]
        metadata = agent["metadata"]
        await opened.api.delete(PODS, metadata["name"], namespace="kube-system", uid=metadata["uid"])

        async def is_down():
            found = await opened.api.get(DAEMON_SETS, "canal", namespace="kube-system")
            return found["status"].get("numberReady", 0) == 1

        await becomes(is_down)

        tried = await run_probes(opened, ID, ON)

        failed = {(found.source, found.kind) for found in tried.results if not found.is_good}
        assert (broken, ProbeKind.SAME_NODE) in failed
        assert await is_gone(opened)

    async def test_the_new_cni_passes_every_probe_once_pods_have_moved(self, opened, beside):
        await restart_pods(opened, beside.id, RestartOptions(), target=CniType.CILIUM, deadline=SOON)

        tried = await run_probes(opened, beside.id, ON)

        assert (bad(tried), tried.problem) == ([], "")

    async def test_requests_that_fail_are_tried_again(self, cluster, opened, monkeypatch):
        monkeypatch.setattr(api, "REQUEST_SECONDS", 1.0)
        cluster.fault("500", method="POST", path=f"/namespaces/{PROBES_NAMESPACE}/pods$", times=3)
        cluster.fault("timeout-after", method="POST", path=f"/namespaces/{PROBES_NAMESPACE}/services$")

        tried = await run_probes(opened, ID, ON)

        assert (bad(tried), tried.problem) == ([], "")

    async def test_a_cluster_that_refuses_has_no_probes_and_says_why(self, cluster, opened):
        cluster.fault("403", method="POST", path=f"/namespaces/{PROBES_NAMESPACE}/networkpolicies$", times=9)

        tried = await run_probes(opened, ID, ON)

        assert tried.results == ()
        assert "networkpolicies" in tried.problem
        assert await is_gone(opened)

    async def test_a_namespace_of_somebody_else_stays(self, opened):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROBES_NAMESPACE}}
        await opened.api.create(NAMESPACES, body)

        tried = await run_probes(opened, ID, ON)

        assert "was not made by this project" in tried.problem
        assert not await is_gone(opened)
        with pytest.raises(OperatorActionNeeded, match="Remove it, or start again without probes"):
            await clear_probes(opened)


class TestLeftovers:
    @pytest.mark.parametrize("path", ["/services$", "/pods$"])
    async def test_what_a_killed_round_leaves_goes_with_the_next(self, cluster, opened, monkeypatch, path):
        where = {"method": "POST", "path": f"/namespaces/{PROBES_NAMESPACE}{path}"}

        async def dies(_):
            raise asyncio.CancelledError

        with monkeypatch.context() as killed:
            killed.setattr(probes, "clear_probes_quietly", dies)
            await kill_at(cluster, run_probes(opened, "20260820080000-ffffff", ON), "timeout", **where)
        assert not await is_gone(opened)

        tried = await run_probes(opened, ID, ON)

        assert (bad(tried), tried.problem) == ([], "")
        assert await is_gone(opened)

    async def test_a_round_that_is_cancelled_cleans_up(self, cluster, opened):
        where = {"method": "POST", "path": f"/namespaces/{PROBES_NAMESPACE}/pods$"}

        await kill_at(cluster, run_probes(opened, ID, ON), "timeout", **where)

        assert await is_gone(opened)

    async def test_leftovers_are_no_part_of_the_baseline(self, opened):
        before = await observe_baseline(opened.api)
        await opened.api.create(NAMESPACES, probe_pods.namespace())
        body = probe_pods.client_pod("203.0.113.9:443", node="x", name="client", migration_id=ID, image=ON.image)
        await opened.api.create(PODS, body, namespace=PROBES_NAMESPACE)

        assert await observe_baseline(opened.api) == before

    async def test_what_can_not_be_removed_is_a_warning(self, cluster, opened, migration, monkeypatch):
        monkeypatch.setattr(probes, "CLEAR_SECONDS", 0.5)
        where = {"method": "DELETE", "path": f"/namespaces/{PROBES_NAMESPACE}$"}
        cluster.fault("403", **where, times=None)

        result = await verify(opened, migration.id, deadline=SOON, probes=ON)

        assert "probes-left" in {finding.code for finding in result.findings}


class TestVerification:
    async def baseline(self, cluster, opened):
        begun = await begin_migration(opened, cluster.request)
        return begun, await record_baseline(opened, begun.id, probes=ON)

    async def test_what_worked_before_and_works_is_confirmed(self, cluster, opened):
        begun, recorded = await self.baseline(cluster, opened)

        result = await verify(opened, begun.id, deadline=SOON, probes=ON)

        assert recorded.summary.endswith("probes of the network: 16 of 16 as they should be")
        assert result.summary.endswith("probes of the network: 16 of 16 as they should be")
        assert result.findings == ()

    async def test_what_worked_before_and_fails_is_a_regression(self, cluster, opened):
        begun, _ = await self.baseline(cluster, opened)
        running = asyncio.create_task(verify(opened, begun.id, deadline=SOON, probes=ON))
        await deny_everything(opened, role="open")

        with pytest.raises(
            OperatorActionNeeded, match=r"not as good as before: Probe pod on another node, from .* saw no"
        ):
            await running

    async def test_what_failed_before_is_told_of_and_not_blamed(self, cluster, opened):
        begun = await begin_migration(opened, cluster.request)
        running = asyncio.create_task(record_baseline(opened, begun.id, probes=ON))
        await deny_everything(opened, role="open")
        recorded = await running
        running = asyncio.create_task(verify(opened, begun.id, deadline=SOON, probes=ON))
        await deny_everything(opened, role="open")

        result = await running

        assert {finding.code for finding in recorded.findings} == {"broken-before"}
        assert {finding.code for finding in result.findings} == {"probe-failed"}

    async def test_a_round_that_could_not_be_set_up_is_no_regression(self, cluster, opened):
        begun, _ = await self.baseline(cluster, opened)
        cluster.fault("403", method="POST", path="/namespaces$", times=9)

        result = await verify(opened, begun.id, deadline=SOON, probes=ON)

        assert [finding.code for finding in result.findings] == ["probe-not-run"]

    async def test_probes_that_never_ran_before_prove_nothing(self, opened, migration):
        running = asyncio.create_task(verify(opened, migration.id, deadline=SOON, probes=ON))
        await deny_everything(opened, role="open")

        assert {finding.code for finding in (await running).findings} == {"probe-failed"}

    async def test_pods_that_never_start_are_not_run(self, cluster, opened, hurried):
        cluster.platform_fault("pod-never-ready", subject=f"{PROBES_NAMESPACE}/server-*")

        tried = await run_probes(opened, ID, ON)

        assert {found.seen for found in tried.results if found.kind is ProbeKind.SAME_NODE} == {Seen.NOT_RUN}
        assert {found.is_good for found in tried.results if found.kind is ProbeKind.API_SERVER} == {True}
        assert await is_gone(opened)
