from pathlib import Path

import pytest
import yaml

from clusters.backups import load_backup
from clusters.journal import read_migration
from clusters.kinds import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Kind,
)
from clusters.steps.addon_inventory import calico_objects
from clusters.steps.addon_removal import remove_canal
from clusters.steps.bookkeeping import begin_migration
from clusters.steps.cilium_removal import remove_cilium
from clusters.steps.cni_backup import back_up
from clusters.steps.manifest_lookup import look_up_manifest, look_up_old_cni
from clusters.steps.manifest_removal import read_plan, remove_by_manifest
from migration.errors import DeadlineExceeded, InvalidRequest, OperatorActionNeeded
from migration.manifest_findings import manifest_findings
from migration.models import CniType, Runbook, StepStatus
from tests.clusters.by_hand import DEFINITION, install_by_hand, left_of
from tests.clusters.conftest import SOON
from tests.clusters.killing import kill_at

HERE = "kube-system"
WITHOUT_OBJECTS = {"bgppeers.crd.projectcalico.org", "bgpfilters.crd.projectcalico.org"}
WITH_OBJECTS = "globalnetworkpolicies.crd.projectcalico.org"


@pytest.fixture
async def by_hand(opened, beside, tmp_path):
    """Canal without the label of KKP beside Cilium, as it is where somebody installed it; returns its manifest."""
    return await install_by_hand(opened, tmp_path / "canal.yaml")


def remove(opened, migration, manifest, *, remove_crds=False, deadline=SOON):
    return remove_canal(opened, migration.id, remove_crds=remove_crds, deadline=deadline, manifest=manifest)


async def stored(opened, migration):
    backup = (await read_migration(opened.api, migration.id)).backup("manifest")
    assert backup is not None
    return await load_backup(opened.api, backup)


def places(objects):
    return sorted(f"{item['kind']} {item['metadata']['name']}" for item in objects)


def add(manifest, *bodies):
    with Path(manifest).open("a", encoding="utf-8") as file:
        file.writelines("---\n" + yaml.safe_dump(body) for body in bodies)


def body_of(api_version, kind, name, namespace=HERE, **rest):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


