"""Every finding of the readiness check fires on a cluster made for it, through the API.

The clusters stand still: nothing but the test acts on them, so that conditions can be put together freely.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.journal import change_journal
from clusters.kinds import (
    API_SERVICES,
    APPLICATION_DEFINITIONS,
    CLUSTERS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    JOBS,
    MACHINE_DEPLOYMENTS,
    NETWORK_POLICIES,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICE_ACCOUNTS,
    VALIDATING_WEBHOOKS,
)
from clusters.survey import survey_cluster
from migration.models import (
    BarePodChoice,
    ClusterRef,
    Cni,
    CniType,
    MigrationRequest,
    ProbeOptions,
    ProxyMode,
    RestartOptions,
    Runbook,
    Severity,
)
from migration.readiness import blockers, findings
from migration.readiness.codes import SEVERITIES
from migration.schedules import Schedule
from migration.windows import Maintenance, Window
from tests.clusters.prepared import WITHOUT, Prepared, _patch_status, codes_of, prepared
from tests.rights import apply, user_cluster_manifests
from tests.running_lab import RunningLab, lab_process
from tests.unit.making import make_migration

CLUSTERS_NEEDED = 17
SMALL = ("--nodes", "1", "--pods", "1", *(option for part in WITHOUT for option in ("--without", part)))
UNLOCKED = {"labels": {"unsafe-cni-migration": ""}}
ON_CILIUM = {"cniPlugin": {"type": "cilium", "version": "1.19.4"}}
SEEN: set[str] = set()
"""The codes that the tests of this module have seen firing."""


@pytest.fixture(scope="module")
def still_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with lab_process(tmp_path_factory.mktemp("still") / "lab", "--clusters", str(CLUSTERS_NEEDED), *SMALL) as lab:
        yield lab


@pytest.fixture(scope="module")
def names(still_lab: RunningLab) -> list[str]:
    return [cluster["name"] for cluster in still_lab.clusters()]


@pytest.fixture
def name(still_lab: RunningLab, names: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A cluster that nobody has touched."""
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(still_lab.connections))
    return names.pop()


def request_for(name: str, **fields) -> MigrationRequest:
    runbook = fields.setdefault("runbook", Runbook.CANAL_TO_CILIUM)
    version = fields.pop("version", {Runbook.CANAL_TO_CILIUM: "1.19.4", Runbook.CILIUM_TO_CANAL: "v3.31"}.get(runbook))
    kind = {Runbook.CANAL_TO_CILIUM: CniType.CILIUM, Runbook.CILIUM_TO_CANAL: CniType.CANAL}.get(runbook)
    cni = Cni(type=kind, version=version) if kind else None
    return MigrationRequest(cluster=ClusterRef(seed="lab", name=name), desired_cni=cni, **fields)


async def fires(request: MigrationRequest, *expected: str) -> None:
    """Survey the cluster, and see that each of these fires."""
    found = await codes_of(request)
    assert set(expected) <= set(found), sorted(set(expected) - set(found))
    SEEN.update(found)


async def test_a_sound_cluster_is_told_nothing_but_what_no_api_shows(name):
    async with prepared(name) as cluster:
        await cluster.node()

    assert set(await codes_of(request_for(name))) == {"tunnel-port", "quota-unseen"}
    by_rest = request_for(name).model_copy(update={"cluster": ClusterRef(seed="lab-api", name=name)})
    assert set(await codes_of(by_rest)) == {"tunnel-port", "quota-unseen", "platform-unseen"}
    await fires(by_rest, "platform-unseen")


async def test_what_is_asked_for(name):
    """Nothing is wrong with the cluster here, but with the request."""
    async with prepared(name) as cluster:
        await cluster.node()
        await cluster.cluster(metadata=UNLOCKED, spec={"clusterNetwork": {"proxyMode": "ipvs"}})
    probes = ProbeOptions(enabled=True)

    await fires(request_for(name, version="latest", probes=probes), "version-invalid", "probe-image")
    await fires(request_for(name, version="v1.11", tunnel_port=8472), "version-not-installable", "tunnel-port-clash")
    await fires(request_for(name, version="1.99.0"), "version-not-offered", "tunnel-port", "ipvs-with-cilium")
    to_canal = request_for(name, runbook=Runbook.CILIUM_TO_CANAL, version="v3.21", rotate_nodes=False)
    await fires(to_canal, "not-on-cilium", "version-deprecated", "nodes-keep-cilium")
    change = {"runbook": Runbook.CHANGE_PROXY_MODE}
    await fires(request_for(name, desired_proxy_mode=ProxyMode.EBPF, **change), "ebpf-on-canal", "quota-unseen")
    await fires(request_for(name, desired_proxy_mode=ProxyMode.IPVS, **change), "mode-already-set")


