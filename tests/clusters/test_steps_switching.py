"""Changing the Cluster's spec: what one patch holds, and whose changes are left alone."""

import json

import pytest

from clusters.backups import load_backup
from clusters.journal import read_migration
from clusters.kinds import CLUSTERS, SECRETS
from clusters.steps.cni_backup import installed_values, take_backup
from clusters.steps.marks import PROXY_MODE
from clusters.steps.switching import allow_cni_migration, switch_cni, switch_proxy_mode
from migration.errors import OperatorActionNeeded, Permanent, Rejected
from migration.models import Cni, CniType, Network, ProxyMode, Runbook, StepStatus
from migration.patches import INITIAL_VALUES
from tests.clusters.conftest import VERSION
from tests.clusters.killing import kill_at
from tests.clusters.on_cilium import SYSTEM, begin, begin_to_canal, put_on_cilium
from tests.seed_api import seed_api

SWITCH = {"server": "lab", "method": "PATCH"}
CILIUM = Cni(type=CniType.CILIUM, version=VERSION)


async def cluster_object(opened):
    return await seed_api(opened.seed).get(CLUSTERS, opened.ref.name)


async def annotate(opened, values):
    patch = {"metadata": {"annotations": {INITIAL_VALUES: values}}}
    await seed_api(opened.seed).patch(CLUSTERS, opened.ref.name, patch)


async def annotation(opened):
    return (await cluster_object(opened))["metadata"].get("annotations", {}).get(INITIAL_VALUES)


async def pause(opened):
    """Keep KKP from acting, so that the Cluster stays as the step left it."""
    await seed_api(opened.seed).patch(CLUSTERS, opened.ref.name, {"spec": {"pause": True}})


class TestToCanal:
    @pytest.fixture
    async def leaving(self, cluster, opened):
        await put_on_cilium(opened, mode=ProxyMode.EBPF)
        await pause(opened)
        return await begin_to_canal(cluster, opened)

    async def test_cni_and_mode_change_in_one_patch(self, cluster, opened, leaving):
        before = (await cluster_object(opened))["metadata"]["generation"]

        result = await switch_cni(opened, leaving)

        found = await cluster_object(opened)
        assert result.summary == "cilium 1.19.4 -> canal v3.30, kube-proxy mode iptables"
        assert found["spec"]["cniPlugin"] == {"type": "canal", "version": "v3.30"}
        assert found["spec"]["clusterNetwork"]["proxyMode"] == "iptables"
        assert found["metadata"]["generation"] == before + 1
        assert (await switch_cni(opened, leaving)).status is StepStatus.ALREADY

    async def test_what_runs_before_is_noted_before(self, cluster, opened, leaving):
        await kill_at(cluster, switch_cni(opened, leaving), "timeout", path=f"/clusters/{cluster.name}$", **SWITCH)

        marks = (await read_migration(opened.api, leaving.id)).marks
        assert marks[f"{PROXY_MODE}/kube-proxy"] == "absent"
        assert marks[f"{PROXY_MODE}/cilium"] != "absent"

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_a_switch_that_was_killed_is_made_once(self, cluster, opened, leaving, trouble):
        before = (await cluster_object(opened))["metadata"]["generation"]
        await kill_at(cluster, switch_cni(opened, leaving), trouble, path=f"/clusters/{cluster.name}$", **SWITCH)

        await switch_cni(opened, leaving)

        assert (await opened.seed.cluster(cluster.name)).network == leaving.desired
        assert (await cluster_object(opened))["metadata"]["generation"] == before + 1

    async def test_values_that_no_installation_has_read_do_not_wait_for_the_next_one(self, opened, leaving):
        await annotate(opened, '{"tunnelPort": 1}')

        await switch_cni(opened, leaving)

        assert await annotation(opened) is None

    async def test_without_the_label_kkp_refuses_and_nothing_changes(self, cluster, opened, leaving):
        await opened.seed.label(cluster.name, present=False)

        with pytest.raises(Rejected, match="unsafe-cni-migration"):
            await switch_cni(opened, leaving)

        assert (await opened.seed.cluster(cluster.name)).network == leaving.previous

    @pytest.mark.parametrize(
        "spec",
        [
            {"cniPlugin": {"type": "cilium", "version": "1.18.10"}},
            {"clusterNetwork": {"proxyMode": "nftables"}},
        ],
    )
    async def test_what_somebody_else_changed_meanwhile_is_left_alone(self, cluster, opened, leaving, spec):
        await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": spec})
        before = (await cluster_object(opened))["spec"]

        with pytest.raises(Permanent, match="somebody else works on it"):
            await switch_cni(opened, leaving)

        assert (await cluster_object(opened))["spec"] == before

    @pytest.mark.parametrize("trouble", ["409", "500", "429", "reset"])
    async def test_trouble_at_the_seed_is_outlived(self, cluster, opened, leaving, trouble):
        cluster.seed_fault(trouble, method="PATCH", times=2)

        await switch_cni(opened, leaving)

        assert (await opened.seed.cluster(cluster.name)).network == leaving.desired