class TestCanal:
    async def test_what_was_installed_by_hand_goes_by_its_manifest_and_definitions_stay(self, opened, beside, by_hand):
        before, calico = await left_of(opened, by_hand), await calico_objects(opened.api)

        result = await remove(opened, beside, by_hand)

        assert result.status is StepStatus.CHANGED
        assert result.summary == f"{len(before)} objects of Canal removed; its CustomResourceDefinitions stay"
        assert result.findings == ()
        assert await left_of(opened, by_hand) == []
        assert await opened.api.list(PODS, namespace=HERE, labels="k8s-app=canal") == []
        assert places(await stored(opened, beside)) == sorted(before)
        assert await calico_objects(opened.api) == calico
        assert (await remove(opened, beside, by_hand)).status is StepStatus.ALREADY

    async def test_definitions_go_if_asked_for_and_never_those_with_objects(self, opened, beside, by_hand):
        calico = await calico_objects(opened.api)

        result = await remove(opened, beside, by_hand, remove_crds=True)

        assert await left_of(opened, by_hand) == []
        left = {
            item.removeprefix("CustomResourceDefinition ") for item in await left_of(opened, by_hand, definitions=True)
        }
        assert WITH_OBJECTS in left
        assert not WITHOUT_OBJECTS & left
        assert await calico_objects(opened.api) == calico
        assert {finding.subject.removeprefix("CustomResourceDefinition ") for finding in result.findings} == left
        assert {finding.code for finding in result.findings} == {"manifest-leaves"}
        kept = places(await stored(opened, beside))
        assert {f"CustomResourceDefinition {name}" for name in WITHOUT_OBJECTS} <= set(kept)

    async def test_namespaces_and_what_is_not_canals_stay(self, opened, beside, by_hand):
        await opened.api.create(SERVICE_ACCOUNTS, body_of("v1", "ServiceAccount", "shop"), namespace=HERE)
        add(
            by_hand,
            body_of("v1", "Namespace", HERE, ""),
            body_of("v1", "Namespace", "shop", ""),
            body_of("v1", "ServiceAccount", "shop"),
        )

        result = await remove(opened, beside, by_hand)

        assert [finding.subject for finding in result.findings] == [
            "Namespace kube-system",
            "Namespace shop",
            "ServiceAccount kube-system/shop",
        ]
        for name in (HERE, "shop"):
            assert "deletionTimestamp" not in (await opened.api.get(NAMESPACES, name))["metadata"]
        assert await opened.api.find(SERVICE_ACCOUNTS, "shop", namespace=HERE)
        assert await left_of(opened, by_hand) == []

    @pytest.mark.parametrize("name", ["kube-proxy", "cilium"])
    async def test_a_manifest_that_is_not_canals_is_refused_before_anything_goes(self, opened, beside, by_hand, name):
        before = await left_of(opened, by_hand)
        add(by_hand, body_of("apps/v1", "DaemonSet", name))

        with pytest.raises(InvalidRequest, match=f"names DaemonSet kube-system/{name}"):
            await remove(opened, beside, by_hand)

        assert await left_of(opened, by_hand) == before

    async def test_a_manifest_that_is_not_there_is_told_before_anything_goes(self, opened, beside, by_hand):
        before = await left_of(opened, by_hand)

        with pytest.raises(InvalidRequest, match=r"gone\.yaml can't be read"):
            await remove(opened, beside, "gone.yaml")

        assert await left_of(opened, by_hand) == before

    async def test_what_another_owns_by_now_stays(self, opened, beside, by_hand):
        label = {"metadata": {"labels": {"kubermatic-addon": "shop"}}}
        release = {"metadata": {"annotations": {"meta.helm.sh/release-name": "shop"}}}
        await opened.api.patch(CONFIG_MAPS, "canal-config", label, namespace=HERE)
        await opened.api.patch(CLUSTER_ROLES, "flannel", release)

        result = await remove(opened, beside, by_hand)

        assert {finding.subject: finding.seen for finding in result.findings} == {
            "ConfigMap kube-system/canal-config": "it stays: it is of KKP's addon shop",
            "ClusterRole flannel": "it stays: it is of the Helm release shop",
        }
        assert sorted(await left_of(opened, by_hand)) == ["ClusterRole flannel", "ConfigMap canal-config"]

    async def test_agents_that_another_controls_keep_everything_in_place(self, opened, beside, by_hand):
        before = await left_of(opened, by_hand)
        config = await opened.api.get(CONFIG_MAPS, "canal-config", namespace=HERE)
        owner = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "canal-config",
            "uid": config["metadata"]["uid"],
            "controller": True,
        }
        await opened.api.patch(DAEMON_SETS, "canal", {"metadata": {"ownerReferences": [owner]}}, namespace=HERE)

        with pytest.raises(
            OperatorActionNeeded, match=r"DaemonSet kube-system/canal \(ConfigMap canal-config controls"
        ):
            await remove(opened, beside, by_hand)

        assert await left_of(opened, by_hand) == before

    KILLS = (
        ("timeout", "POST", "/secrets$"),
        ("timeout-after", "POST", "/secrets$"),
        ("timeout-after", "PUT", "/configmaps/cni-migration$"),
        ("timeout", "DELETE", "/daemonsets/canal$"),
        ("timeout-after", "DELETE", "/daemonsets/canal$"),
        ("timeout-after", "DELETE", "/configmaps/canal-config$"),
        ("timeout-after", "DELETE", "/clusterroles/flannel$"),
        ("timeout-after", "DELETE", "/customresourcedefinitions/bgppeers"),
    )

    @pytest.mark.parametrize("where", KILLS)
    async def test_a_removal_that_was_killed_goes_on(self, cluster, opened, beside, by_hand, where):
        trouble, method, path = where
        before = await left_of(opened, by_hand)
        killed = remove(opened, beside, by_hand, remove_crds=True)
        await kill_at(cluster, killed, trouble, method=method, path=path)

        await remove(opened, beside, by_hand, remove_crds=True)

        assert await left_of(opened, by_hand) == []
        kept = places(await stored(opened, beside))
        assert set(before) <= set(kept)
        assert {f"CustomResourceDefinition {name}" for name in WITHOUT_OBJECTS} <= set(kept)

    async def lose_backup(self, opened, migration):
        for secret in (await read_migration(opened.api, migration.id)).backup("manifest").secrets:
            found = await opened.api.get(SECRETS, secret, namespace=HERE)
            await opened.api.delete(SECRETS, secret, namespace=HERE, uid=found["metadata"]["uid"])

    async def test_a_lost_backup_is_taken_anew_while_everything_is_there(self, cluster, opened, beside, by_hand):
        before = await left_of(opened, by_hand)
        await kill_at(cluster, remove(opened, beside, by_hand), "timeout", method="DELETE", path="/daemonsets/canal$")
        await self.lose_backup(opened, beside)

        await remove(opened, beside, by_hand)

        assert places(await stored(opened, beside)) == sorted(before)

    async def test_a_lost_backup_stops_a_removal_that_is_half_done(self, cluster, opened, beside, by_hand):
        where = {"method": "DELETE", "path": "/configmaps/canal-config$"}
        await kill_at(cluster, remove(opened, beside, by_hand), "timeout", **where)
        await self.lose_backup(opened, beside)

        with pytest.raises(OperatorActionNeeded, match="Nothing more is removed"):
            await remove(opened, beside, by_hand)

        assert "ConfigMap canal-config" in await left_of(opened, by_hand)

    async def test_what_does_not_go_is_named(self, opened, beside, by_hand):
        patch = {"metadata": {"finalizers": ["tests.example.test/keep"]}}
        await opened.api.patch(CONFIG_MAPS, "canal-config", patch, namespace=HERE)

        with pytest.raises(
            DeadlineExceeded, match=r"1 objects of the manifest to go \(configmaps kube-system/canal-con"
        ):
            await remove(opened, beside, by_hand, deadline=SOON / 15)

    async def test_a_throttled_server_is_asked_again(self, cluster, opened, beside, by_hand):
        cluster.fault("429", method="DELETE", path="/daemonsets/canal$")

        await remove(opened, beside, by_hand)

        assert await left_of(opened, by_hand) == []

    async def test_a_plan_of_nothing_that_is_there_changes_nothing(self, opened, beside, tmp_path):
        add(tmp_path / "other.yaml", body_of("v1", "ConfigMap", "calico-of-another-version"))
        plan = await read_plan(str(tmp_path / "other.yaml"), old_cni=CniType.CANAL)

        found = await remove_by_manifest(opened, beside.id, plan, remove_crds=True, pods=(), deadline=SOON)

        assert (found.removed, found.findings) == (0, ())
        assert (await read_migration(opened.api, beside.id)).backup("manifest") is None


