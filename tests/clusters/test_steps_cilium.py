import json
from datetime import timedelta

import pytest

from clusters.kinds import APPLICATION_INSTALLATIONS, CILIUM_ENDPOINTS, CLUSTERS, SECRETS
from clusters.steps.cilium import (
    RELEASE,
    remove_stale_cilium,
    verify_pods_on_cilium,
    wait_for_cilium,
)
from clusters.steps.pods import restart_pods
from clusters.steps.switching import allow_cni_migration, switch_cni
from migration.errors import DeadlineExceeded, Permanent, PlatformFailed, Rejected
from migration.models import BarePodChoice, CniType, RestartOptions, StepStatus
from migration.patches import UNSAFE_CNI_MIGRATION
from tests.clusters.conftest import SOON, VERSION
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes
from tests.seed_api import seed_api

OPTIONS = RestartOptions()
RELEASE_LABELS = f"owner=helm,name={RELEASE}"


def wait(opened, *, deadline=SOON):
    return wait_for_cilium(opened, version=VERSION, deadline=deadline)


async def application(opened):
    return await opened.api.find(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")


def releases(opened):
    return opened.api.list(SECRETS, namespace="kube-system", labels=RELEASE_LABELS)


async def make_release(opened, number=1):
    name = f"sh.helm.release.v1.{RELEASE}.v{number}"
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"owner": "helm", "name": RELEASE, "version": str(number)}},
        "type": "helm.sh/release.v1",
        "data": {"release": "eA=="},
    }
    await opened.api.create(SECRETS, body, namespace="kube-system")


async def make_application(opened):
    """Leave an ApplicationInstallation as an earlier migration leaves it, installed and with a release."""
    body = {
        "apiVersion": "apps.kubermatic.k8c.io/v1",
        "kind": "ApplicationInstallation",
        "metadata": {"name": "cilium"},
        "spec": {
            "namespace": {"name": "kube-system", "create": False},
            "applicationRef": {"name": "cilium", "version": VERSION},
            "values": {},
        },
    }
    await opened.api.create(APPLICATION_INSTALLATIONS, body, namespace="kube-system")
    await becomes(lambda: releases(opened))


class TestStaleCilium:
    def remove(self, opened, *, deadline=SOON):
        return remove_stale_cilium(opened, deadline=deadline)

    async def test_a_cluster_without_any_has_nothing_to_do(self, opened):
        result = await self.remove(opened)

        assert (result.status, result.summary) == (StepStatus.ALREADY, "there was none")

    async def test_a_release_that_was_left_alone_is_removed(self, opened):
        await make_release(opened, 1)
        await make_release(opened, 2)

        result = await self.remove(opened)

        assert result.summary == "ApplicationInstallation absent, 2 Helm releases removed"
        assert await releases(opened) == []

    async def test_an_application_of_an_earlier_migration_goes_with_its_release(self, opened):
        await make_application(opened)

        result = await self.remove(opened)

        assert result.status is StepStatus.CHANGED
        assert await application(opened) is None
        assert await releases(opened) == []
        assert (await self.remove(opened)).status is StepStatus.ALREADY

    async def test_other_releases_stay(self, opened):
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "sh.helm.release.v1.shop.v1", "labels": {"owner": "helm", "name": "shop"}},
        }
        await opened.api.create(SECRETS, body, namespace="kube-system")

        await self.remove(opened)

        assert await opened.api.find(SECRETS, "sh.helm.release.v1.shop.v1", namespace="kube-system")

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_a_removal_that_was_killed_goes_on(self, cluster, opened, trouble):
        await make_application(opened)
        await kill_at(cluster, self.remove(opened), trouble, method="DELETE", path="/applicationinstallations/cilium$")

        await self.remove(opened)

        assert await application(opened) is None
        assert await releases(opened) == []

    async def test_an_application_that_stays_is_named(self, opened, cluster):
        await make_application(opened)
        patch = {"metadata": {"finalizers": ["tests.example.test/keep"]}}
        await opened.api.patch(APPLICATION_INSTALLATIONS, "cilium", patch, namespace="kube-system")
        await make_release(opened, 7)

        with pytest.raises(DeadlineExceeded, match="look at its finalizer"):
            await self.remove(opened, deadline=timedelta(seconds=1))

        assert len(await releases(opened)) >= 1

    async def test_cilium_that_was_switched_to_is_not_stale(self, opened, beside):
        result = await self.remove(opened)

        assert result.status is StepStatus.ALREADY
        assert await application(opened) is not None
        assert len(await releases(opened)) == 1