async def test_a_cluster_that_kkp_passes_over(name):
    async with prepared(name) as cluster:
        labels = {"worker-name": "ops-laptop", "kustomize.toolkit.fluxcd.io/name": "clusters"}
        await cluster.cluster(
            metadata={"labels": labels, "finalizers": ["example.test/keep"]},
            spec={"pause": True, "features": {"kubeSystemNetworkPolicies": True}},
            status={"phase": "Updating", "extendedHealth": {"etcd": "HealthStatusDown"}},
        )
        found = await cluster.seed.get(CLUSTERS, name)
        await cluster.seed.delete(CLUSTERS, name, uid=found["metadata"]["uid"])

    await fires(
        request_for(name),
        *("cluster-deleted", "cluster-paused", "cluster-unhealthy", "cluster-updating", "worker-name", "no-nodes"),
        *("gitops-owner", "hubble-blocked"),
    )


async def test_another_migration_and_addresses_of_both_families(name):
    async with prepared(name) as cluster:
        await cluster.node()
        blocks, services = ["172.25.0.0/23", "fd01::/48"], ["10.240.16.0/20", "fd02::/108"]
        await cluster.remade(ipFamily="IPv4+IPv6", pods={"cidrBlocks": blocks}, services={"cidrBlocks": services})
        await cluster.node("node-2")
        await change_journal(cluster.api, lambda journal: journal.with_migration(make_migration()))

    to_canal = {"runbook": Runbook.CILIUM_TO_CANAL, "version": "v3.21"}
    await fires(request_for(name, version="1.18.10"), "other-migration", "dual-stack", "pod-ranges-short")
    await fires(request_for(name, **to_canal), "canal-without-dual-stack", "other-migration")


async def test_nodes_and_machines(name):
    async with prepared(name) as cluster:
        await cluster.node("old", kernelVersion="5.4.0-200-generic")
        await cluster.node("bad", kernelVersion="5.15.0-47-generic", osImage="Ubuntu 22.04.3 LTS")
        await cluster.node("odd", architecture="s390x", ready=False)
        await cluster.node("shut", spec={"unschedulable": True, "taints": [{"key": "gpu", "effect": "NoSchedule"}]})
        await cluster.node("own", labels={})
        await cluster.machine_deployment(paused=True)

        await fires(
            request_for(name, version="1.18.10"),
            *("kernel-too-old", "kernel-known-bad", "node-architecture", "node-not-ready", "node-cordoned"),
            *("node-tainted", "node-without-machine", "machine-deployment-paused"),
        )
        nftables = request_for(name, runbook=Runbook.CHANGE_PROXY_MODE, desired_proxy_mode=ProxyMode.NFTABLES)
        await fires(nftables, "kernel-too-old")
        await cluster.machine_deployment(paused=False, complete=False)
        await fires(request_for(name), "machine-deployment-unfinished")


async def test_nodes_that_nothing_replaces(name):
    async with prepared(name) as cluster:
        await cluster.node(labels={})
        for found in await cluster.api.list(MACHINE_DEPLOYMENTS, namespace="kube-system"):
            metadata = found["metadata"]
            await cluster.api.delete(
                MACHINE_DEPLOYMENTS, metadata["name"], namespace="kube-system", uid=metadata["uid"]
            )

    await fires(request_for(name), "no-machine-deployments")