class TestLookingBefore:
    async def test_what_kkp_installed_needs_no_manifest(self, shared_opened):
        facts = await look_up_old_cni(shared_opened, old_cni=CniType.CANAL, manifest="", remove_crds=False)

        assert manifest_findings(facts) == ()

    async def test_canal_without_a_label_needs_a_manifest_that_names_it(self, opened, beside, by_hand):
        without = await look_up_old_cni(opened, old_cni=CniType.CANAL, manifest="", remove_crds=False)
        named = await look_up_old_cni(opened, old_cni=CniType.CANAL, manifest=by_hand, remove_crds=False)

        assert without.unlabelled == ("DaemonSet kube-system/canal", "Deployment kube-system/calico-kube-controllers")
        assert [finding.code for finding in manifest_findings(without)] == ["old-cni-unlabelled"]
        assert [finding.code for finding in manifest_findings(named)] == ["manifest-removes"]

    async def test_the_dry_run_tells_what_goes_in_its_order_and_changes_nothing(self, opened, beside, by_hand):
        before = await left_of(opened, by_hand)

        facts = await look_up_manifest(opened, by_hand, old_cni=CniType.CANAL, remove_crds=True)

        kinds = [name.partition(" ")[0] for name in facts.objects]
        assert kinds[:2] == ["DaemonSet", "Deployment"]
        assert kinds[-1] == "CustomResourceDefinition"
        assert {name for name in facts.objects if name.startswith("Custom")}.isdisjoint(
            finding.subject for finding in facts.left
        )
        assert f"CustomResourceDefinition {WITH_OBJECTS}" in {finding.subject for finding in facts.left}
        assert await left_of(opened, by_hand) == before

    @pytest.mark.parametrize("source", ["gone.yaml", "file:///etc/passwd", "http://127.0.0.1:9/canal.yaml"])
    async def test_a_manifest_that_can_not_be_read_is_a_problem_and_no_crash(self, shared_opened, source):
        facts = await look_up_manifest(shared_opened, source, old_cni=CniType.CANAL, remove_crds=False)

        assert source in facts.problem