class TestSwitch:
    async def test_the_label_comes_first_and_once(self, opened, migration):
        first, second = await allow_cni_migration(opened), await allow_cni_migration(opened)

        assert (first.status, second.status) == (StepStatus.CHANGED, StepStatus.ALREADY)
        assert UNSAFE_CNI_MIGRATION in (await opened.seed.cluster(opened.ref.name)).labels

    async def test_without_the_label_kkps_own_words_say_so(self, opened, migration):
        with pytest.raises(Rejected, match="unless unsafe-cni-migration label is present"):
            await switch_cni(opened, migration)

        assert (await opened.seed.cluster(opened.ref.name)).cni == migration.previous_cni

    async def test_the_first_values_are_kkps_defaults_and_a_free_tunnel_port(self, opened, migration):
        await allow_cni_migration(opened)
        result = await switch_cni(opened, migration)
        again = await switch_cni(opened, migration)
        found = await becomes(lambda: application(opened))

        assert result.summary == "canal v3.30 -> cilium 1.19.4, tunnel port 8473"
        assert (again.status, again.summary) == (StepStatus.ALREADY, "the Cluster said cilium 1.19.4")
        values = found["spec"]["valuesBlock"]
        defaults = await opened.seed.cilium_defaults()
        assert "tunnelPort: 8473" in values or json.dumps({"tunnelPort": 8473})[1:-1] in values
        assert all(key in values for key in defaults)

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_a_switch_that_was_killed_goes_on(self, cluster, opened, migration, trouble):
        await allow_cni_migration(opened)
        where = {"server": "lab", "path": f"/clusters/{cluster.name}$"}
        await kill_at(cluster, switch_cni(opened, migration), trouble, method="PATCH", **where)

        await switch_cni(opened, migration)

        assert (await opened.seed.cluster(cluster.name)).cni == migration.desired_cni
        await wait(opened)

    async def test_a_cluster_that_somebody_switched_elsewhere_is_left_alone(self, opened, migration):
        await allow_cni_migration(opened)
        patch = {"spec": {"cniPlugin": {"type": "cilium", "version": "1.18.10"}}}
        await seed_api(opened.seed).patch(CLUSTERS, opened.ref.name, patch)

        with pytest.raises(Permanent, match="somebody else works on it"):
            await switch_cni(opened, migration)

    async def test_a_seed_without_the_definition_is_refused_before_anything_changes(self, cluster, opened, migration):
        await allow_cni_migration(opened)
        cluster.fault("401", server="lab", path="/applicationdefinitions/cilium$", method="GET")

        with pytest.raises(Permanent):
            await switch_cni(opened, migration)

        assert (await opened.seed.cluster(cluster.name)).cni == migration.previous_cni


