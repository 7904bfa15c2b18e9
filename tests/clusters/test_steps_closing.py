"""The beginning and the end of a migration: journal, baseline, verification, label."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from clusters.journal import change_migration, read_journal, read_migration
from clusters.kinds import CONFIG_MAPS, DEPLOYMENTS, PODS
from clusters.steps import verification
from clusters.steps.bookkeeping import begin_migration, finish_migration, record_step
from clusters.steps.observing import observe_baseline
from clusters.steps.switching import allow_cni_migration
from clusters.steps.verification import record_baseline, verify
from clusters.survey import survey
from migration.errors import OperatorActionNeeded
from migration.models import Cni, CniType, StepOutcome, StepStatus, Stretch
from migration.patches import UNSAFE_CNI_MIGRATION
from migration.readiness import findings, nothing_to_do
from migration.safe_points import has_begun, in_stretch, under_way
from migration.targets import reverting_request
from tests.clusters.conftest import SOON
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import have_arrived


def outcome(step="switch CNI"):
    now = datetime.now(UTC)
    return StepOutcome(step=step, status=StepStatus.CHANGED, summary="done", started_at=now, finished_at=now)


class TestBegin:
    async def test_a_migration_is_begun_once_and_then_taken_up(self, cluster, opened):
        first = await begin_migration(opened, cluster.request)
        second = await begin_migration(opened, cluster.request)

        assert first == second
        assert (str(first.previous_cni), str(first.desired_cni)) == ("canal v3.30", "cilium 1.19.4")
        assert (first.tunnel_port, first.started_by, first.label_was_there) == (8473, "a test", False)

    async def test_two_at_once_begin_one_migration(self, cluster, opened):
        begun = await asyncio.gather(*(begin_migration(opened, cluster.request) for _ in range(3)))

        assert len({migration.id for migration in begun}) == 1
        assert len((await read_journal(opened.api)).migrations) == 1

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_a_beginning_that_was_killed_begins_once(self, cluster, opened, trouble):
        where = {"method": "POST", "path": "/configmaps$"}
        await kill_at(cluster, begin_migration(opened, cluster.request), trouble, **where)

        begun = await begin_migration(opened, cluster.request)

        assert [migration.id for migration in (await read_journal(opened.api)).migrations] == [begun.id]

    async def test_another_open_migration_is_finished_first(self, cluster, opened, migration):
        other = cluster.request.model_copy(update={"desired_cni": Cni(type=CniType.CILIUM, version="1.18.10")})

        with pytest.raises(OperatorActionNeeded, match=r"to cilium 1\.19\.4\) is unfinished: finish it first"):
            await begin_migration(opened, other)

    async def test_a_cluster_that_another_run_finished_needs_none(self, cluster, opened, beside):
        await finish_migration(opened, beside.id)

        assert await begin_migration(opened, cluster.request) is None

    async def test_a_label_of_somebody_else_is_remembered(self, cluster, opened):
        await allow_cni_migration(opened)

        assert (await begin_migration(opened, cluster.request)).label_was_there


class TestFinish:
    async def test_the_journal_is_closed_and_the_label_gone(self, opened, beside):
        result = await finish_migration(opened, beside.id)

        assert result.summary == "journal closed, label unsafe-cni-migration removed"
        assert UNSAFE_CNI_MIGRATION not in (await opened.seed.cluster(opened.ref.name)).labels
        assert (await read_journal(opened.api)).open_migration() is None
        assert (await finish_migration(opened, beside.id)).status is StepStatus.ALREADY

    async def test_a_label_that_was_there_before_stays(self, cluster, opened):
        await allow_cni_migration(opened)
        begun = await begin_migration(opened, cluster.request)
        await have_arrived(opened, begun)

        await finish_migration(opened, begun.id)

        assert UNSAFE_CNI_MIGRATION in (await opened.seed.cluster(opened.ref.name)).labels

    async def test_the_last_step_is_recorded_though_the_journal_is_closed(self, opened, migration):
        await have_arrived(opened, migration)
        await finish_migration(opened, migration.id)

        await record_step(opened, migration.id, outcome("finish migration"))

        found = await read_migration(opened.api, migration.id)
        assert [step.step for step in found.steps] == ["finish migration"]
        assert (await read_journal(opened.api)).open_migration() is None

    async def test_a_finish_that_was_killed_goes_on(self, cluster, opened, beside):
        where = {"method": "PUT", "path": "/configmaps/cni-migration$"}
        await kill_at(cluster, finish_migration(opened, beside.id), "timeout", **where)

        await finish_migration(opened, beside.id)

        assert (await read_journal(opened.api)).last_finished().id == beside.id


class TestVerification:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(verification, "RECHECK_SECONDS", 0.05)
        monkeypatch.setattr(verification, "LONGEST_PAUSE_SECONDS", 0.2)

    def verify(self, opened, migration, *, accepted=False, deadline=SOON):
        return verify(opened, migration.id, accepted=accepted, deadline=deadline)

    async def delete_cache_pods(self, opened, *, count):
        """Delete some of the two pods; returns when their Deployment says so."""
        for pod in (await opened.api.list(PODS, namespace="data", labels="app=cache"))[:count]:
            metadata = pod["metadata"]
            await opened.api.delete(PODS, metadata["name"], namespace="data", uid=metadata["uid"])

        async def is_told():
            found = await opened.api.get(DEPLOYMENTS, "cache", namespace="data")
            return found["status"].get("readyReplicas", 0) == 2 - count

        await becomes(is_told)

    async def test_a_baseline_is_recorded_once(self, opened, migration):
        before = await read_migration(opened.api, migration.id)

        assert (await record_baseline(opened, migration.id)).status is StepStatus.ALREADY
        assert await read_migration(opened.api, migration.id) == before

    async def test_an_unchanged_cluster_is_as_good_as_before(self, opened, migration):
        result = await self.verify(opened, migration, deadline=SOON)

        assert result.status is StepStatus.CONFIRMED

    async def test_what_is_worse_at_the_deadline_is_listed(self, cluster, opened, migration):
        cluster.platform_fault("pod-never-ready", subject="data/cache-*")
        await self.delete_cache_pods(opened, count=2)

        with pytest.raises(OperatorActionNeeded, match="is not as good as before: data/Deployment/cache has 0 ready"):
            await self.verify(opened, migration, deadline=timedelta(seconds=1))

    async def test_what_is_worse_can_be_accepted_and_is_reported_then(self, cluster, opened, migration):
        cluster.platform_fault("pod-never-ready", subject="data/cache-*")
        await self.delete_cache_pods(opened, count=1)

        result = await self.verify(opened, migration, accepted=True, deadline=timedelta(seconds=0.5))

        assert [(finding.code, finding.subject) for finding in result.findings] == [
            ("worse-than-before", "data/Deployment/cache")
        ]

    async def test_what_gets_ready_in_time_is_waited_for(self, cluster, opened, migration):
        fault = cluster.platform_fault("pod-never-ready", subject="data/cache-*")
        await self.delete_cache_pods(opened, count=1)
        running = asyncio.create_task(self.verify(opened, migration, deadline=SOON))
        await becomes(lambda: cluster.was_told("worse than before"), during=running)

        cluster.lab.remote.clear_faults(fault)

        assert (await running).status is StepStatus.CONFIRMED

    async def test_what_people_scale_down_meanwhile_is_no_regression(self, opened, migration):
        await opened.api.patch(DEPLOYMENTS, "cache", {"spec": {"replicas": 1}}, namespace="data")

        await self.verify(opened, migration, deadline=SOON)

    async def test_a_bare_pod_that_came_to_its_end_is_no_regression(self, opened, cluster):
        container = {"name": "c", "image": "busybox", "command": ["sleep", "600"]}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "once", "namespace": "shop"},
            "spec": {"containers": [container], "restartPolicy": "Never"},
        }
        await opened.api.create(PODS, body, namespace="shop")
        await becomes(lambda: self.is_in_phase(opened, "Running"))
        begun = await begin_migration(opened, cluster.request)
        await record_baseline(opened, begun.id)
        assert "shop/once" in (await observe_baseline(opened.api)).bare_pods
        await becomes(lambda: self.is_in_phase(opened, "Succeeded"))

        await self.verify(opened, begun)

    async def is_in_phase(self, opened, phase):
        return (await opened.api.get(PODS, "once", namespace="shop"))["status"]["phase"] == phase

    async def test_a_missing_baseline_is_left_to_people(self, opened, cluster):
        begun = await begin_migration(opened, cluster.request)

        with pytest.raises(OperatorActionNeeded, match="has no baseline to verify against"):
            await self.verify(opened, begun)
        assert (await self.verify(opened, begun, accepted=True)).status is StepStatus.SKIPPED


class TestSurvey:
    async def test_a_fresh_cluster_has_no_blocker_and_its_policies_are_named(self, cluster, shared_opened, shared):
        found = await survey(shared_opened, shared.request)

        severities = {finding.code: finding.severity for finding in findings(found, shared.request)}
        assert "blocker" not in severities.values()
        assert severities["calico-policy"] == "warning"
        assert len(found.nodes) == 2
        assert found.denied == ()

    async def test_a_finished_migration_leaves_nothing_to_do(self, cluster, opened, beside):
        await finish_migration(opened, beside.id)

        assert "nothing to do" in (nothing_to_do(await survey(opened, cluster.request), cluster.request) or "")

    async def test_a_survey_changes_nothing(self, shared, shared_opened):
        before = await shared_opened.seed.cluster(shared_opened.ref.name)
        maps = await shared_opened.api.list(CONFIG_MAPS, namespace="kube-system")

        await survey(shared_opened, shared.request)

        assert await shared_opened.seed.cluster(shared_opened.ref.name) == before
        assert await shared_opened.api.list(CONFIG_MAPS, namespace="kube-system") == maps


async def test_a_cluster_that_somebody_changed_meanwhile_is_no_success(opened, migration):
    """It was begun towards Cilium, and the Cluster says Canal."""
    with pytest.raises(OperatorActionNeeded, match=r"says canal v3\.30, .* led to cilium 1\.19\.4"):
        await finish_migration(opened, migration.id)

    assert (await read_journal(opened.api)).open_migration() is not None


class TestBeginningAnew:
    async def test_baseline_and_backups_that_waited_for_a_window_are_taken_anew(self, cluster, opened, migration):
        old = datetime.now(UTC) - timedelta(hours=2)
        await change_migration(opened.api, migration.id, lambda found: found.with_step(outcome("record baseline")))
        await change_migration(opened.api, migration.id, lambda found: aged(found, old))
        before = (await read_migration(opened.api, migration.id)).backup("baseline")

        begun = await begin_migration(opened, cluster.request)

        assert (begun.id, begun.backups, begun.marks["preparation"]) == (migration.id, (), "2")
        assert before is not None
        await record_baseline(opened, migration.id)
        assert (await read_migration(opened.api, migration.id)).backup("baseline") is not None

    async def test_they_are_kept_once_something_was_disrupted(self, cluster, opened, migration):
        old = datetime.now(UTC) - timedelta(hours=2)
        await change_migration(opened.api, migration.id, lambda found: found.with_step(outcome("record baseline")))
        await change_migration(
            opened.api, migration.id, lambda found: in_stretch(aged(found, old), Stretch.MOVE, now=old)
        )

        begun = await begin_migration(opened, cluster.request)

        assert {backup.name for backup in begun.backups} >= {"baseline", "canal"}

    async def test_a_revert_of_what_is_in_the_middle_of_something_goes_on_at_once(self, cluster, opened, migration):
        now = datetime.now(UTC)
        await change_migration(opened.api, migration.id, lambda found: in_stretch(found, Stretch.MOVE, now=now))
        back = reverting_request(cluster.request, await read_migration(opened.api, migration.id))

        reversal = await begin_migration(opened, back)

        assert reversal is not None
        assert under_way(reversal) == "move to the new CNI"
        assert has_begun(reversal, Stretch.PREPARE)

    async def test_the_runs_that_worked_on_a_migration_are_known_the_latest_last(self, cluster, opened, migration):
        for run in ("first", "second", "first"):
            await begin_migration(opened, cluster.request.model_copy(update={"run_id": run}))

        assert (await read_migration(opened.api, migration.id)).runs == ("second", "first")

    async def test_a_run_that_waited_does_not_migrate_again_what_was_taken_back(self, cluster, opened, migration):
        mine = cluster.request.model_copy(update={"run_id": "first"})
        await begin_migration(opened, mine)
        back = reverting_request(cluster.request, migration).model_copy(update={"run_id": "second"})
        reversal = await begin_migration(opened, back)
        await finish_migration(opened, reversal.id)

        assert await begin_migration(opened, mine) is None
        assert await begin_migration(opened, mine.model_copy(update={"run_id": "third"})) is not None


def aged(migration, moment):
    """Return the migration with steps of that time."""
    steps = tuple(step.model_copy(update={"finished_at": moment}) for step in migration.steps)
    return migration.model_copy(update={"steps": steps})