SERVICE_MONITORS = Kind("monitoring.coreos.com", "v1", "servicemonitors", custom=True)
MONITORED = {
    **DEFINITION,
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"plural": "servicemonitors", "singular": "servicemonitor", "kind": "ServiceMonitor", "listKind": "L"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}
SECRETS_NAMESPACE = "cilium-secrets"
CHART = (
    (CONFIG_MAPS, body_of("v1", "ConfigMap", "cilium-config", data={"a": "b"})),
    (SECRETS, body_of("v1", "Secret", "cilium-ca", data={"ca.key": "a2V5"})),
    (SERVICE_ACCOUNTS, body_of("v1", "ServiceAccount", "cilium")),
    (ROLES, body_of("rbac.authorization.k8s.io/v1", "Role", "cilium-tls", SECRETS_NAMESPACE, rules=[])),
    (CLUSTER_ROLES, body_of("rbac.authorization.k8s.io/v1", "ClusterRole", "cilium", "", rules=[])),
    (SERVICES, body_of("v1", "Service", "hubble-peer", spec={"ports": [{"port": 443}]})),
    (SERVICE_MONITORS, body_of("monitoring.coreos.com/v1", "ServiceMonitor", "cilium-agent")),
)


def workload(api_version, kind, name, **spec):
    labels = {"k8s-app": name}
    containers = [{"name": "main", "image": "quay.io/cilium/cilium:v1.11.0"}]
    template = {"metadata": {"labels": labels}, "spec": {"hostNetwork": True, "containers": containers}}
    return body_of(api_version, kind, name, spec={"selector": {"matchLabels": labels}, "template": template, **spec})


def is_here(body):
    return body["metadata"].get("namespace") == HERE


def hook():
    containers = [{"name": "certgen", "image": "quay.io/cilium/certgen:v0.1.5"}]
    spec = {"template": {"spec": {"restartPolicy": "Never", "hostNetwork": True, "containers": containers}}}
    found = body_of("batch/v1", "Job", "hubble-generate-certs", spec=spec)
    found["metadata"]["annotations"] = {"helm.sh/hook": "post-install,post-upgrade"}
    return found


class TestCilium:
    @pytest.fixture
    async def rendered(self, opened, tmp_path):
        """Cilium as `helm template | kubectl apply` leaves it; returns what was rendered, without namespaces."""
        await opened.api.create(CUSTOM_RESOURCE_DEFINITIONS, MONITORED)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SECRETS_NAMESPACE}}
        await opened.api.create(NAMESPACES, namespace)
        chart = (
            *CHART,
            (DAEMON_SETS, workload("apps/v1", "DaemonSet", "cilium")),
            (DEPLOYMENTS, workload("apps/v1", "Deployment", "cilium-operator", replicas=1)),
            (JOBS, hook()),
        )
        for kind, body in chart:
            await opened.api.create(kind, body, namespace=body["metadata"].get("namespace", ""))
        path = tmp_path / "cilium.yaml"
        bodies = [body for _, body in chart]
        unplaced = [{**body, "metadata": {"name": body["metadata"]["name"]}} for body in bodies if is_here(body)]
        add(path, *unplaced, *(body for body in bodies if not is_here(body)), namespace)
        return str(path), chart

    async def test_a_rendered_chart_goes_but_for_its_namespace(self, cluster, opened, rendered):
        manifest, chart = rendered
        canal = (await opened.seed.cluster(cluster.name)).cni
        request = cluster.request.model_copy(
            update={"runbook": Runbook.CILIUM_TO_CANAL, "desired_cni": canal, "accept": ("not-on-cilium",)}
        )
        migration = await begin_migration(opened, request)
        await back_up(opened, migration.id)

        result = await remove_cilium(opened, migration.id, deadline=SOON, manifest=manifest)

        assert result.status is StepStatus.CHANGED
        assert [finding.subject for finding in result.findings] == [f"Namespace {SECRETS_NAMESPACE}"]
        assert f"kubectl delete namespace {SECRETS_NAMESPACE}" in result.findings[0].advice
        for kind, body in chart:
            metadata = body["metadata"]
            assert await opened.api.find(kind, metadata["name"], namespace=metadata.get("namespace", "")) is None
        assert len(await stored(opened, migration)) == len(chart)
        assert await opened.api.find(NAMESPACES, SECRETS_NAMESPACE)
        again = await remove_cilium(opened, migration.id, deadline=SOON, manifest=manifest)
        assert again.status is StepStatus.ALREADY
