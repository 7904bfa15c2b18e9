"""The REST API tells of clusters and projects what a seed tells, as far as it goes."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace

import pytest

from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.fleet import list_clusters, look_at
from clusters.kinds import SECRETS
from clusters.kkp_api import projects, shape
from clusters.kkp_api.opening import open_kkp
from clusters.seed import open_cluster, open_seed
from clusters.survey.surveying import survey
from clusters.watching import watching
from migration.errors import (
    InvalidRequest,
    NotShown,
    Permanent,
    ServerFault,
)
from migration.fleet.looks import Need
from migration.fleet.models import FleetOrder
from migration.models import ClusterRef, Runbook
from migration.readiness import findings
from tests.clusters.conftest import SOON
from tests.clusters.kkp_api.asking import ROUTE, as_person, asked_for_a_cluster, connection
from tests.seed_api import seed_api


class TestReading:
    async def test_it_says_what_the_seed_says(self, shared, shared_seed):
        async with open_seed("lab") as other:
            there, here = await other.cluster(shared.name), await shared_seed.cluster(shared.name)
            listed = {found.ref.name: found for found in await other.list_clusters()}
            versions, defaults = await other.offered_cilium_versions(), await other.cilium_defaults()

        hidden = {"resource_version", "phase", "update_reason", "unseen", "health"}
        assert {name for name in vars(here) if getattr(here, name) != getattr(there, name)} <= hidden
        assert set(here.health) < set(there.health)
        assert here.unseen == shape.UNSEEN
        for found in await shared_seed.list_clusters():
            twin = listed.pop(found.ref.name)
            assert found == replace(twin, ref=found.ref, uid="", phase="", paused=False)  # other tests pause some
        assert listed == {}
        assert await shared_seed.offered_cilium_versions() == versions
        assert await shared_seed.cilium_defaults() == defaults

    async def test_an_unknown_cluster_is_refused_with_what_its_name_is(self, shared_seed):
        with pytest.raises(InvalidRequest, match=r"KKP API lab-api has no Cluster named 'lab-1' in any project"):
            await shared_seed.cluster("lab-1")
        with pytest.raises(InvalidRequest, match="is no name of a Cluster"):
            await shared_seed.cluster("../x")

    async def test_a_fleet_tells_a_cluster_that_is_gone_from_one_that_gives_no_answer(self, shared, cluster):
        order = FleetOrder(seeds=("lab-api", "lab"), runbook=Runbook.CANAL_TO_CILIUM, run_id="a")
        gone = [ClusterRef(seed=seed, name="gone") for seed in order.seeds]
        silent = ClusterRef(seed="lab-api", name=cluster.name)
        # As while a control plane is not up yet.
        async with open_seed("lab") as seed:
            api, namespace = seed_api(seed), f"cluster-{cluster.name}"
            uid = (await api.get(SECRETS, "admin-kubeconfig", namespace=namespace))["metadata"]["uid"]
            await api.delete(SECRETS, "admin-kubeconfig", uid=uid, namespace=namespace)

        found = await look_at(order, [*gone, silent], lambda _: None)

        # The REST API may leave a seed out without a word, so there it is no certainty.
        assert [found[ref].need for ref in gone] == [Need.UNKNOWN, Need.LEFT_OUT]
        assert "has no Cluster named 'gone'" in found[gone[0]].reason
        assert found[silent].need is Need.UNKNOWN

    async def test_the_same_clusters_by_two_connections_are_refused(self, shared_seed, shared, tmp_path, monkeypatch):
        copied = shutil.copytree(shared.lab.connections, tmp_path / "connections")
        shutil.copy(copied / "lab-api.kkp.yaml", copied / "twin.kkp.yaml")
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(copied))

        assert len(await list_clusters(["lab-api"])) == len(await shared_seed.list_clusters())
        for seeds in (("lab", "lab-api"), ("lab-api", "lab"), ("lab-api", "twin")):
            with pytest.raises(InvalidRequest, match=f"the connections {seeds[0]} and {seeds[1]} lead to the same"):
                await list_clusters(seeds)

    async def test_a_project_may_be_named(self, shared, shared_seed):
        found_in = {found.ref.name: found.project for found in await shared_seed.list_clusters()}
        mine, other = found_in[shared.name], next(one for one in found_in.values() if one != found_in[shared.name])

        async with open_kkp(await connection(project=mine)) as found:
            assert (await found.cluster(shared.name)).name == shared.name
            assert {listed.project for listed in await found.list_clusters()} == {mine}
        async with open_kkp(await connection(project=other)) as found:
            with pytest.raises(InvalidRequest, match=f"in project {other}"):
                await found.cluster(shared.name)
        async with open_kkp(await connection(project="nowhere")) as found:
            with pytest.raises(InvalidRequest, match="has no project 'nowhere'"):
                await found.list_clusters()

    async def test_the_project_is_looked_for_once_in_a_process(self, shared, shared_seed):
        await shared_seed.cluster(shared.name)
        before = shared.lab.remote.requests()["kkp"]
        for _ in range(2):
            async with open_seed("lab-api") as found:
                await found.cluster(shared.name)
        after = shared.lab.remote.requests()["kkp"]

        assert {what: count - before.get(what, 0) for what, count in after.items() if count != before.get(what)} == {
            "get /api/v1/version": 2,
            f"get {ROUTE}": 2,
            f"get {ROUTE}/health": 2,
        }

    async def test_a_list_tells_the_projects_as_well(self, cluster, seed):
        await seed.list_clusters()
        before = asked_for_a_cluster(cluster)
        await seed.cluster(cluster.name)

        assert asked_for_a_cluster(cluster) == before + 1

    async def test_a_project_that_was_known_wrongly_is_looked_for_anew(self, cluster, seed, monkeypatch):
        await seed.cluster(cluster.name)
        ((place, right),) = [item for item in projects._PROJECT_OF.items() if item[0][1] == cluster.name]
        monkeypatch.setitem(projects._PROJECT_OF, place, "nowhere")

        assert (await seed.cluster(cluster.name)).name == cluster.name
        assert projects._PROJECT_OF[place] == right

    @pytest.mark.parametrize("what", ["503", "429", "timeout"])
    async def test_trouble_in_another_project_hides_no_cluster(self, cluster, seed, trouble, what):
        found = {listed.ref.name: listed.project for listed in await seed.list_clusters()}
        other = next(project for project in found.values() if project != found[cluster.name])
        trouble(what, path=f"/projects/{other}/clusters/", times=None)
        projects._PROJECT_OF.clear()

        async with asyncio.timeout(10):
            assert (await seed.cluster(cluster.name)).name == cluster.name

    async def test_trouble_in_a_project_is_told_if_no_other_has_the_cluster(self, cluster, seed, trouble):
        found = {listed.ref.name: listed.project for listed in await seed.list_clusters()}
        trouble("503", path=f"/projects/{found[cluster.name]}/clusters/", times=None)
        projects._PROJECT_OF.clear()

        with pytest.raises(ServerFault, match=f"GET /api/v2/projects/{found[cluster.name]}/clusters/.*HTTP 503"):
            await seed.cluster(cluster.name)

    async def test_a_list_that_is_not_whole_is_none(self, shared, shared_seed):
        shared.lab.remote.add_fault("platform", "seed-unreachable", cluster=shared.name)
        shared.troubles.append("seed-unreachable")

        with pytest.raises(ServerFault, match=r"has only a part of the clusters of project .*Failed to fetch data"):
            await shared_seed.list_clusters()
        with pytest.raises(ServerFault, match="has only a part of the clusters"):
            await shared_seed.cluster(shared.name)

    async def test_a_seed_that_is_left_out_without_a_word_is_missed(self, shared, shared_seed):
        shared.lab.remote.add_fault("platform", "seed-left-out", cluster=shared.name)
        shared.troubles.append("seed-left-out")

        with pytest.raises(ServerFault, match=r"lists \d+ of the \d+ clusters that project"):
            await shared_seed.cluster(shared.name)

    async def test_a_cluster_that_was_there_before_is_out_of_reach_and_not_gone(self, shared, shared_seed):
        project = {found.ref.name: found.project for found in await shared_seed.list_clusters()}[shared.name]
        shared.lab.remote.add_fault("platform", "seed-gone", cluster=shared.name)
        shared.troubles.append("seed-gone")

        with pytest.raises(ServerFault, match=rf"no more.*was in project {project} before.*or it was deleted"):
            await shared_seed.cluster(shared.name)
        assert shared.name not in {found.ref.name for found in await shared_seed.list_clusters()}

    async def test_a_seed_that_is_out_of_reach_from_the_start_is_named_as_a_cause(
        self, shared, shared_seed, monkeypatch
    ):
        monkeypatch.setattr(projects, "_PROJECT_OF", {})
        shared.lab.remote.add_fault("platform", "seed-gone", cluster=shared.name)
        shared.troubles.append("seed-gone")

        with pytest.raises(NotShown, match=r"has no Cluster named .*The name is the ID.*a seed that it can't reach"):
            await shared_seed.cluster(shared.name)

    async def test_whoever_may_not_see_the_project_of_a_cluster_is_not_told_that_its_seed_is_away(
        self, shared, shared_seed
    ):
        account = await as_person(shared, "service-account")
        async with open_kkp(account) as found:
            seen = {listed.ref.name for listed in await found.list_clusters()}
            other = next(one.ref.name for one in await shared_seed.list_clusters() if one.ref.name not in seen)
            with pytest.raises(NotShown, match=f"has no Cluster named '{other}' in any project that the token sees"):
                await found.cluster(other)

    async def test_a_wait_goes_on_while_the_seed_is_left_out(self, cluster, seed):
        live = seed.live_cluster(cluster.name)
        async with watching(live) as view:
            await view.listed()
            cluster.platform_fault("seed-gone")
            await view.until(
                lambda: None if live.fault else "a fault", what="a fault", deadline=SOON, tell=cluster.told.append
            )

            assert live.get(cluster.name) is not None

    async def test_a_seed_that_goes_between_two_questions_is_out_of_reach(self, cluster, seed, trouble):
        trouble("404", path="/health$", times=1)

        with pytest.raises(ServerFault, match=rf"finds Cluster {cluster.name} no more, which it has just shown"):
            await seed.cluster(cluster.name)
        assert (await seed.cluster(cluster.name)).name == cluster.name

    async def test_a_project_that_is_not_one_s_own_has_no_clusters_for_one(self, shared):
        account = await as_person(shared, "service-account")
        async with open_kkp(account) as found:
            assert len({listed.project for listed in await found.list_clusters()}) == 1

    async def test_what_the_api_hides_is_a_warning(self, shared):
        ref = ClusterRef(seed="lab-api", name=shared.name)
        async with open_cluster(ref, shared.told.append) as opened:
            found = await survey(opened, shared.request)

        finding = next(one for one in findings(found, shared.request) if one.code == "platform-unseen")
        assert "whether the Cluster is paused (spec.pause)" in finding.seen
        assert f"kubectl get cluster {shared.name}" in finding.advice
        assert found.denied == ()

    async def test_an_upgrade_in_progress_is_seen(self):
        found = {"id": "x", "spec": {"version": "1.34.1"}, "status": {"version": "1.33.9"}}

        assert shape.cluster_object(found, {}, project="p", where="KKP")["status"]["phase"] == "Updating"


class TestOffers:
    async def test_an_application_definition_that_may_not_be_seen_still_leaves_the_versions(self, shared, shared_seed):
        shared.fault("403", server="kkp", path="/applicationdefinitions/", times=None)

        assert "1.19.4" in (await shared_seed.offered_cilium_versions() or ())
        with pytest.raises(Permanent, match="doesn't show ApplicationDefinition cilium"):
            await shared_seed.cilium_defaults()
