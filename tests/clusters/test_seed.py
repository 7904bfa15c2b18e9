import asyncio
import base64
import json

import pytest
import yaml

from clusters.kinds import APPLICATION_DEFINITIONS, CLUSTERS, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from clusters.seed import CONFLICT_TRIES, open_cluster
from migration.errors import Conflict, Forbidden, InvalidRequest, Permanent, Rejected
from migration.models import ClusterRef, Cni, CniType, Network
from migration.patches import INITIAL_VALUES, UNSAFE_CNI_MIGRATION
from migration.windows import UpdateWindow
from tests.seed_api import seed_api
from tests.unit.making import CANAL, CILIUM

VALUES = {"tunnelPort": 8473, "operator": {"replicas": 1}}


@pytest.fixture
def seed(opened):
    return opened.seed


async def cluster_object(seed, cluster):
    return await seed_api(seed).get(CLUSTERS, cluster.name)


async def test_an_unknown_cluster_is_refused_with_what_its_name_is(shared_opened):
    with pytest.raises(InvalidRequest, match=r"seed lab has no Cluster named 'lab-1'.*not the human-readable one"):
        await shared_opened.seed.cluster("lab-1")


async def test_the_offered_versions_are_those_of_the_application_definition(shared_opened):
    versions = await shared_opened.seed.offered_cilium_versions()

    assert "1.19.4" in versions
    assert "v1.11" not in versions


async def test_the_default_values_are_read_from_their_block(shared_opened):
    assert (await shared_opened.seed.cilium_defaults())["operator"] == {"replicas": 1}


@pytest.mark.parametrize("block", ["a: [", "- a\n- b", "just a text"])
async def test_default_values_that_make_no_sense_are_refused_and_not_replaced(shared_opened, block):
    seed = shared_opened.seed
    definition = await seed_api(seed).get(APPLICATION_DEFINITIONS, "cilium")
    await seed_api(seed).patch(APPLICATION_DEFINITIONS, "cilium", {"spec": {"defaultValuesBlock": block}})
    try:
        with pytest.raises(Permanent, match="defaultValuesBlock of ApplicationDefinition cilium"):
            await seed.cilium_defaults()
    finally:
        original = definition["spec"]["defaultValuesBlock"]
        await seed_api(seed).patch(APPLICATION_DEFINITIONS, "cilium", {"spec": {"defaultValuesBlock": original}})


async def test_the_label_is_added_and_taken_away_once(seed, cluster):
    changes = [await seed.label(cluster.name, present=present) for present in (True, True, False, False)]

    assert changes == [True, False, True, False]
    assert UNSAFE_CNI_MIGRATION not in (await cluster_object(seed, cluster))["metadata"]["labels"]


async def test_a_label_of_any_value_counts(seed, cluster):
    await seed_api(seed).patch(CLUSTERS, cluster.name, {"metadata": {"labels": {UNSAFE_CNI_MIGRATION: "false"}}})

    assert not await seed.label(cluster.name, present=True)
    assert (await cluster_object(seed, cluster))["metadata"]["labels"][UNSAFE_CNI_MIGRATION] == "false"


async def test_the_clusters_own_window_is_read_as_it_stands_there(seed, cluster):
    before = (await seed.cluster(cluster.name)).update_window
    await seed_api(seed).patch(
        CLUSTERS, cluster.name, {"spec": {"updateWindow": {"start": "Sat 22:30", "length": "1h30m"}}}
    )

    assert before is None
    assert (await seed.cluster(cluster.name)).update_window == UpdateWindow(start="Sat 22:30", length="1h30m")


