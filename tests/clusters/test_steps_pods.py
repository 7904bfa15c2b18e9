import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from clusters import narrowing
from clusters.journal import read_migration
from clusters.kinds import DAEMON_SETS, DEPLOYMENTS, JOBS, POD_DISRUPTION_BUDGETS, PODS
from clusters.steps import pods as pods_module
from clusters.steps.pods import restart_pods
from clusters.steps.survey import list_cilium_endpoints, list_pods
from clusters.watching import Live, watching
from migration.errors import DeadlineExceeded, OperatorActionNeeded, Transient, Unauthorized
from migration.models import BarePodChoice, CniType, JobChoice, RestartOptions, RestartStrategy, StepStatus
from migration.restart import pods_to_move
from tests.clusters.conftest import SOON, bare_pod_uid, pod_network_pods
from tests.clusters.killing import kill_at, noting_pods
from tests.clusters.looking import becomes

OPTIONS = RestartOptions()
DAEMON_SET = "batch/DaemonSet/log-shipper"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pods_module, "QUIET_SECONDS", (0.1, 0.1))
    monkeypatch.setattr(pods_module, "EVICTION_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(pods_module, "STUCK_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(pods_module, "WANTED_LOOK_SECONDS", 0.2)


def restart(opened, migration, options=OPTIONS, *, deadline=SOON):
    return restart_pods(opened, migration.id, options, target=CniType.CILIUM, deadline=deadline)


async def unmanaged(api):
    return pods_to_move(await list_pods(api), await list_cilium_endpoints(api), target=CniType.CILIUM)


async def on_canal(api, workload):
    return [pod for pod in await unmanaged(api) if pod.workload == workload]


async def only_reports_are_left(api):
    return {pod.workload for pod in await unmanaged(api)} == {"batch/Deployment/reports"}


def codes(result):
    return {(finding.code, finding.subject) for finding in result.findings}


async def set_budget(api, name, **spec):
    selector = {"matchLabels": {"app": name}}
    body = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"{name}-tight", "namespace": "batch"},
        "spec": {"selector": selector, **spec},
    }
    await api.create(POD_DISRUPTION_BUDGETS, body, namespace="batch")

    async def is_in_force():
        found = await api.get(POD_DISRUPTION_BUDGETS, f"{name}-tight", namespace="batch")
        return (found.get("status") or {}).get("observedGeneration")

    await becomes(is_in_force)


async def test_every_pod_moves_and_a_repeat_moves_none(opened, beside):
    api = opened.api
    old = {pod.uid for pod in await unmanaged(api)}
    assert len(old) > 5

    result = await restart(opened, beside)

    assert await unmanaged(api) == ()
    assert old.isdisjoint(await pod_network_pods(api))
    assert (result.status, result.summary, result.count) == (
        StepStatus.CHANGED,
        f"{len(old)} pods restarted onto the new CNI",
        len(old),
    )
    assert result.outage_seconds > 0
    assert (await read_migration(api, beside.id)).bare_pods == {}

    before = set(await pod_network_pods(api))
    again = await restart(opened, beside)
    assert (again.status, again.summary) == (StepStatus.ALREADY, "every pod was on the new CNI")
    assert set(await pod_network_pods(api)) == before


async def test_a_pod_that_starts_while_the_endpoints_are_read_is_not_restarted(opened, beside, monkeypatch):
    api = opened.api
    born: set[str] = set()

    async def read_then_grow(api):
        endpoints = await list_cilium_endpoints(api)
        if not born:
            before = set(await pod_network_pods(api))
            await api.patch(DEPLOYMENTS, "reports", {"spec": {"replicas": 5}}, namespace="batch")

            async def has_grown():
                found = await pod_network_pods(api)
                born.update(uid for uid in found.keys() - before if found[uid].ready)
                return len(born) >= 3

            await becomes(has_grown)
        return endpoints

    monkeypatch.setattr(pods_module, "list_cilium_endpoints", read_then_grow)
    await restart(opened, beside)

    assert born <= set(await pod_network_pods(api))
    assert await unmanaged(api) == ()


KILLS = [
    ("timeout", {"method": "GET", "path": "/validatingwebhookconfigurations$"}),
    ("timeout-after", {"method": "POST", "path": "/secrets$"}),
    ("timeout-after", {"method": "PUT", "path": "/configmaps/cni-migration$"}),
    ("timeout", {"method": "DELETE", "path": "/pods/konnectivity-agent-"}),
    ("timeout-after", {"method": "DELETE", "path": "/pods/konnectivity-agent-"}),
    ("timeout", {"method": "DELETE", "path": "/pods/debug-shell$"}),
    ("timeout-after", {"method": "DELETE", "path": "/pods/debug-shell$"}),
    ("timeout-after", {"method": "DELETE", "path": "/pods/store-0$"}),
    ("timeout", {"method": "POST", "path": "/namespaces/shop/pods$"}),
    ("timeout-after", {"method": "POST", "path": "/namespaces/shop/pods$"}),
]