class TestWait:
    @pytest.fixture
    async def switched(self, opened, migration):
        await allow_cni_migration(opened)
        await switch_cni(opened, migration)
        return migration

    async def test_cilium_on_every_node_ends_the_wait_and_a_repeat_at_once(self, opened, switched):
        result = await wait(opened)

        assert (result.status, result.summary) == (StepStatus.CONFIRMED, "Cilium 1.19.4 runs on 2 nodes")
        assert (await wait(opened)).status is StepStatus.CONFIRMED

    async def test_an_agent_that_crashes_is_named_with_its_message(self, cluster, opened, migration):
        cluster.platform_fault("agent-crash-loop", message="bind: address already in use")
        await allow_cni_migration(opened)
        await switch_cni(opened, migration)

        with pytest.raises(DeadlineExceeded, match=r"Cilium 1\.19\.4 on every node") as error:
            await wait(opened, deadline=timedelta(seconds=1.5))

        told = " ".join([*cluster.told, str(error.value)])
        assert "CrashLoopBackOff" in told
        assert "address already in use" in told
        assert "Canal still carries the pods" in str(error.value)

    async def test_a_control_plane_that_does_not_roll_is_named_as_the_gate(self, cluster, opened, migration):
        cluster.platform_fault("slow-control-plane", subject=cluster.name)
        await allow_cni_migration(opened)
        await switch_cni(opened, migration)

        with pytest.raises(DeadlineExceeded, match="the control plane to be healthy before KKP installs Cilium"):
            await wait(opened, deadline=timedelta(seconds=1.5))

    async def test_helm_giving_up_ends_the_wait_and_the_next_one_makes_it_try_anew(self, cluster, opened, migration):
        fault = cluster.platform_fault("helm-failure", subject="cilium", message="no such image")
        await allow_cni_migration(opened)
        await switch_cni(opened, migration)
        with pytest.raises(PlatformFailed, match="no such image"):
            await wait(opened)
        cluster.lab.remote.clear_faults(fault)

        result = await wait(opened)

        assert result.status is StepStatus.CONFIRMED
        assert any("making it try again" in line for line in cluster.told)
        assert "tunnelPort" in (await application(opened))["spec"]["valuesBlock"]

    async def test_every_new_try_is_one(self, cluster, opened, migration):
        cluster.platform_fault("helm-failure", subject="cilium", message="no such image")
        await allow_cni_migration(opened)
        await switch_cni(opened, migration)
        generations = []
        for _ in range(3):
            with pytest.raises(PlatformFailed):
                await wait(opened)
            generations.append((await application(opened))["metadata"]["generation"])

        assert generations == sorted(set(generations))


class TestVerification:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr("clusters.steps.pods.QUIET_SECONDS", (0.1, 0.1))

    def verify(self, opened, options=OPTIONS, *, deadline=SOON):
        return verify_pods_on_cilium(opened, options, deadline=deadline)

    async def test_pods_that_are_still_on_canal_are_named(self, opened, beside):
        with pytest.raises(DeadlineExceeded, match=r"a CiliumEndpoint for each of \d+ pods \(batch/"):
            await self.verify(opened, deadline=timedelta(seconds=0.5))

    async def test_pods_that_moved_end_the_wait(self, opened, beside):
        await restart_pods(opened, beside.id, RestartOptions(), target=CniType.CILIUM, deadline=SOON)

        assert (await self.verify(opened)).status is StepStatus.CONFIRMED

    async def test_pods_that_were_spared_by_choice_are_not_waited_for(self, opened, beside):
        options = RestartOptions(bare_pods=BarePodChoice.SKIP)
        await restart_pods(opened, beside.id, options, target=CniType.CILIUM, deadline=SOON)

        assert (await self.verify(opened, options)).status is StepStatus.CONFIRMED
        with pytest.raises(DeadlineExceeded, match=r"each of 1 pods \(shop/debug-shell\)"):
            await self.verify(opened, deadline=timedelta(seconds=0.5))

    async def test_a_count_of_endpoints_proves_nothing(self, opened, beside):
        """There is an endpoint too many, of a pod that is gone, and one pod on Canal."""
        options = RestartOptions(bare_pods=BarePodChoice.SKIP)
        await restart_pods(opened, beside.id, options, target=CniType.CILIUM, deadline=SOON)
        endpoint = {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumEndpoint",
            "metadata": {"name": "debug-shell"},
            "status": {"networking": {"addressing": [{"ipv4": "172.25.99.99"}]}},
        }
        await opened.api.create(CILIUM_ENDPOINTS, endpoint, namespace="shop")

        with pytest.raises(DeadlineExceeded, match="shop/debug-shell"):
            await self.verify(opened, deadline=timedelta(seconds=0.5))