class TestSwitch:
    @pytest.fixture(autouse=True)
    async def paused(self, seed, cluster):
        """KKP's controllers keep out, so that the Cluster stays as the test left it."""
        await seed.label(cluster.name, present=True)
        await seed_api(seed).patch(CLUSTERS, cluster.name, {"spec": {"pause": True}})

    def switch(self, seed, cluster, *, expected=CANAL, desired=CILIUM):
        return seed.switch_network(
            cluster.name,
            expected=Network(cni=expected, proxy_mode="iptables"),
            desired=Network(cni=desired, proxy_mode="iptables"),
            helm_values=VALUES,
        )

    async def test_the_cluster_says_the_new_cni_and_its_first_values(self, seed, cluster):
        assert await self.switch(seed, cluster)

        found = await cluster_object(seed, cluster)
        assert found["spec"]["cniPlugin"] == {"type": "cilium", "version": "1.19.4"}
        assert json.loads(found["metadata"]["annotations"][INITIAL_VALUES]) == VALUES

    async def test_a_second_switch_changes_nothing(self, seed, cluster):
        await self.switch(seed, cluster)
        before = await cluster_object(seed, cluster)

        assert not await self.switch(seed, cluster)
        assert await cluster_object(seed, cluster) == before

    async def test_a_cni_that_somebody_else_chose_is_left_alone(self, seed, cluster):
        other = Cni(type=CniType.CILIUM, version="1.18.10")
        await self.switch(seed, cluster, desired=other)

        with pytest.raises(Permanent, match=r"was changed to cilium 1\.18\.10.* meanwhile.*somebody else"):
            await self.switch(seed, cluster)

        assert (await seed.cluster(cluster.name)).cni == other

    async def test_conflicts_are_met_with_a_fresh_reading(self, seed, cluster, monkeypatch):
        monkeypatch.setattr("clusters.kubernetes_seed.CONFLICT_PAUSE_SECONDS", 0.01)
        cluster.seed_fault("409", method="PATCH", times=CONFLICT_TRIES - 1)

        assert await self.switch(seed, cluster)
        assert (await seed.cluster(cluster.name)).cni == CILIUM

    async def test_a_storm_of_conflicts_ends_in_one(self, seed, cluster, monkeypatch):
        monkeypatch.setattr("clusters.kubernetes_seed.CONFLICT_PAUSE_SECONDS", 0.01)
        cluster.seed_fault("409", method="PATCH", times=CONFLICT_TRIES)

        with pytest.raises(Conflict, match="changes faster than it can be patched"):
            await self.switch(seed, cluster)

        assert (await seed.cluster(cluster.name)).cni == CANAL

    async def test_a_change_of_somebody_else_survives_the_switch(self, seed, cluster):
        async def annotate():
            for number in range(20):
                await seed_api(seed).patch(CLUSTERS, cluster.name, {"metadata": {"annotations": {"note": str(number)}}})

        await asyncio.gather(annotate(), self.switch(seed, cluster))

        found = await cluster_object(seed, cluster)
        assert (found["metadata"]["annotations"]["note"], found["spec"]["cniPlugin"]["type"]) == ("19", "cilium")

    async def test_a_lost_answer_does_not_hide_the_switch(self, seed, cluster, monkeypatch):
        monkeypatch.setattr("clusters.api.REQUEST_SECONDS", 0.3)
        cluster.seed_fault("timeout-after", method="PATCH")

        await self.switch(seed, cluster)

        assert (await seed.cluster(cluster.name)).cni == CILIUM

    @pytest.mark.parametrize(
        ("version", "words"),
        [("9.9.9", 'spec.cniPlugin.version: Unsupported value: "9.9.9": supported values'), ("x", "x")],
    )
    async def test_a_refusal_of_the_webhook_keeps_its_words(self, seed, cluster, version, words):
        with pytest.raises(Rejected) as error:
            await self.switch(seed, cluster, desired=Cni(type=CniType.CILIUM, version=version))

        assert 'admission webhook "clusters.kubermatic.io" denied the request' in str(error.value)
        assert words in str(error.value)


async def test_a_cluster_on_a_cni_of_its_own_is_refused(seed, cluster):
    await seed.label(cluster.name, present=True)
    await seed_api(seed).patch(
        CLUSTERS, cluster.name, {"spec": {"pause": True, "cniPlugin": {"type": "none", "version": ""}}}
    )

    assert (await seed.cluster(cluster.name)).cni.type is CniType.NONE