@pytest.mark.parametrize(("trouble", "where"), KILLS)
async def test_a_step_that_was_killed_goes_on_and_restarts_no_pod_twice(cluster, opened, beside, trouble, where):
    api = opened.api
    old = {pod.uid: pod for pod in await unmanaged(api)}
    async with noting_pods(api) as history:
        before = set(history.pods)
        await kill_at(cluster, restart(opened, beside), trouble, **where)

        await restart(opened, beside)

        assert await unmanaged(api) == ()
        expected = Counter(pod.workload for pod in old.values())

        async def is_back() -> bool:
            return history.made_since(before) >= expected

        # The second run knows only the pods that the first one left: a StatefulSet may still be making its last ones.
        await becomes(is_back)
        assert history.made_since(before) == expected
    assert await bare_pod_uid(api) not in (None, *old)
    assert (await read_migration(api, beside.id)).bare_pods == {}


@pytest.mark.parametrize("how", ["killed", "tried again"])
async def test_pods_whose_endpoints_are_late_are_not_restarted_by_the_next_try(
    cluster, opened, beside, monkeypatch, how
):
    """Prefect tries again after two seconds, when the pods that the first try made have no CiliumEndpoint yet."""
    monkeypatch.setattr(pods_module, "QUIET_SECONDS", (0.0, 3.0))
    api = opened.api
    old = {pod.uid: pod for pod in await unmanaged(api)}
    late = cluster.platform_fault("endpoint-late", subject="*")
    async with noting_pods(api) as history:
        before = set(history.pods)
        if how == "killed":
            await kill_at(cluster, restart(opened, beside), "timeout-after", method="DELETE", path="/pods/store-0$")
        else:
            broken = cluster.fault("500", method="DELETE", path="/pods/store-0$", times=None)
            with pytest.raises(Transient):
                await restart(opened, beside)
            cluster.lab.remote.clear_faults(broken)
        running = asyncio.create_task(restart(opened, beside))
        # Nothing tells that a step does nothing yet.
        await asyncio.wait([running], timeout=1)
        cluster.lab.remote.clear_faults(late)
        await running

        expected = Counter(pod.workload for pod in old.values())

        async def is_back() -> bool:
            return history.made_since(before) >= expected

        await becomes(is_back)
        assert history.made_since(before) == expected
    assert await unmanaged(api) == ()


async def fewest_ready(api, label, action):
    """Do something; returns how few pods of a label were ready at a time meanwhile."""
    pods = Live(api, PODS, narrowing.pod, namespace="kube-system", labels=label)
    counts = []
    async with watching(pods) as view:
        await view.listed()

        async def count():
            while True:
                counts.append(sum(pod.ready and not pod.deleting for pod in pods.values()))
                await view.changed()

        counting = asyncio.create_task(count())
        await action
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
    return min(counts)


async def test_konnectivity_goes_one_at_a_time(opened, beside):
    assert await fewest_ready(opened.api, "app=konnectivity-agent", restart(opened, beside)) == 1


async def test_konnectivity_stays_up_though_a_killed_step_left_one_agent_unready(cluster, opened, beside):
    fault = cluster.platform_fault("pod-never-ready", subject="kube-system/konnectivity-agent-*")
    agent = (await opened.api.list(PODS, namespace="kube-system", labels="app=konnectivity-agent"))[0]["metadata"]
    await opened.api.delete(PODS, agent["name"], namespace="kube-system", uid=agent["uid"])

    running = asyncio.create_task(fewest_ready(opened.api, "app=konnectivity-agent", restart(opened, beside)))
    await becomes(lambda: cluster.was_told("before the next goes"), during=running)
    cluster.lab.remote.clear_faults(fault)

    assert await running >= 1


async def test_siblings_that_never_get_ready_hold_nothing_up_for_ever(cluster, opened, beside, monkeypatch):
    monkeypatch.setattr(pods_module, "STEADY", timedelta(seconds=0.2))
    cluster.platform_fault("pod-never-ready", subject="kube-system/konnectivity-agent-*")
    agent = (await opened.api.list(PODS, namespace="kube-system", labels="app=konnectivity-agent"))[0]["metadata"]
    await opened.api.delete(PODS, agent["name"], namespace="kube-system", uid=agent["uid"])

    with pytest.raises(DeadlineExceeded, match="konnectivity-agent"):
        await restart(opened, beside, deadline=timedelta(seconds=2))

    assert cluster.was_told("going on without: 1 pods to be ready")