class TestToCilium:
    @pytest.fixture
    async def leaving(self, cluster, opened):
        migration = await begin(
            cluster, opened, Runbook.CANAL_TO_CILIUM, desired_cni=CILIUM, desired_proxy_mode=ProxyMode.EBPF
        )
        await pause(opened)
        await allow_cni_migration(opened)
        return migration

    async def test_the_mode_stays_until_canal_is_gone(self, cluster, opened, leaving):
        await switch_cni(opened, leaving)

        assert (await opened.seed.cluster(cluster.name)).network == Network(cni=CILIUM, proxy_mode="iptables")
        assert json.loads(await annotation(opened))["tunnelPort"] == 8473

    async def test_then_the_mode_alone_changes_and_a_repeat_of_either_changes_nothing(self, cluster, opened, leaving):
        await switch_cni(opened, leaving)
        await annotate(opened, "{}")

        result = await switch_proxy_mode(opened, leaving)

        assert result.summary == "kube-proxy mode iptables -> ebpf"
        assert (await opened.seed.cluster(cluster.name)).network == leaving.desired
        assert await annotation(opened) == "{}"
        before = await cluster_object(opened)
        assert (await switch_cni(opened, leaving)).status is StepStatus.ALREADY
        assert (await switch_proxy_mode(opened, leaving)).status is StepStatus.ALREADY
        assert await cluster_object(opened) == before

    async def test_the_mode_never_changes_before_the_cni(self, cluster, opened, leaving):
        with pytest.raises(Permanent, match="somebody else works on it"):
            await switch_proxy_mode(opened, leaving)

        assert (await opened.seed.cluster(cluster.name)).network == leaving.previous


class TestBackToCilium:
    """The values that Cilium had come back with it, from the backup of the migration that is taken back."""

    @pytest.fixture
    async def returning(self, cluster, opened):
        await put_on_cilium(opened, tunnel_port=8999)
        taken_back = await begin_to_canal(cluster, opened)
        await switch_cni(opened, taken_back)
        await pause(opened)
        return await begin(cluster, opened, Runbook.CANAL_TO_CILIUM, desired_cni=CILIUM, reverts=taken_back.id)

    async def test_its_former_values_are_given_back(self, opened, returning):
        await switch_cni(opened, returning)

        before = await self.former_values(opened, returning)
        assert json.loads(await annotation(opened)) == before
        assert before["tunnelPort"] == 8999

    async def test_a_former_tunnel_on_flannels_port_moves(self, opened, returning):
        before = {**await self.former_values(opened, returning), "tunnelPort": 0}
        found = {"kind": "ApplicationInstallation", "metadata": {"name": "cilium"}, "spec": {"values": before}}
        await take_backup(opened, returning.reverts, "cilium", [found])

        await switch_cni(opened, returning)

        assert json.loads(await annotation(opened)) == {**before, "tunnelPort": 8473}

    async def former_values(self, opened, returning):
        stored = (await read_migration(opened.api, returning.reverts)).backup("cilium")
        assert stored is not None
        return installed_values(await load_backup(opened.api, stored))

    async def test_values_whose_backup_is_lost_are_not_guessed(self, cluster, opened, returning):
        for item in await opened.api.list(SECRETS, namespace=SYSTEM, labels=f"cni-migration/id={returning.reverts}"):
            name, uid = item["metadata"]["name"], item["metadata"]["uid"]
            await opened.api.delete(SECRETS, name, namespace=SYSTEM, uid=uid)

        with pytest.raises(OperatorActionNeeded, match="former Helm values are lost"):
            await switch_cni(opened, returning)

        assert (await opened.seed.cluster(cluster.name)).cni.type is CniType.CANAL