async def test_workloads(name):
    async with prepared(name) as cluster:
        await cluster.node()
        await furnish(cluster)

    await fires(
        request_for(name),
        *("bare-pod", "budget-blocks", "empty-dir", "host-ports", "node-storage", "pod-terminating", "running-job"),
        *("single-replica", "webhook-on-pod-network", "webhook-down", "api-unavailable", "multus", "calico-policy"),
        *("policy-changes-meaning", "admin-policy", "cilium-policy"),
    )
    found = await codes_of(request_for(name, pods=RestartOptions(bare_pods=BarePodChoice.FAIL)))
    assert found["bare-pod"] is Severity.BLOCKER


async def furnish(cluster: Prepared) -> None:
    """Leave one workload of every kind that a migration has to be careful with."""
    api = cluster.api
    await cluster.pod("bare", owner=None)
    await cluster.pod(
        "scratch", volumes=[{"name": "tmp", "emptyDir": {}}, {"name": "disk", "hostPath": {"path": "/d"}}]
    )
    await cluster.pod("claimer", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}])
    await cluster.pod("ingress", ports=[{"containerPort": 80, "hostPort": 80}])
    going = await cluster.pod("going", finalizers=["example.test/keep"])
    await api.delete(PODS, "going", namespace="shop", uid=going["metadata"]["uid"])
    guard = await cluster.pod("guard")
    await api.create(PERSISTENT_VOLUMES, LOCAL_VOLUME)
    await api.create(DEPLOYMENTS, LONE_DEPLOYMENT, namespace="shop")
    await api.create(JOBS, JOB, namespace="shop")
    await _patch_status(api, JOBS, "report", {"active": 1}, namespace="shop")
    await api.create(POD_DISRUPTION_BUDGETS, BUDGET, namespace="shop")
    counts = {"expectedPods": 2, "disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2}
    await _patch_status(api, POD_DISRUPTION_BUDGETS, "web", counts, namespace="shop")
    await api.create(API_SERVICES, API_SERVICE)
    await api.create(ENDPOINT_SLICES, guarded_by(guard["metadata"]["uid"]), namespace="shop")
    await cluster.daemon_set("kube-multus-ds")
    await leave_policies(cluster)
    # Last: from now on no pod can be created.
    await api.create(VALIDATING_WEBHOOKS, webhooks("guard", "down"))


async def leave_policies(cluster: Prepared) -> None:
    """Leave a policy of each family."""
    await cluster.api.create(NETWORK_POLICIES, BY_ADDRESS, namespace="shop")
    for group, plural, kind, spec in POLICIES:
        found = await cluster.define(group, plural, kind, scope="Cluster")
        body = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "a-policy"}, "spec": spec}
        await cluster.api.create(found, body)


async def test_a_pod_that_has_outlived_its_grace_period(name, monkeypatch):
    async with prepared(name) as cluster:
        await cluster.node()
        made = await cluster.pod("stuck", finalizers=["example.test/keep"], terminationGracePeriodSeconds=1)
        await cluster.api.delete(PODS, "stuck", namespace="shop", uid=made["metadata"]["uid"])
    monkeypatch.setattr("migration.readiness.workloads.STUCK_AFTER", timedelta(days=-1))

    await fires(request_for(name), "pod-stuck")


async def test_more_pods_than_a_node_has_addresses_for(name):
    async with prepared(name) as cluster:
        await cluster.node()
        await cluster.remade(nodeCidrMaskSizeIPv4=29)
        for number in range(5):
            await cluster.pod(f"web-{number}")

    await fires(request_for(name), "node-range-short")


async def test_cilium_on_its_way_out(name):
    async with prepared(name) as cluster:
        await cluster.node()
        await cluster.pod()
        await cluster.cluster(metadata=UNLOCKED, spec={**ON_CILIUM, "clusterNetwork": {"proxyMode": "ebpf"}})
        await cluster.application()

    back = request_for(name, runbook=Runbook.CILIUM_TO_CANAL)
    await fires(back, "no-cilium-endpoints", "pods-move-with-nodes", "tunnel-port-moves")
    await fires(request_for(name), "not-on-canal")


async def test_cilium_chained_to_another_cni(name):
    async with prepared(name) as cluster:
        await cluster.node()
        await cluster.cluster(metadata=UNLOCKED, spec=ON_CILIUM)
        await cluster.application(cni={"chainingMode": "aws-cni"})

    await fires(request_for(name, runbook=Runbook.CILIUM_TO_CANAL), "cilium-chaining")