@pytest.mark.parametrize("how", ["node gone", "scaled down", "removed"])
async def test_what_needs_fewer_pods_than_before_is_not_waited_for(cluster, opened, beside, how):
    """A rotation that a killed run had begun, or an autoscaler, takes nodes; their DaemonSets' pods go with them."""
    kind, key = (DAEMON_SETS, DAEMON_SET) if how == "node gone" else (DEPLOYMENTS, "shop/Deployment/frontend")
    namespace, _, name = key.split("/")
    cluster.platform_fault("pod-never-ready", subject=f"{namespace}/{name}-*")
    running = asyncio.create_task(restart(opened, beside))
    await becomes(lambda: cluster.was_told(f"ready again ({key})"), during=running)

    if how == "node gone":
        elsewhere = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "gone"}}}}}
        await opened.api.patch(kind, name, elsewhere, namespace=namespace)
    elif how == "scaled down":
        await opened.api.patch(kind, name, {"spec": {"replicas": 0}}, namespace=namespace)
    else:
        found = await opened.api.get(kind, name, namespace=namespace)
        await opened.api.delete(kind, name, namespace=namespace, uid=found["metadata"]["uid"])
    await running

    assert not cluster.was_told("going on without")


async def test_a_view_that_is_not_up_to_date_is_waited_for(cluster, opened, beside, monkeypatch):
    monkeypatch.setattr("clusters.api.WATCH_SECONDS", 1)
    monkeypatch.setattr(pods_module, "QUIET_SECONDS", (3.0, 0.1))
    old = {pod.uid: pod for pod in await unmanaged(opened.api)}
    async with noting_pods(opened.api) as history:
        before = set(history.pods)
        running = asyncio.create_task(restart(opened, beside))
        watches = cluster.requests("watch ciliumendpoints.cilium.io")
        await becomes(lambda: cluster.requests("watch ciliumendpoints.cilium.io") > watches, during=running)
        cluster.fault("reset", method="GET", path="/ciliumendpoints$", times=4)
        await running
        expected = Counter(pod.workload for pod in old.values())
        await becomes(lambda: history.made_since(before) >= expected)  # it is told of pods a moment later

        assert history.made_since(before) == expected
    assert cluster.lab.remote.faults() == []


@pytest.mark.parametrize("trouble", ["409", "503"])
async def test_trouble_with_one_deletion_costs_nothing(cluster, opened, beside, trouble):
    cluster.fault(trouble, method="DELETE", path="/pods/cart-")

    await restart(opened, beside)

    assert await unmanaged(opened.api) == ()
    assert cluster.lab.remote.faults() == []


async def test_an_error_ends_every_action_before_it_is_told(cluster, opened, beside):
    cluster.fault("401", method="DELETE", path="/namespaces/data/pods/")

    with pytest.raises(Unauthorized):
        await restart(opened, beside, RestartOptions(concurrency=1))

    deletions = cluster.requests("delete pods")
    async with noting_pods(opened.api):
        assert cluster.requests("delete pods") == deletions
    assert not [task for task in asyncio.all_tasks() if "_take_down" in repr(task)]


class TestEviction:
    @pytest.fixture(autouse=True)
    async def tight(self, opened, beside):
        """A budget that never allows a disruption."""
        await set_budget(opened.api, "reports", maxUnavailable=0)

    def evict(self, **options):
        return RestartOptions(strategy=RestartStrategy.EVICT, **options)

    async def test_a_budget_without_room_stops_the_step_when_patience_ends(self, cluster, opened, beside):
        before = {pod.uid for pod in await unmanaged(opened.api) if pod.workload == "batch/Deployment/reports"}

        with pytest.raises(OperatorActionNeeded, match=r"pod \S+ could not be evicted within 0 minutes.*Relax"):
            await restart(opened, beside, self.evict(eviction_patience_minutes=0))

        assert before <= set(await pod_network_pods(opened.api))

    async def test_a_budget_without_room_is_overruled_if_that_is_asked_for(self, opened, beside):
        result = await restart(opened, beside, self.evict(eviction_patience_minutes=0, after_patience="delete"))

        assert await unmanaged(opened.api) == ()
        overruled = {subject for code, subject in codes(result) if code == "budget-overruled"}
        assert len([subject for subject in overruled if subject.startswith("Pod batch/reports-")]) == 2

    async def test_whoever_is_blocked_keeps_nobody_else_waiting(self, cluster, opened, beside):
        running = asyncio.create_task(restart(opened, beside, self.evict(concurrency=1)))
        await becomes(lambda: only_reports_are_left(opened.api), during=running)

        await opened.api.patch(
            POD_DISRUPTION_BUDGETS, "reports-tight", {"spec": {"maxUnavailable": 1}}, namespace="batch"
        )
        await running

        assert await unmanaged(opened.api) == ()

    @pytest.mark.parametrize("trouble", ["409", "500"])
    async def test_trouble_with_one_eviction_costs_nothing(self, cluster, opened, beside, trouble):
        cluster.fault(trouble, method="POST", path="/pods/cart-.*/eviction$")
        await opened.api.patch(
            POD_DISRUPTION_BUDGETS, "reports-tight", {"spec": {"maxUnavailable": 2}}, namespace="batch"
        )

        await restart(opened, beside, self.evict())

        assert await unmanaged(opened.api) == ()
        assert cluster.lab.remote.faults() == []

    async def test_a_pod_that_goes_by_itself_meanwhile_is_no_error(self, opened, beside, monkeypatch):
        monkeypatch.setattr(pods_module, "RECOVERY", timedelta(seconds=1))
        running = asyncio.create_task(restart(opened, beside, self.evict()))
        await becomes(lambda: only_reports_are_left(opened.api), during=running)

        await opened.api.patch(DEPLOYMENTS, "reports", {"spec": {"replicas": 0}}, namespace="batch")
        await running

        assert await unmanaged(opened.api) == ()


