"""The REST API as the second way to KKP, over HTTPS and through the lab's trouble."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from dataclasses import replace

import pytest
from tenacity import wait_random_exponential

from clusters import lock as lock_module
from clusters.connection_kinds import KkpConnection
from clusters.connections import ENVIRONMENT_VARIABLE, find_connection
from clusters.fleet import list_clusters, look_at
from clusters.kinds import CLUSTERS, CONFIG_MAPS, LEASES, SECRETS
from clusters.kkp_api import client, polling, projects, shape
from clusters.kkp_api import seed as kkp_seed
from clusters.kkp_api.opening import open_kkp
from clusters.kkp_api.seed import KkpSeed
from clusters.lock import try_lock
from clusters.seed import open_cluster, open_seed
from clusters.survey.surveying import survey
from clusters.watching import watching
from clusters.wire import LONGEST_MESSAGE
from migration.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    LockLost,
    NotShown,
    Permanent,
    Rejected,
    ServerFault,
    Throttled,
    Unauthorized,
    Unreachable,
)
from migration.fleet.looks import Need
from migration.fleet.models import FleetOrder
from migration.models import ClusterRef, Network, Runbook
from migration.patches import INITIAL_VALUES, UNSAFE_CNI_MIGRATION, label_patch
from migration.readiness import findings
from tests.clusters.conftest import SOON
from tests.seed_api import seed_api
from tests.unit.making import CANAL, CILIUM

VALUES = {"tunnelPort": 8473, "operator": {"replicas": 1}}
PATH = "/clusters/[a-z0-9]+$"
ROUTE = "/api/v2/projects/{project}/clusters/{cluster}"


@pytest.fixture(autouse=True)
def brisk_api(monkeypatch):
    monkeypatch.setattr(client, "_backoff", wait_random_exponential(multiplier=0.02, max=0.2))
    monkeypatch.setattr(kkp_seed, "CONFLICT_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(polling, "POLL_SECONDS", 0.1)


@pytest.fixture
async def seed(cluster):
    """KKP by its REST API, for a cluster that nobody has changed."""
    async with open_seed("lab-api") as found:
        yield found


@pytest.fixture
async def shared_seed(shared):
    async with open_seed("lab-api") as found:
        yield found


@pytest.fixture
def trouble(cluster):
    """Trouble for the REST API alone."""

    def make(what, **fields):
        return cluster.fault(what, **{"server": "kkp", "path": PATH, **fields})

    return make


async def connection(**changes):
    found = await find_connection("lab-api")
    assert isinstance(found, KkpConnection)
    return replace(found, **changes)


async def as_person(shared, person):
    return await connection(token=shared.lab.remote.rest_api()["tokens"][person])


def switch(seed, cluster, desired=CILIUM, mode="iptables"):
    return seed.switch_network(
        cluster.name,
        expected=Network(cni=CANAL, proxy_mode="iptables"),
        desired=Network(cni=desired, proxy_mode=mode),
        helm_values=VALUES,
    )


def patches(cluster):
    """How many patches the REST API has answered."""
    counted = cluster.lab.remote.requests().get("kkp", {})
    return sum(count for what, count in counted.items() if what.startswith("patch"))


class Turns(asyncio.Semaphore):
    """Slots, and whether somebody wants one."""

    def __init__(self, value):
        super().__init__(value)
        self.wanted = asyncio.Event()

    async def acquire(self):
        self.wanted.set()
        return await super().acquire()


def asked_for_a_cluster(cluster):
    """How many requests for a single cluster the REST API has answered."""
    return cluster.lab.remote.requests()["kkp"].get(f"get {ROUTE}", 0)


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
            assert found == replace(twin, ref=found.ref, uid="", phase="")
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


class TestChanging:
    async def stored(self, cluster):
        async with open_seed("lab") as other:
            return await seed_api(other).get(CLUSTERS, cluster.name)

    async def test_the_label_is_set_and_taken_off_once(self, seed, cluster):
        labels = (await self.stored(cluster))["metadata"]["labels"]

        changes = [await seed.label(cluster.name, present=present) for present in (True, True, False, False)]

        assert changes == [True, False, True, False]
        assert (await self.stored(cluster))["metadata"]["labels"] == labels

    async def test_network_and_values_go_in_one_patch(self, seed, cluster):
        await seed.label(cluster.name, present=True)
        async with open_seed("lab") as other:
            await seed_api(other).patch(CLUSTERS, cluster.name, {"spec": {"pause": True}})
        before = patches(cluster)

        assert await switch(seed, cluster)
        assert not await switch(seed, cluster)

        found = await self.stored(cluster)
        assert json.loads(found["metadata"]["annotations"][INITIAL_VALUES]) == VALUES
        assert found["spec"]["cniPlugin"] == {"type": "cilium", "version": CILIUM.version}
        assert patches(cluster) == before + 1

    async def test_a_refusal_has_kkp_s_own_words(self, seed, cluster):
        with pytest.raises(Rejected, match=r"invalid cluster: .*unsafe-cni-migration"):
            await switch(seed, cluster)

    async def test_what_somebody_else_changed_is_left_alone(self, seed, cluster):
        with pytest.raises(Permanent, match="somebody else works on it"):
            await seed.switch_network(
                cluster.name,
                expected=Network(cni=CANAL, proxy_mode="ipvs"),
                desired=Network(cni=CILIUM, proxy_mode="ipvs"),
            )

    @pytest.mark.parametrize("what", ["500", "503", "429", "409", "reset"])
    async def test_trouble_that_passes_is_outlived(self, seed, cluster, trouble, what):
        trouble(what, times=2, method="PATCH")
        if what != "409":
            trouble(what, times=2, method="GET")

        assert await seed.label(cluster.name, present=True)
        assert UNSAFE_CNI_MIGRATION in (await self.stored(cluster))["metadata"]["labels"]

    async def test_a_seed_that_goes_before_a_change_is_outlived(self, seed, cluster, trouble):
        trouble("404", times=1, method="PATCH")

        assert await seed.label(cluster.name, present=True)
        assert UNSAFE_CNI_MIGRATION in (await self.stored(cluster))["metadata"]["labels"]

    async def test_a_change_whose_answer_was_lost_is_found_to_be_made(self, seed, cluster, trouble, monkeypatch):
        monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
        await seed.cluster(cluster.name)
        trouble("timeout-after", times=1, method="PATCH")
        before = patches(cluster)

        assert await seed.label(cluster.name, present=True)

        assert UNSAFE_CNI_MIGRATION in (await self.stored(cluster))["metadata"]["labels"]
        assert patches(cluster) == before + 1

    async def test_a_change_that_was_not_made_in_time_is_made_then(self, seed, cluster, trouble, monkeypatch):
        monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
        trouble("timeout", times=1, method="PATCH")

        assert await seed.label(cluster.name, present=True)

    @pytest.mark.parametrize(("what", "error"), [("409", Conflict), ("503", ServerFault), ("429", Throttled)])
    async def test_trouble_that_lasts_ends_in_an_error_that_may_be_tried_again(
        self, seed, cluster, trouble, what, error
    ):
        trouble(what, method="PATCH", times=None)

        with pytest.raises(error, match="KKP API lab-api"):
            await seed.label(cluster.name, present=True)
        assert UNSAFE_CNI_MIGRATION not in (await self.stored(cluster))["metadata"]["labels"]

    async def test_what_the_api_passes_over_in_silence_is_an_error(self, seed, cluster):
        with pytest.raises(Rejected, match=r"passed over spec\.pause: this KKP doesn't change that"):
            await seed._patch(cluster.name, {"spec": {"pause": True}})

    def test_a_patch_is_compared_field_by_field(self):
        patch = {"labels": {"a": "true", "b": None}, "spec": {"cniPlugin": {"type": "cilium"}, "pause": True}}

        assert shape.not_taken(patch, {"labels": {"a": "true"}, "spec": {"cniPlugin": {"type": "canal"}}}) == (
            "spec.cniPlugin.type",
            "spec.pause",
        )
        assert shape.not_taken({"labels": {"b": None}}, {"labels": {"b": "x"}}) == ("labels.b",)

    async def test_whoever_lost_the_lock_changes_nothing_more(self, cluster, opened, monkeypatch):
        assert await try_lock(opened.api, "run-1") is None
        ref = ClusterRef(seed="lab-api", name=cluster.name)
        async with open_cluster(ref, cluster.told.append, holder="run-1") as fenced:
            assert await fenced.seed.label(cluster.name, present=True)
            monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
            lease = await opened.api.get(LEASES, "cni-migration", namespace="kube-system")
            lease["spec"]["holderIdentity"] = "run-2"
            await opened.api.replace(LEASES, lease, namespace="kube-system")
            before = patches(cluster)

            with pytest.raises(LockLost):
                await fenced.seed.label(cluster.name, present=False)
            assert patches(cluster) == before

    async def test_nor_does_whoever_lost_it_while_waiting_for_its_turn(self, cluster, opened, monkeypatch):
        assert await try_lock(opened.api, "run-1") is None
        ref = ClusterRef(seed="lab-api", name=cluster.name)
        async with open_cluster(ref, cluster.told.append, holder="run-1") as fenced:
            assert await fenced.seed.label(cluster.name, present=True)
            before = patches(cluster)
            assert isinstance(fenced.seed, KkpSeed)
            turns = Turns(0)
            monkeypatch.setattr(fenced.seed._api, "_slots", turns)
            changing = asyncio.create_task(fenced.seed._patch(cluster.name, label_patch(present=False)))
            await turns.wanted.wait()
            monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
            lease = await opened.api.get(LEASES, "cni-migration", namespace="kube-system")
            lease["spec"]["holderIdentity"] = "run-2"
            await opened.api.replace(LEASES, lease, namespace="kube-system")
            turns.release()

            with pytest.raises(LockLost):
                await changing
            assert patches(cluster) == before


class TestWaiting:
    async def test_a_view_sees_a_change_without_being_told(self, seed, cluster):
        live = seed.live_cluster(cluster.name)
        async with watching(live) as view:
            await view.listed()
            async with open_seed("lab") as other:
                await other.label(cluster.name, present=True)

            def judge():
                facts = live.get(cluster.name)
                return None if facts and UNSAFE_CNI_MIGRATION in facts.labels else "the label"

            await view.until(judge, what="the label", deadline=SOON, tell=cluster.told.append)

    async def test_trouble_does_not_end_it(self, seed, cluster, trouble):
        live = seed.live_cluster(cluster.name)
        async with watching(live) as view:
            await view.listed()
            trouble("503", times=8)
            await view.until(
                lambda: None if live.fault else "a fault", what="a fault", deadline=SOON, tell=cluster.told.append
            )
            await view.until(
                lambda: "an answer" if live.fault else None, what="an answer", deadline=SOON, tell=cluster.told.append
            )


class TestWayIn:
    async def test_the_administrator_s_kubeconfig_opens_the_cluster(self, shared):
        async with open_cluster(ClusterRef(seed="lab-api", name=shared.name), shared.told.append) as opened:
            await opened.api.list(CONFIG_MAPS, namespace="shop")

            assert opened.way_in.is_administrator_s
            assert opened.way_in.source == f"the kubeconfig of {shared.name} that KKP API lab-api hands out"
            assert "token" not in repr(opened.way_in)

    async def test_kubeconfigs_that_are_switched_off_are_an_administrator_s_matter(self, shared, shared_seed):
        shared.lab.remote.add_fault("platform", "kubeconfig-disabled", cluster=shared.name)
        shared.troubles.append("kubeconfig-disabled")

        with pytest.raises(Forbidden, match=r"switch them on in the admin panel.*or use a connection to the seed"):
            await shared_seed.way_into(await shared_seed.cluster(shared.name))

    async def test_a_control_plane_that_has_no_kubeconfig_yet_is_not_ready(self, cluster, seed, trouble):
        trouble("404", path="/kubeconfig$", times=1)

        with pytest.raises(InvalidRequest, match="is not there: the control plane isn't ready"):
            await seed.way_into(await seed.cluster(cluster.name))

    async def test_a_seed_that_goes_before_the_kubeconfig_is_had_is_out_of_reach(self, cluster, seed):
        found = await seed.cluster(cluster.name)
        cluster.platform_fault("seed-gone")

        with pytest.raises(ServerFault, match="or it was deleted"):
            await seed.way_into(found)

    async def test_a_viewer_is_refused_with_the_role_that_is_needed(self, shared):
        async with open_kkp(await as_person(shared, "viewer")) as found:
            with pytest.raises(Forbidden, match=r"is a viewer's, which changes nothing.*the role of an editor"):
                await found.way_into(await found.cluster(shared.name))
            with pytest.raises(Forbidden, match="cannot update"):
                await found.label(shared.name, present=True)
            (denied,) = await found.missing_rights(shared.name, as_administrator=True)
            assert "role viewers" in denied

    async def test_other_roles_lack_nothing_that_is_known(self, shared, shared_seed):
        assert await shared_seed.missing_rights(shared.name, as_administrator=True) == ()


class TestErrors:
    """Each one names the API and what to do, and none the token."""

    async def refused(self, error, **changes):
        found = await connection(**changes)
        with pytest.raises(error) as caught:
            async with open_kkp(found) as api:
                await api.list_clusters()
        assert found.token not in str(caught.value)
        assert found.token not in repr(found)
        return str(caught.value)

    async def test_a_wrong_token(self, shared):
        said = await self.refused(Unauthorized, token="n0t-it")

        assert "KKP API lab-api refused the token: access denied, invalid token" in said
        assert "Renew it in the connection" in said

    async def test_an_authority_that_did_not_sign(self, shared):
        assert "its certificate is not trusted" in await self.refused(Rejected, certificate_authority="")

    async def test_an_address_where_nothing_listens(self, shared):
        said = await self.refused(Unreachable, url="https://127.0.0.1:9/kkp")

        assert "KKP API lab-api is not reachable: Connect" in said or "refused" in said

    async def test_a_host_that_nobody_knows(self, shared):
        assert "is not reachable: " in await self.refused(Unreachable, url="https://kkp.invalid")

    async def test_an_address_that_is_not_the_api_s(self, shared):
        found = await connection()

        await self.refused((Permanent, ServerFault), url=found.url.removesuffix("/kkp"))

    async def test_a_server_that_never_answers(self, shared, monkeypatch):
        monkeypatch.setattr(client, "REQUEST_SECONDS", 0.2)
        shared.fault("timeout", server="kkp", path="/projects$", times=None)

        assert "did not answer in time (GET /api/v1/projects)" in await self.refused(Unreachable)

    async def test_a_web_page_and_other_answers_that_are_none(self):
        said = {}
        for kind, body in (("text/html", "<html>n0t-it"), ("application/json", "[1"), ("application/json", "{}")):
            async with answering(kind, body) as url, open_kkp(KkpConnection("near", url, "n0t-it")) as api:
                with pytest.raises((Rejected, ServerFault)) as caught:
                    await api.list_clusters()
                said[body] = str(caught.value)
        assert "answers with a web page" in said["<html>n0t-it"]
        assert "n0t-it" not in said["<html>n0t-it"]
        assert "not what was asked for" in said["[1"]
        assert "no list of projects" in said["{}"]

    async def test_a_redirect_is_not_followed_with_the_token(self):
        elsewhere = answering("text/html", "", status="302 Found\r\nLocation: http://127.0.0.1:9/")
        async with elsewhere as url, open_kkp(KkpConnection("near", url, "n0t-it")) as api:
            with pytest.raises(Rejected, match="sends elsewhere"):
                await api.list_clusters()

    async def test_a_token_that_comes_back_in_a_message_is_left_out(self):
        body = json.dumps({"error": {"code": 400, "message": "bad n0t-it", "details": ["really"]}})
        telling = answering("application/json", body, status="400 Bad Request")
        async with telling as url, open_kkp(KkpConnection("near", url, "n0t-it")) as api:
            with pytest.raises(Rejected, match=r"bad \(token\) \(really\)"):
                await api.list_clusters()

    async def test_of_a_token_where_a_message_is_cut_no_part_is_left(self):
        message = "n0t-it" + "x" * (LONGEST_MESSAGE - len("(token)") - 3) + "n0t-it"
        body = json.dumps({"error": {"code": 400, "message": message}})
        part = json.dumps({"clusters": [], "errorMessage": message})
        connection = KkpConnection("near", "", "n0t-it", project="p")
        for said, status, error in ((body, "400 Bad Request", Rejected), (part, "200 OK", ServerFault)):
            telling = answering("application/json", said, status=status)
            async with telling as url, open_kkp(replace(connection, url=url)) as api:
                with pytest.raises(error, match="xxx") as caught:
                    await api.list_clusters()
            assert "n0t" not in str(caught.value)


def test_the_end_of_a_token_is_told_if_it_says_so():
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1_900_000_000}).encode()).decode().rstrip("=")
    ends = kkp_seed.KkpSeed(None, KkpConnection("k", "https://k", f"e30.{claims}.x")).credentials()  # type: ignore[arg-type]
    assert [found.source for found in ends] == ["token of connection k"]
    assert kkp_seed.KkpSeed(None, KkpConnection("k", "https://k", "opaque")).credentials() == ()  # type: ignore[arg-type]


class TestOffers:
    async def test_an_application_definition_that_may_not_be_seen_still_leaves_the_versions(self, shared, shared_seed):
        shared.fault("403", server="kkp", path="/applicationdefinitions/", times=None)

        assert "1.19.4" in (await shared_seed.offered_cilium_versions() or ())
        with pytest.raises(Permanent, match="doesn't show ApplicationDefinition cilium"):
            await shared_seed.cilium_defaults()


class answering:  # noqa: N801 - reads as what it is used for
    """A server on this machine that answers every request alike, without TLS."""

    def __init__(self, kind, body, *, status="200 OK"):
        text = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._answer = f"{text}{body}".encode()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_error):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        await writer.drain()
        writer.close()
