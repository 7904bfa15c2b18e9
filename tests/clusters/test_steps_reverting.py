"""Opening a migration that takes another back: which is closed by it, and what is carried over."""

import asyncio

import pytest

from clusters.journal import change_migration, read_journal, read_migration
from clusters.kinds import APPLICATION_INSTALLATIONS, CLUSTERS, DAEMON_SETS
from clusters.steps import verification
from clusters.steps.bookkeeping import begin_migration, finish_migration
from clusters.steps.cilium import remove_stale_cilium
from clusters.steps.switching import allow_cni_migration, switch_cni
from migration.errors import OperatorActionNeeded
from migration.models import Cni, CniType, MigrationRequest, ProxyMode, Runbook, StepStatus
from migration.patches import UNSAFE_CNI_MIGRATION
from migration.targets import reverting_request
from tests.clusters.conftest import VERSION
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import LONG, begin, begin_to_canal, have_arrived, put_on_cilium
from tests.seed_api import seed_api
from tests.unit.making import CANAL, CILIUM

JOURNAL = {"method": "PUT", "path": "/configmaps/cni-migration$"}


def request_for(cluster, runbook=Runbook.CANAL_TO_CILIUM, **changes):
    fields = {"cluster": cluster.ref, "runbook": runbook, "requested_by": "a test", **changes}
    return MigrationRequest(**fields)


def taking_back(cluster, migration):
    return reverting_request(request_for(cluster), migration)


@pytest.fixture
async def unfinished(cluster, opened):
    """A migration to Cilium that has come as far as the switch, and has a bare pod to its debt."""
    cilium = Cni(type=CniType.CILIUM, version=VERSION)
    migration = await begin(cluster, opened, Runbook.CANAL_TO_CILIUM, desired_cni=cilium, tunnel_port=8999)
    await verification.record_baseline(opened, migration.id)
    owed = {"bare_pods": {"shop/debug-shell": "uid-1"}, "marks": {"cni-uninstall": "true"}}
    await change_migration(opened.api, migration.id, lambda found: found.model_copy(update=owed))
    await allow_cni_migration(opened)
    await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": {"pause": True}})
    await switch_cni(opened, migration)
    return await read_migration(opened.api, migration.id)


@pytest.fixture
async def finished(opened, unfinished):
    await finish_migration(opened, unfinished.id)
    return await read_migration(opened.api, unfinished.id)


async def test_an_unfinished_one_is_closed_and_what_it_owes_is_carried_over(cluster, opened, unfinished):
    back = await begin_migration(opened, taking_back(cluster, unfinished))

    assert (back.kind, back.reverts) == (Runbook.CILIUM_TO_CANAL, unfinished.id)
    assert (back.previous_cni, back.desired_cni) == (CILIUM, CANAL)
    assert back.desired == unfinished.previous
    assert back.backup("baseline") == unfinished.backup("baseline")
    assert back.backup("canal") is None
    assert back.bare_pods == unfinished.bare_pods
    assert back.marks == {}
    assert back.tunnel_port == 8999
    closed = await read_migration(opened.api, unfinished.id)
    assert (closed.reverted_by, closed.is_open) == (back.id, False)
    assert closed.backups == unfinished.backups
    assert (await read_journal(opened.api)).open_migration() == back


async def test_the_label_that_the_first_one_added_goes_with_the_second(cluster, opened, unfinished):
    back = await begin_migration(opened, taking_back(cluster, unfinished))
    assert not back.label_was_there
    await have_arrived(opened, back)

    await finish_migration(opened, back.id)

    assert UNSAFE_CNI_MIGRATION not in (await opened.seed.cluster(cluster.name)).labels


async def test_a_label_that_was_there_before_both_stays(cluster, opened):
    await opened.seed.label(cluster.name, present=True)
    first = await begin(cluster, opened, Runbook.CHANGE_PROXY_MODE, desired_proxy_mode=ProxyMode.IPVS)

    back = await begin_migration(opened, taking_back(cluster, first))
    await finish_migration(opened, back.id)

    assert UNSAFE_CNI_MIGRATION in (await opened.seed.cluster(cluster.name)).labels


async def test_what_was_before_a_finished_one_is_not_what_is_now(cluster, opened, finished):
    back = await begin_migration(opened, taking_back(cluster, finished))

    assert back.backups == ()
    assert not back.bare_pods
    closed = await read_migration(opened.api, finished.id)
    assert (closed.finished_at, closed.reverted_by) == (finished.finished_at, back.id)


async def test_two_that_begin_at_once_are_one(cluster, opened, unfinished):
    request = taking_back(cluster, unfinished)

    first, second = await asyncio.gather(begin_migration(opened, request), begin_migration(opened, request))

    assert first.id == second.id
    assert len((await read_journal(opened.api)).migrations) == 2