class TestStuckPods:
    @pytest.fixture
    async def stuck(self, cluster, opened, migration, monkeypatch):
        """The name of a pod on Canal that ignores its deletion; it has half a second more than its grace period."""
        monkeypatch.setattr(pods_module, "STUCK_AFTER_GRACE_SECONDS", 0.5)
        monkeypatch.setattr(pods_module, "RECOVERY", timedelta(seconds=0.5))
        container = {"name": "c", "image": "busybox"}
        template = {
            "metadata": {"labels": {"app": "holder"}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "holder"},
            "spec": {"selector": {"matchLabels": {"app": "holder"}}, "template": template},
        }
        await opened.api.create(DEPLOYMENTS, body, namespace="shop")
        found = await becomes(lambda: on_canal(opened.api, "shop/Deployment/holder"))
        cluster.platform_fault("stuck-pod", subject=found[0].key)
        return found[0].name

    async def test_one_is_reported_and_left(self, opened, stuck, beside):
        result = await restart(opened, beside)

        assert codes(result) == {("pod-stuck", f"Pod shop/{stuck}")}
        assert "deletionTimestamp" in (await opened.api.get(PODS, stuck, namespace="shop"))["metadata"]

    async def test_one_is_removed_by_force_if_that_is_asked_for(self, opened, stuck, beside):
        result = await restart(opened, beside, RestartOptions(force_delete_stuck=True))

        assert codes(result) == {("pod-stuck", f"Pod shop/{stuck}")}
        assert "force-deleted" in result.findings[0].advice
        assert await opened.api.find(PODS, stuck, namespace="shop") is None


class TestJobs:
    @pytest.fixture(autouse=True)
    async def job(self, opened, migration):
        """A Job that runs on Canal, and to the end of the lab."""
        container = {"name": "work", "image": "busybox", "command": ["sleep", "10000000"]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 0}}
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "long"}, "spec": {"template": template}}
        await opened.api.create(JOBS, body, namespace="batch")
        await becomes(lambda: on_canal(opened.api, "batch/Job/long"))

    async def left(self, opened):
        return {pod.workload for pod in await unmanaged(opened.api)}

    async def test_jobs_are_waited_for_before_anything_is_restarted(self, opened, beside):
        before = set(await pod_network_pods(opened.api))

        with pytest.raises(OperatorActionNeeded, match=r"Jobs still run after 0 minutes.*No pod was restarted"):
            await restart(opened, beside, RestartOptions(job_wait_minutes=0))

        assert before <= set(await pod_network_pods(opened.api))

    async def test_jobs_are_restarted_if_that_is_asked_for(self, opened, beside):
        await restart(opened, beside, RestartOptions(jobs=JobChoice.RESTART))

        assert await self.left(opened) == set()

    async def test_jobs_are_left_alone_and_reported_if_that_is_asked_for(self, opened, beside):
        result = await restart(opened, beside, RestartOptions(jobs=JobChoice.SKIP))

        assert await self.left(opened) == {"batch/Job/long"}
        assert {code for code, _ in codes(result)} == {"pod-skipped"}


async def test_bare_pods_that_are_to_be_skipped_stay_as_they_are(opened, beside):
    before = await bare_pod_uid(opened.api)

    result = await restart(opened, beside, RestartOptions(bare_pods=BarePodChoice.SKIP))

    assert await bare_pod_uid(opened.api) == before
    assert codes(result) == {("pod-skipped", "Pod shop/debug-shell")}


async def test_a_deadline_in_the_middle_says_what_was_waited_for(cluster, opened, beside):
    cluster.platform_fault("stuck-pod", subject="kube-system/coredns-*")

    with pytest.raises(DeadlineExceeded, match=r"restarted pods to end.*coredns"):
        await restart(opened, beside, deadline=timedelta(seconds=2))