class TestLesserKubeconfigs:
    """A Secret beside the administrator's lets a run in with an account of its own."""

    async def account_kubeconfig(self, opened):
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "cni-migration"}}
        await opened.api.create(SERVICE_ACCOUNTS, body, namespace="kube-system")
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        made = await opened.api.post(SERVICE_ACCOUNTS, "cni-migration", "token", request, namespace="kube-system")
        found = (await opened.seed.way_into(await opened.seed.cluster(opened.ref.name))).kubeconfig
        found["users"][0]["user"] = {"token": made["status"]["token"]}
        return found

    async def put(self, opened, text):
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "cni-migration-kubeconfig"},
            "data": {"kubeconfig": base64.b64encode(text.encode()).decode()},
        }
        await seed_api(opened.seed).create(SECRETS, body, namespace=f"cluster-{opened.ref.name}")

    async def test_it_is_taken_before_the_administrator_s(self, opened, cluster):
        assert opened.way_in.source == f"Secret cluster-{cluster.name}/admin-kubeconfig on seed lab"
        await self.put(opened, yaml.safe_dump(await self.account_kubeconfig(opened)))

        async with cluster.open() as found:
            assert found.way_in.source == f"Secret cluster-{cluster.name}/cni-migration-kubeconfig on seed lab"
            with pytest.raises(Forbidden, match='User "system:serviceaccount:kube-system:cni-migration" cannot list'):
                await found.api.list(SECRETS, namespace="shop")

    async def test_a_broken_one_is_named_and_not_replaced(self, opened, cluster):
        await self.put(opened, "s3cr3t: [")

        with pytest.raises(InvalidRequest, match="cni-migration-kubeconfig on seed lab is not valid YAML"):
            async with cluster.open():
                pass

    @pytest.mark.parametrize("secret", ["cni-migration-kubeconfig", "admin-kubeconfig"])
    async def test_one_that_may_not_be_read_is_named_with_what_to_grant(self, cluster, secret):
        cluster.seed_fault("403", method="GET", path=f"/secrets/{secret}$")

        with pytest.raises(Forbidden) as error:
            async with cluster.open():
                pass

        said = str(error.value)
        assert f"Secret cluster-{cluster.name}/{secret} on seed lab may not be read" in said
        assert "grant `get` on it to the account of connection lab" in said
        assert "deployments/rbac/seed.yaml" in said


class TestKubeconfigs:
    """The way into a user cluster lies in a Secret of its namespace on the seed."""

    async def put(self, opened, data):
        namespace = f"cluster-{opened.ref.name}"
        found = await seed_api(opened.seed).get(SECRETS, "admin-kubeconfig", namespace=namespace)
        await seed_api(opened.seed).delete(
            SECRETS, "admin-kubeconfig", namespace=namespace, uid=found["metadata"]["uid"]
        )
        if data is not None:
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "admin-kubeconfig", "namespace": namespace},
                "data": data,
            }
            await seed_api(opened.seed).create(SECRETS, body, namespace=namespace)

    async def reopen(self, cluster):
        async with open_cluster(ClusterRef(seed="lab", name=cluster.name), lambda line: None) as found:
            await found.api.list(CONFIG_MAPS, namespace="shop")

    BROKEN: tuple[tuple[dict[str, str] | None, str], ...] = (
        (None, "there is no Secret cluster-.*/admin-kubeconfig on seed lab"),
        ({}, "has no usable key 'kubeconfig'"),
        ({"kubeconfig": base64.b64encode(b"\xff\xfes3cr3t").decode()}, "has no usable key 'kubeconfig'"),
        ({"kubeconfig": base64.b64encode(b"s3cr3t: [").decode()}, "admin-kubeconfig on seed lab is not valid YAML"),
        ({"kubeconfig": base64.b64encode(b"token: s3cr3t").decode()}, "is not a kubeconfig"),
    )

    async def test_a_missing_or_broken_one_is_named_and_never_quoted(self, opened, cluster):
        for data, message in self.BROKEN:
            await self.put(opened, data)
            with pytest.raises(InvalidRequest, match=message) as error:
                await self.reopen(cluster)
            assert "s3cr3t" not in str(error.value)
            if data is None:
                await seed_api(opened.seed).create(
                    SECRETS,
                    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "admin-kubeconfig"}},
                    namespace=f"cluster-{cluster.name}",
                )