@pytest.mark.parametrize("trouble", ["timeout", "timeout-after", "409"])
async def test_one_that_was_killed_as_it_began_is_taken_up(cluster, opened, unfinished, trouble):
    request = taking_back(cluster, unfinished)
    await kill_at(cluster, begin_migration(opened, request), trouble, **JOURNAL)

    back = await begin_migration(opened, request)

    journal = await read_journal(opened.api)
    assert [found.reverts for found in journal.migrations] == ["", unfinished.id]
    assert journal.open_migration() == back
    assert back.bare_pods == unfinished.bare_pods


async def test_the_way_that_is_taken_back_can_not_be_gone_on(cluster, opened, unfinished):
    await begin_migration(opened, taking_back(cluster, unfinished))

    with pytest.raises(
        OperatorActionNeeded, match=r"\(cilium-to-canal to canal v3\.30\) is unfinished: it takes migration .* back"
    ):
        await begin_migration(opened, request_for(cluster, desired_cni=CILIUM))


async def test_another_migration_does_not_close_an_unfinished_one(cluster, opened, unfinished):
    request = request_for(cluster, Runbook.CHANGE_PROXY_MODE, desired_proxy_mode=ProxyMode.NFTABLES)

    with pytest.raises(OperatorActionNeeded, match="take it back with the flow revert-migration"):
        await begin_migration(opened, request)

    assert (await read_journal(opened.api)).open_migration() == unfinished


async def test_once_taken_back_there_is_nothing_more_to_take_back(cluster, opened, unfinished):
    request = taking_back(cluster, unfinished)
    back = await begin_migration(opened, request)
    network = {"cniPlugin": {"type": "canal", "version": "v3.30"}}
    await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": network})
    await finish_migration(opened, back.id)

    assert await begin_migration(opened, request) is None


async def test_a_migration_that_was_taken_back_can_be_made_anew(cluster, opened, unfinished):
    back = await begin_migration(opened, taking_back(cluster, unfinished))
    network = {"cniPlugin": {"type": "canal", "version": "v3.30"}}
    await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": network})
    await finish_migration(opened, back.id)

    anew = await begin_migration(opened, request_for(cluster, desired_cni=CILIUM))

    assert anew.reverts == ""
    assert anew.id not in (unfinished.id, back.id)


async def test_a_revert_can_be_taken_back_itself(cluster, opened, finished):
    back = await begin_migration(opened, taking_back(cluster, finished))

    there = await begin_migration(opened, taking_back(cluster, back))

    assert (there.kind, there.reverts, there.desired) == (Runbook.CANAL_TO_CILIUM, back.id, finished.desired)
    journal = await read_journal(opened.api)
    assert [found.reverted_by for found in journal.migrations] == [back.id, there.id, ""]


async def test_closing_a_revert_twice_is_no_matter(cluster, opened, unfinished):
    back = await begin_migration(opened, taking_back(cluster, unfinished))
    await have_arrived(opened, back)

    assert (await finish_migration(opened, back.id)).status is StepStatus.CHANGED
    assert (await finish_migration(opened, back.id)).status is StepStatus.ALREADY


class TestACiliumThatStillCarriesThePods:
    """A migration to Canal is taken back after the switch, before Cilium was removed."""

    @pytest.fixture
    async def switched(self, cluster, opened):
        await put_on_cilium(opened)
        migration = await begin_to_canal(cluster, opened)
        await allow_cni_migration(opened)
        await switch_cni(opened, migration)
        found = await opened.api.get(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")
        return found["metadata"]["uid"]

    async def test_it_is_kept_as_a_whole(self, opened, switched):
        result = await remove_stale_cilium(opened, deadline=LONG, keep_version=VERSION)

        found = await opened.api.get(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")
        assert (result.status, found["metadata"]["uid"]) == (StepStatus.ALREADY, switched)

    async def test_without_its_agents_it_is_removed(self, opened, switched):
        agents = await opened.api.get(DAEMON_SETS, "cilium", namespace="kube-system")
        await opened.api.delete(DAEMON_SETS, "cilium", namespace="kube-system", uid=agents["metadata"]["uid"])

        async def is_gone():
            return await opened.api.find(DAEMON_SETS, "cilium", namespace="kube-system") is None

        await becomes(is_gone)
        result = await remove_stale_cilium(opened, deadline=LONG, keep_version=VERSION)

        assert result.status is StepStatus.CHANGED


async def test_a_run_that_was_to_go_on_with_a_migration_begins_no_other(cluster, opened, unfinished):
    """It waited for the lock while another run took that migration back."""
    reverse = await begin_migration(opened, taking_back(cluster, unfinished))
    await have_arrived(opened, reverse)
    await finish_migration(opened, reverse.id)

    with pytest.raises(OperatorActionNeeded, match=r"with which this run was to go on, was closed while it waited"):
        await begin_migration(opened, cluster.request, going_on_with=unfinished.id)

    assert (await read_journal(opened.api)).open_migration() is None