async def test_an_earlier_cilium_and_a_canal_that_somebody_installed_by_hand(name, tmp_path):
    async with prepared(name) as cluster:
        await cluster.node()
        await cluster.application()
        await cluster.daemon_set("canal")

    await fires(request_for(name), "stale-cilium", "old-cni-unlabelled")
    manifest = written(tmp_path / "canal.yaml", ("DaemonSet", "canal"), ("Namespace", "shop"))
    await fires(request_for(name, manifest=manifest), "manifest-removes", "manifest-leaves")
    of_nothing = written(tmp_path / "other.yaml", ("DaemonSet", "canal-of-old"))
    await fires(request_for(name, manifest=of_nothing), "manifest-matches-nothing")
    await fires(request_for(name, manifest=str(tmp_path / "absent.yaml")), "manifest-unusable")


async def test_a_canal_that_belongs_to_somebody_else(name, tmp_path):
    async with prepared(name) as cluster:
        await cluster.node()
        await cluster.daemon_set("canal", annotations={"meta.helm.sh/release-name": "network"})
    manifest = written(tmp_path / "canal.yaml", ("DaemonSet", "canal"))

    await fires(request_for(name, manifest=manifest), "manifest-of-another-owner")


async def test_an_old_kkp_knows_no_nftables_and_konnectivity_may_be_off(tmp_path, monkeypatch):
    with lab_process(tmp_path / "lab", "--clusters", "1", *SMALL, "--kkp", "2.20") as lab:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(lab.connections))
        name = lab.cluster_name()
        async with prepared(name) as cluster:
            await cluster.node()
            await cluster.cluster(metadata=UNLOCKED, spec={"cniPlugin": {"type": "cilium", "version": "v1.11"}})
            await cluster.remade(konnectivityEnabled=False)

        change = {"runbook": Runbook.CHANGE_PROXY_MODE}
        await fires(request_for(name, desired_proxy_mode=ProxyMode.NFTABLES, **change), "proxy-mode-unknown")
        await fires(request_for(name, desired_proxy_mode=ProxyMode.EBPF, **change), "ebpf-without-konnectivity")
        assert "version-not-offered" not in await codes_of(request_for(name, version="v1.11"))
        await fires(request_for(name, version="1.19.4"), "version-not-offered")


async def test_the_way_in(name):
    """An account with fewer rights than are needed, a token that ends soon, and an address that isn't the Cluster's."""
    async with prepared(name) as cluster:
        await cluster.node()
        await limited_account(cluster)
        await cluster.cluster(status={"address": {"url": "https://elsewhere.example.test:6443"}})

    await fires(request_for(name), "another-api-server", "kubeconfig-expires", "permission-missing", "view-dimmed")


async def limited_account(cluster: Prepared) -> None:
    """Leave the way in to an account that may look at nearly everything, and change nothing."""
    roles = [found for found in user_cluster_manifests() if found["kind"] in ("ServiceAccount", "ClusterRole", "Role")]
    for role in roles:
        rules = role.get("rules", [])
        for rule in rules:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb in ("get", "list", "watch")] or ["get"]
            rule["resources"] = [found for found in rule["resources"] if found != "persistentvolumes"]
    bindings = [found for found in user_cluster_manifests() if found["kind"].endswith("Binding")]
    await apply(cluster.api, [*roles, *bindings])
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    made = await cluster.api.post(SERVICE_ACCOUNTS, "cni-migration", "token", body, namespace="kube-system")
    seed = cluster.opened.seed
    kubeconfig = (await seed.way_into(await seed.cluster(cluster.name))).kubeconfig
    users = [{"name": kubeconfig["users"][0]["name"], "user": {"token": made["status"]["token"]}}]
    await cluster.kubeconfig(yaml.safe_dump({**kubeconfig, "users": users}))


async def test_windows_that_a_run_can_do_nothing_with(name):
    in_half_a_day = datetime.now(UTC) + timedelta(hours=12)
    short = Window(cron=f"0 {in_half_a_day.hour} * * *", length_minutes=2)
    over = Window(rrule="DTSTART:20200101T000000\nRRULE:FREQ=DAILY;COUNT=1", length_minutes=60)
    at_noon = Schedule(name="at the wrong time", cron=f"0 {(in_half_a_day.hour + 12) % 24} * * *")
    async with prepared(name) as cluster:
        await cluster.node()

    await fires(
        request_for(name, maintenance=Maintenance(windows=(short,)), schedules=(at_noon,)),
        *("window-too-short", "schedule-outside-window"),
    )
    await fires(request_for(name, maintenance=Maintenance(windows=(short,)), ignore_window=True), "window-ignored")
    await fires(request_for(name, maintenance=Maintenance(windows=(over,))), "window-never-opens")
    await fires(request_for(name, maintenance=Maintenance(cluster_window=True)), "cluster-window-missing")


async def test_everything_of_a_bad_day_is_told_at_once(name):
    async with prepared(name) as cluster:
        await cluster.cluster(spec={"pause": True})
        await cluster.node(ready=False)
        await cluster.pod("bare", owner=None)
    request = request_for(name, version="1.99.0", tunnel_port=8472)

    found = findings(await survey_cluster(request, lambda line: None), request)

    codes = {finding.code for finding in blockers(found, ["cluster-paused"])}
    assert codes == {"node-not-ready", "version-not-offered", "tunnel-port-clash"}


async def test_a_seed_without_cilium_s_application(tmp_path, monkeypatch):
    with lab_process(tmp_path / "lab", "--clusters", "1", *SMALL) as lab:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(lab.connections))
        name = lab.cluster_name()
        async with prepared(name) as cluster:
            found = await cluster.seed.get(APPLICATION_DEFINITIONS, "cilium")
            await cluster.seed.delete(APPLICATION_DEFINITIONS, "cilium", uid=found["metadata"]["uid"])

        await fires(request_for(name), "no-application-definition")


def test_every_code_was_seen_firing_on_a_cluster(request):
    if len(request.session.items) < CLUSTERS_NEEDED:
        pytest.skip("only a part of this module was run")

    assert sorted(set(SEVERITIES) - SEEN) == []


def written(path: Path, *objects: tuple[str, str]) -> str:
    groups = {"DaemonSet": "apps/v1", "Namespace": "v1"}
    bodies = [
        {"apiVersion": groups[kind], "kind": kind, "metadata": {"name": name, "namespace": "kube-system"}}
        for kind, name in objects
    ]
    path.write_text(yaml.safe_dump_all(bodies))
    return str(path)


LABELS = {"app": "web"}
TEMPLATE: dict[str, Any] = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
LONE_DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": TEMPLATE},
}
JOB = {
    "metadata": {"name": "report"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": TEMPLATE["spec"]["containers"]}}},
}
BUDGET = {"metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": LABELS}}}
LOCAL_VOLUME = {
    "metadata": {"name": "disk"},
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": "/data"},
        "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data"},
    },
}
API_SERVICE = {
    "metadata": {"name": "v1beta1.metrics.k8s.io"},
    "spec": {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"namespace": "kube-system", "name": "metrics-server"},
    },
}
BY_ADDRESS = {
    "metadata": {"name": "by-address"},
    "spec": {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"ipBlock": {"cidr": "172.25.0.0/16"}}]}],
    },
}
POLICIES = [
    ("crd.projectcalico.org", "globalnetworkpolicies", "GlobalNetworkPolicy", {"selector": "all()"}),
    ("cilium.io", "ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy",
     {"endpointSelector": {}, "ingress": [{}]}),
    ("policy.networking.k8s.io", "adminnetworkpolicies", "AdminNetworkPolicy",
     {"priority": 1, "subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]}),
]  # fmt: skip


def guarded_by(uid: str):
    return {
        "metadata": {"name": "guard-1", "labels": {"kubernetes.io/service-name": "guard"}},
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["172.25.0.7"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": "guard", "uid": uid},
            }
        ],
    }


def webhooks(*services: str):
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    return {
        "metadata": {"name": "guards"},
        "webhooks": [
            {
                "name": f"{service}.example.test",
                "clientConfig": {"service": {"namespace": "shop", "name": service}},
                "rules": [rule],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
            for service in services
        ],
    }
