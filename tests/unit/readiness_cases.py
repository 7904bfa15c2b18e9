"""What makes each finding fire and what keeps it silent: a survey and a request for each, by code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from migration.facts import EndpointFacts, NodeFacts, WorkloadFacts
from migration.journal import CLOSED_NODES, NODES_TO_OPEN, OPEN_BEFORE, Journal
from migration.manifest_findings import ManifestFacts, OldCniFacts
from migration.models import (
    BarePodChoice,
    Cni,
    CniType,
    Finding,
    JobChoice,
    MigrationRequest,
    Owner,
    ProbeOptions,
    ProxyMode,
    RestartOptions,
    RestartStrategy,
    Runbook,
    Severity,
    Stretch,
)
from migration.policies import Policy, PolicyFacts
from migration.schedules import Schedule
from migration.survey import (
    ADDON,
    ApplicationValues,
    ClusterSurvey,
    CniFacts,
    CredentialFacts,
    OwnedObject,
    WebhookFacts,
)
from migration.windows import Maintenance, UpdateWindow, Window
from tests.unit.making import (
    CANAL,
    CILIUM,
    make_cluster,
    make_machine_deployment,
    make_migration,
    make_node,
    make_pod,
    make_request,
    make_survey,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FREE_VALUES: dict[str, Any] = {"tunnelPort": 8473, "cni": {"chainingMode": "portmap"}}
B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741


@dataclass(frozen=True)
class Case:
    """A survey and a request."""

    survey: ClusterSurvey
    request: MigrationRequest


def to_cilium(asked: dict[str, Any] | None = None, **seen: Any) -> Case:
    """Canal to Cilium, sound but for what is given."""
    return Case(make_survey(seen_at=NOW, **seen), make_request(**(asked or {})))


def to_canal(asked: dict[str, Any] | None = None, **seen: Any) -> Case:
    """Cilium to Canal, sound but for what is given."""
    pod = make_pod()
    fields: dict[str, Any] = {
        "seen_at": NOW,
        "cluster": make_cluster(cni=CILIUM),
        "pods": (pod,),
        "endpoints": {pod.key: EndpointFacts(frozenset(pod.addresses), pod.uid)},
        "application": ApplicationValues(values=FREE_VALUES),
    }
    request = {"runbook": Runbook.CILIUM_TO_CANAL, "desired_cni": CANAL, **(asked or {})}
    return Case(make_survey(**{**fields, **seen}), make_request(**request))


def to_mode(mode: ProxyMode, asked: dict[str, Any] | None = None, **seen: Any) -> Case:
    """Another kube-proxy mode on Cilium, sound but for what is given."""
    fields: dict[str, Any] = {"seen_at": NOW, "cluster": make_cluster(cni=CILIUM)}
    request = {"runbook": Runbook.CHANGE_PROXY_MODE, "desired_cni": None, "desired_proxy_mode": mode, **(asked or {})}
    return Case(make_survey(**{**fields, **seen}), make_request(**request))


def cilium(version: str) -> dict[str, Any]:
    return {"desired_cni": Cni(type=CniType.CILIUM, version=version)}


def canal(version: str) -> dict[str, Any]:
    return {"desired_cni": Cni(type=CniType.CANAL, version=version)}


def webhook(**changes: Any) -> WebhookFacts:
    fields = {"name": "ValidatingWebhookConfiguration guard (g)", "service": "ops/guard", "ready_endpoints": 1}
    return WebhookFacts(**{**fields, **changes})


def manifest(**changes: Any) -> OldCniFacts:
    return OldCniFacts(old_cni=CniType.CANAL, manifest=ManifestFacts(source="canal.yaml", **changes))


def ending(**after: Any) -> CredentialFacts:
    return CredentialFacts(source="kubeconfig of seed lab", expires_at=NOW + timedelta(**after))


def on_canal(**changes: Any) -> dict[str, Any]:
    return {"cluster": make_cluster(**changes)}


def on_cilium(**changes: Any) -> dict[str, Any]:
    return {"cluster": make_cluster(**{"cni": CILIUM, **changes})}


def node(name: str = "node-1", **changes: Any) -> dict[str, Any]:
    return {"nodes": (make_node(name, **changes),)}


def nodes(count: int, **changes: Any) -> tuple[NodeFacts, ...]:
    return tuple(make_node(f"node-{number + 1}", **changes) for number in range(count))


def pods(*found: Any) -> dict[str, Any]:
    return {"pods": found}


def maintained(*windows: Window, **changes: Any) -> dict[str, Any]:
    return {"maintenance": Maintenance(windows=windows, **changes)}


NIGHT = Window(cron="0 22 * * 6", length_minutes=480)
NOON = Window(cron="0 12 * * *", length_minutes=480)
SHORT = Window(cron="0 22 * * 6", length_minutes=5)
OVER = Window(rrule="DTSTART:20260101T220000 RRULE:FREQ=DAILY;COUNT=3", length_minutes=480)
NIGHTLY = Schedule(name="nightly", cron="0 22 * * *")
UBUNTU = {"os_image": "Ubuntu 22.04.5 LTS"}
DUAL = ("172.25.0.0/16", "fd01::/48")
OLD_KKP = {"kubermatic_version": "v2.20.16"}
OPEN = Journal(current="m1", migrations=(make_migration(),))
MOVE = {f"begun {Stretch.PREPARE}": "2026-11-22T22:00:00Z", f"begun {Stretch.MOVE}": "2026-11-22T22:05:00Z"}
MOVING = Journal(current="m1", migrations=(make_migration(marks={**MOVE, "under way": str(Stretch.MOVE)}),))
WAITING = Journal(current="m1", migrations=(make_migration(marks={**MOVE, "under way": ""}),))
TO_CANAL: dict[str, Any] = {"kind": Runbook.CILIUM_TO_CANAL, "previous_cni": CILIUM, "desired_cni": CANAL}
CLOSED_BOTH = {CLOSED_NODES: "uid-node-1 uid-node-2"}
CLOSED = Journal(current="m1", migrations=(make_migration(**TO_CANAL, marks=CLOSED_BOTH),))
CLOSED_ONE = Journal(current="m1", migrations=(make_migration(**TO_CANAL, marks={**CLOSED_BOTH, OPEN_BEFORE: ""}),))
REOPENING = Journal(
    current="m2",
    migrations=(make_migration("m2", reverts="m1", marks={NODES_TO_OPEN: "uid-node-1 uid-node-2"}),),
)
ROTATING = Journal(current="m1", migrations=(make_migration(old_nodes={"kube-system/workers": ("uid-node-1",)}),))
ROLLING = (make_machine_deployment(updated=1, available=2),)
FOUR_RANGES: dict[str, Any] = {"pod_cidrs": ("172.25.0.0/22",), "node_mask_bits": ((4, 24),)}
LEAVING = Finding(code="manifest-leaves", severity=I, subject="Namespace x", seen="it stays", advice="Fine.")
CALICO_POLICY = Policy(
    kind="GlobalNetworkPolicy", name="deny", spec={"selector": "all()", "types": ["Ingress"]}, labels={}
)
CILIUM_POLICY = Policy(
    kind="CiliumNetworkPolicy", namespace="shop", name="l7", spec={"endpointSelector": {}, "ingress": [{}]}
)
ADMIN_POLICY = Policy(
    kind="AdminNetworkPolicy",
    name="platform",
    spec={"priority": 10, "subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]},
)
BLOCK = {"ipBlock": {"cidr": "172.25.0.0/16"}}
BLOCK_POLICY = Policy(
    kind="NetworkPolicy",
    namespace="shop",
    name="by-address",
    spec={"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [BLOCK]}]},
)
WEB = make_pod(labels={"app": "web"})
SHOP: dict[str, Any] = {"namespaces": {"shop": {}}}

FIRING: list[tuple[str, Severity, Case]] = [
    ("cluster-deleted", B, to_cilium(**on_canal(deleting=True))),
    ("cluster-paused", B, to_canal(**on_cilium(paused=True))),
    ("cluster-unhealthy", B, to_cilium(**on_canal(health=(("etcd", "HealthStatusDown"),)))),
    ("cluster-updating", B, to_cilium(**on_canal(phase="Updating"))),
    ("cluster-updating", B, to_mode(ProxyMode.EBPF, **on_cilium(update_reason="ClusterUpdateInProgress"))),
    ("not-on-canal", B, to_cilium(**on_cilium())),
    ("not-on-canal", B, to_cilium(cluster=make_cluster(cni=Cni(type=CniType.NONE, version="")))),
    ("not-on-cilium", B, to_canal(**on_canal())),
    ("other-migration", B, to_cilium(cilium("1.18.10"), journal=OPEN)),
    ("other-migration", B, to_mode(ProxyMode.EBPF, journal=OPEN)),
    ("other-migration", B, to_canal({"reverts": "m0"}, journal=OPEN)),
    ("worker-name", B, to_cilium(**on_canal(worker_name="ops-laptop"))),
    ("another-api-server", B, to_cilium(**on_canal(api_url="https://a.test"), reached_url="https://b.test")),
    ("another-api-server", B, to_cilium(**on_canal(api_url="https://a/x"), reached_url="https://a/y")),
    ("kubeconfig-expires", B, to_cilium(credentials=(ending(minutes=1),))),
    ("kubeconfig-expires", B, to_cilium(credentials=(ending(minutes=-1),))),
    ("kubeconfig-expires", W, to_cilium(credentials=(ending(hours=1),))),
    ("kubeconfig-expires", W, to_cilium(maintained(NIGHT), credentials=(ending(days=5, hours=11),))),
    ("cluster-window-missing", B, to_cilium(maintained(NIGHT, cluster_window=True))),
    ("cluster-window-missing", B,
     to_canal(maintained(cluster_window=True), **on_cilium(update_window=UpdateWindow("22:30", "two hours")))),
    ("cluster-window-missing", W, to_cilium(maintained(NIGHT, cluster_window=True), journal=MOVING)),
    ("schedule-outside-window", W, to_cilium({"schedules": (NIGHTLY,), **maintained(NIGHT)})),
    ("schedule-outside-window", W, to_cilium({"schedules": (Schedule(cron="@daily"),), **maintained(NIGHT)})),
    ("schedule-outside-window", W, to_cilium({"schedules": (Schedule(cron="59 5 * * 0"),), **maintained(NIGHT)})),
    ("window-ignored", W, to_cilium({"ignore_window": True, **maintained(NIGHT)})),
    ("window-ignored", W, to_mode(ProxyMode.EBPF, {"ignore_window": True, **maintained(OVER)})),
    ("window-never-opens", B, to_cilium(maintained(OVER))),
    ("window-never-opens", B, to_cilium(maintained(OVER), journal=WAITING)),
    ("window-never-opens", W, to_cilium(maintained(OVER), journal=MOVING)),
    ("window-too-short", B, to_cilium(maintained(SHORT))),
    ("window-too-short", W, to_cilium(maintained(SHORT), journal=MOVING)),
    ("window-too-short", B, to_cilium(maintained(NIGHT, margin_percent=500),
                                      machine_deployments=(make_machine_deployment(replicas=30),))),
    ("permission-missing", B, to_cilium(denied=("delete pods on user cluster x",))),
    ("platform-unseen", W, to_cilium(**on_canal(unseen=("whether it is paused", "its conditions")))),
    ("view-dimmed", W, to_cilium(unseen=("list persistentvolumes on user cluster x",))),
    ("canal-without-dual-stack", B, to_canal(canal("v3.21"), **on_cilium(pod_cidrs=DUAL))),
    ("no-application-definition", B, to_cilium(offered_versions=None)),
    ("version-deprecated", I, to_canal(canal("v3.28"))),
    ("version-invalid", B, to_cilium(cilium("latest"))),
    ("version-invalid", B, to_canal(canal("newest"))),
    ("version-not-installable", B, to_cilium(cilium("v1.11"))),
    ("version-not-offered", B, to_cilium(cilium("1.99.0"))),
    ("version-not-offered", B, to_canal(canal("v3.99"))),
    ("version-not-offered", B, to_cilium(cilium("1.19.4"), offered_versions=None, **on_canal(**OLD_KKP))),
    ("version-not-offered", B, to_cilium(cilium("v1.12"), offered_versions=None, **on_canal(**OLD_KKP))),
    ("ebpf-on-canal", B, to_mode(ProxyMode.EBPF, **on_canal())),
    ("ebpf-on-canal", B, to_canal({"desired_proxy_mode": ProxyMode.EBPF})),
    ("ebpf-without-konnectivity", B, to_mode(ProxyMode.EBPF, **on_cilium(konnectivity=False))),
    ("ipvs-with-cilium", W, to_cilium(**on_canal(proxy_mode="ipvs"))),
    ("ipvs-with-cilium", W, to_mode(ProxyMode.IPVS)),
    ("mode-already-set", W, to_mode(ProxyMode.IPTABLES)),
    ("proxy-mode-unknown", B, to_cilium(**on_canal(proxy_mode="userspace"))),
    ("proxy-mode-unknown", B, to_mode(ProxyMode.NFTABLES, **on_cilium(**OLD_KKP))),
    ("cilium-chaining", W, to_canal(application=ApplicationValues(values={"cni": {"chainingMode": "aws-cni"}}))),
    ("dual-stack", I, to_cilium(**on_canal(pod_cidrs=DUAL))),
    ("hubble-blocked", W, to_cilium(**on_canal(features=frozenset({"kubeSystemNetworkPolicies"})))),
    ("multus", W, to_canal(multus=True)),
    ("no-cilium-endpoints", B, to_canal(endpoints={})),
    ("node-range-short", W, to_cilium(**on_canal(pod_cidrs=("172.25.0.0/24",), node_mask_bits=((4, 28),)),
                                      **pods(*(make_pod(f"shop/web-{n}") for n in range(13))))),
    ("pod-ranges-short", B, to_cilium(**on_canal(pod_cidrs=("172.25.0.0/24",), node_mask_bits=((4, 24),)))),
    ("pod-ranges-short", B, to_cilium({"rotate_nodes": False}, cilium_nodes=5,
                                      **on_canal(pod_cidrs=("172.25.0.0/22",), node_mask_bits=((4, 24),)))),
    ("pod-ranges-short", B, to_cilium(nodes=nodes(4), **on_canal(**FOUR_RANGES))),
    ("pod-ranges-short", B, to_cilium(nodes=nodes(4), machine_deployments=ROLLING, **on_canal(**FOUR_RANGES))),
    ("pod-ranges-short", B, to_cilium(nodes=nodes(4), journal=OPEN, **on_canal(**FOUR_RANGES))),
    ("pod-ranges-short", W, to_cilium(nodes=nodes(5), journal=ROTATING, **on_canal(**FOUR_RANGES))),
    ("pod-ranges-short", W, to_cilium(cilium_nodes=5, journal=ROTATING, **on_canal(**FOUR_RANGES))),
    ("pods-move-with-nodes", W, to_canal(application=ApplicationValues(values={}), **on_cilium(proxy_mode="ebpf"))),
    ("probe-image", I, to_mode(ProxyMode.EBPF, {"probes": ProbeOptions(enabled=True)})),
    ("stale-cilium", I, to_cilium(application=ApplicationValues(values={}))),
    ("tunnel-port", I, to_cilium({"tunnel_port": 9000})),
    ("tunnel-port-clash", B, to_cilium({"tunnel_port": 8472})),
    ("tunnel-port-moves", I, to_canal(application=ApplicationValues(values={}))),
    ("tunnel-port-moves", I, to_canal(application=ApplicationValues(values={"tunnelPort": 8472}))),
    ("manifest-leaves", I, to_cilium(old_cni=manifest(left=(LEAVING,)))),
    ("manifest-matches-nothing", W, to_cilium(old_cni=manifest())),
    ("manifest-of-another-owner", B, to_cilium(old_cni=manifest(workloads_left=("DaemonSet kube-system/canal",)))),
    ("manifest-removes", I, to_cilium(old_cni=manifest(objects=("DaemonSet kube-system/canal",)))),
    ("manifest-unusable", B, to_cilium(old_cni=manifest(problem="it is no YAML"))),
    ("old-cni-unlabelled", B,
     to_cilium(old_cni=OldCniFacts(old_cni=CniType.CANAL, unlabelled=("DaemonSet kube-system/canal",)))),
    ("kernel-known-bad", B, to_cilium(cilium("1.18.10"), **node(kernel="5.15.0-47-generic", **UBUNTU))),
    ("kernel-too-old", B, to_cilium(**node(kernel="5.4.0-200-generic"))),
    ("kernel-too-old", B, to_cilium(**node(kernel="4.18.0-553.el8.x86_64", os_image="Red Hat Enterprise Linux 8.10"))),
    ("kernel-too-old", B, to_mode(ProxyMode.NFTABLES, **node(kernel="5.10.0-30-amd64"))),
    ("no-nodes", B, to_cilium(nodes=())),
    ("no-nodes", B, to_cilium(nodes=(), machine_deployments=ROLLING)),
    ("no-nodes", B, to_cilium(nodes=(), machine_deployments=(), journal=ROTATING)),
    ("no-nodes", W, to_cilium(nodes=(), journal=ROTATING)),
    ("no-nodes", W, to_cilium(nodes=(), machine_deployments=ROLLING, journal=ROTATING)),
    ("node-architecture", B, to_cilium(**node(architecture="s390x"))),
    ("node-cordoned", W, to_cilium(nodes=(make_node(), make_node("b", cordoned=True)))),
    ("node-cordoned", B, to_cilium(**node(cordoned=True))),
    ("node-cordoned", B, to_cilium(**node(cordoned=True), machine_deployments=ROLLING)),
    ("node-cordoned", B, to_cilium(nodes=nodes(3, cordoned=True)[1:], journal=ROTATING)),
    ("node-cordoned", B, to_canal(nodes=nodes(4, cordoned=True)[2:], journal=CLOSED)),
    ("node-cordoned", W, to_cilium({"reverts": "m1"}, nodes=nodes(2, cordoned=True), journal=CLOSED)),
    ("node-cordoned", W, to_cilium({"reverts": "m1"}, nodes=nodes(3, cordoned=True), journal=CLOSED)),
    ("node-cordoned", W, to_cilium({"reverts": "m1"}, nodes=nodes(2, cordoned=True), journal=REOPENING)),
    ("node-cordoned", B, to_cilium({"reverts": "m1"}, nodes=nodes(4, cordoned=True)[2:], journal=CLOSED)),
    ("node-cordoned", B, to_cilium({"reverts": "m1"}, nodes=nodes(2, cordoned=True), journal=CLOSED_ONE)),
    ("node-cordoned", W, to_canal(nodes=nodes(2, cordoned=True), journal=CLOSED)),
    ("node-cordoned", W, to_canal(nodes=nodes(3, cordoned=True)[1:], journal=CLOSED)),
    ("node-cordoned", W, to_cilium(**node(cordoned=True), journal=ROTATING)),
    ("node-cordoned", W, to_cilium(**node("node-9", cordoned=True), journal=OPEN, machine_deployments=ROLLING)),
    ("node-cordoned", W, to_canal({"reverts": "m1"}, **node(cordoned=True), journal=ROTATING)),
    ("node-not-ready", B, to_canal(**node(ready=False))),
    ("node-tainted", I, to_cilium(**node(taints=("gpu",)))),
    ("node-without-machine", W, to_cilium(nodes=(make_node(), make_node("b", owned_by_machine=False)))),
    ("machine-deployment-paused", B, to_cilium(machine_deployments=(make_machine_deployment(paused=True),))),
    ("machine-deployment-unfinished", B, to_cilium(machine_deployments=(make_machine_deployment(available=2),))),
    ("no-machine-deployments", W, to_canal(machine_deployments=(), **node(owned_by_machine=False))),
    ("nodes-keep-cilium", B, to_canal({"rotate_nodes": False})),
    ("nodes-keep-cilium", W, to_canal({"rotate_nodes": False}, application=None, cilium=CniFacts(agents=ADDON))),
    ("quota-unseen", I, to_cilium()),
    ("api-unavailable", W, to_cilium(unavailable_apis=("v1beta1.metrics.k8s.io: MissingEndpoints",))),
    ("webhook-down", B, to_cilium(webhooks=(webhook(ready_endpoints=0),))),
    ("webhook-on-pod-network", W, to_canal(webhooks=(webhook(backends=frozenset({"ops/Deployment/guard"})),))),
    ("bare-pod", B, to_cilium({"pods": RestartOptions(bare_pods=BarePodChoice.FAIL)}, **pods(make_pod(owner=None)))),
    ("bare-pod", W, to_cilium({"pods": RestartOptions(bare_pods=BarePodChoice.SKIP)}, **pods(make_pod(owner=None)))),
    ("bare-pod", I, to_cilium(**pods(make_pod(owner=None)))),
    ("bare-pod", I, to_mode(ProxyMode.EBPF, **pods(make_pod(owner=None, host_network=True)))),
    ("budget-blocks", W, to_cilium({"pods": RestartOptions(strategy=RestartStrategy.EVICT), "rotate_nodes": False},
                                   blocked_budgets=("shop/web",))),
    ("budget-blocks", W, to_mode(ProxyMode.EBPF, blocked_budgets=("shop/web",))),
    ("empty-dir", I, to_cilium(**pods(make_pod(local_volumes=("emptyDir",))))),
    ("host-ports", W, to_mode(ProxyMode.EBPF, **pods(make_pod(host_ports=(8080,))))),
    ("host-ports", I, to_cilium(**pods(make_pod(host_ports=(8080,))))),
    ("node-storage", W, to_cilium(**pods(make_pod(local_volumes=("hostPath",))))),
    ("node-storage", W, to_cilium(node_bound_claims=frozenset({"shop/data"}), **pods(make_pod(claims=("data",))))),
    ("pod-stuck", W, to_cilium(**pods(make_pod(deleting=True, deletion_due=NOW - timedelta(minutes=5))))),
    ("pod-terminating", I, to_cilium(**pods(make_pod(deleting=True, deletion_due=NOW + timedelta(seconds=5))))),
    ("running-job", I, to_cilium(unfinished_jobs=frozenset({"batch/report"}))),
    ("running-job", I, to_mode(ProxyMode.EBPF, unfinished_jobs=frozenset({"batch/report"}))),
    ("single-replica", W, to_cilium(workloads=(WorkloadFacts(workload="shop/Deployment/web", desired=1, ready=1),))),
    ("gitops-owner", W, to_cilium(**on_canal(gitops_owner="Argo CD application clusters"))),
    ("gitops-owner", W, to_cilium(machine_deployments=(make_machine_deployment(gitops_owner="Flux x"),))),
    ("gitops-owner", W, to_cilium(canal=CniFacts(objects=(OwnedObject(kind="DaemonSet", place="kube-system/canal",
                                                                      gitops_owner="Flux x"),)))),
    ("gitops-owner", W, to_cilium({"remove_crds": True}, policies=PolicyFacts(
        calico=(replace(CALICO_POLICY, labels={"argocd.argoproj.io/instance": "net"}),)))),
    ("calico-policy", W, to_cilium(policies=PolicyFacts(calico=(CALICO_POLICY,), **SHOP), **pods(WEB))),
    ("calico-policy", I, to_cilium(policies=PolicyFacts(calico=(CALICO_POLICY,)))),
    ("cilium-policy", W, to_canal(policies=PolicyFacts(cilium=(CILIUM_POLICY,), **SHOP))),
    ("cilium-policy", I, to_cilium(policies=PolicyFacts(cilium=(CILIUM_POLICY,)))),
    ("admin-policy", W, to_cilium(policies=PolicyFacts(admin=(ADMIN_POLICY,), **SHOP), **pods(WEB))),
    ("admin-policy", I, to_canal(policies=PolicyFacts(admin=(ADMIN_POLICY,)), **pods())),
    ("policy-changes-meaning", W, to_cilium(policies=PolicyFacts(kubernetes=(BLOCK_POLICY,), **SHOP), **pods(WEB),
                                            **on_canal(pod_cidrs=("172.25.0.0/16",)))),
    ("policy-changes-meaning", I, to_cilium(policies=PolicyFacts(kubernetes=(BLOCK_POLICY,), **SHOP),
                                            **on_canal(pod_cidrs=("172.25.0.0/16",)))),
]  # fmt: skip

SOUND = (to_cilium(), to_canal(), to_mode(ProxyMode.EBPF))
SILENT: list[tuple[str, Case]] = [
    ("cluster-updating", to_cilium(**on_canal(update_reason=""))),
    ("cluster-unhealthy", to_cilium(**on_canal(health=(("machineController", ""),)))),
    ("not-on-canal", to_cilium({"reverts": "m1"}, **on_cilium())),
    ("not-on-canal", to_cilium(journal=OPEN, **on_cilium())),
    ("not-on-cilium", to_canal({"reverts": "m1"}, journal=OPEN, **on_canal())),
    ("other-migration", to_canal({"reverts": "m1"}, journal=OPEN)),
    ("other-migration", to_cilium(journal=OPEN)),
    ("another-api-server", to_cilium(**on_canal(api_url="https://a.test:443"), reached_url="https://A.test/")),
    ("another-api-server", to_cilium(**on_canal(api_url="https://a.test"))),
    ("another-api-server", to_cilium(reached_url="https://b.test")),
    ("kubeconfig-expires", to_cilium(credentials=(ending(days=30),))),
    ("kubeconfig-expires", to_cilium(maintained(NIGHT), credentials=(ending(days=5, hours=22),))),
    ("kubeconfig-expires", to_cilium({"ignore_window": True, **maintained(NIGHT)}, credentials=(ending(days=5),))),
    ("cluster-window-missing",
     to_cilium(maintained(cluster_window=True), **on_canal(update_window=UpdateWindow("Sat 22:30", "8h")))),
    ("cluster-window-missing", to_cilium(**on_canal(update_window=UpdateWindow("x", "y")))),
    ("cluster-window-missing", to_cilium({"ignore_window": True, **maintained(cluster_window=True)})),
    ("schedule-outside-window", to_cilium({"schedules": (NIGHTLY,)})),
    ("schedule-outside-window", to_cilium({"schedules": (Schedule(cron="0 22 * * 6"),), **maintained(NIGHT)})),
    ("window-ignored", to_cilium({"ignore_window": True})),
    ("window-ignored", to_cilium({"ignore_window": True, **maintained(NOON)})),
    ("window-ignored", to_cilium(maintained(NIGHT))),
    ("window-never-opens", to_cilium(maintained(NIGHT))),
    ("window-never-opens", to_cilium({"ignore_window": True, **maintained(OVER)})),
    ("window-too-short", to_cilium(maintained(NIGHT))),
    ("window-too-short", to_cilium(maintained(OVER))),
    ("window-too-short",
     to_cilium({"rotate_nodes": False, **maintained(Window(cron="0 22 * * 6", length_minutes=4))}, journal=MOVING)),
    ("window-too-short", to_cilium({"ignore_window": True, **maintained(SHORT)})),
    ("canal-without-dual-stack", to_canal(canal("v3.22"), **on_cilium(pod_cidrs=DUAL))),
    ("canal-without-dual-stack", to_canal(canal("v3.21"), **on_cilium(pod_cidrs=DUAL[:1]))),
    ("no-application-definition", to_cilium(cilium("v1.11"), offered_versions=None, **on_canal(**OLD_KKP))),
    ("version-deprecated", to_canal(canal("v3.21"), **on_cilium(**OLD_KKP))),
    ("version-not-installable", to_cilium(cilium("v1.11"), offered_versions=None, **on_canal(**OLD_KKP))),
    ("version-not-offered", to_cilium(cilium("v1.11"), offered_versions=None, **on_canal(**OLD_KKP))),
    ("version-not-offered", to_canal(canal("v3.19"), **on_cilium(**OLD_KKP))),
    ("version-not-offered", to_mode(ProxyMode.EBPF, offered_versions=None)),
    ("ebpf-on-canal", to_canal(**on_cilium(proxy_mode="ebpf"))),
    ("ebpf-without-konnectivity", to_cilium(**on_canal(konnectivity=False))),
    ("ipvs-with-cilium", to_canal(**on_cilium(proxy_mode="ipvs"))),
    ("ipvs-with-cilium", to_cilium({"desired_proxy_mode": ProxyMode.IPTABLES}, **on_canal(proxy_mode="ipvs"))),
    ("proxy-mode-unknown", to_mode(ProxyMode.NFTABLES)),
    ("cilium-chaining", to_canal(application=ApplicationValues(values=None))),
    ("dual-stack", to_mode(ProxyMode.EBPF, **on_cilium(pod_cidrs=DUAL))),
    ("hubble-blocked", to_canal(**on_cilium(features=frozenset({"kubeSystemNetworkPolicies"})))),
    ("multus", to_mode(ProxyMode.EBPF, multus=True)),
    ("no-cilium-endpoints", to_canal({"reverts": "m1"}, endpoints={}, journal=OPEN)),
    ("no-cilium-endpoints", to_canal(endpoints={}, pods=())),
    ("node-range-short", to_cilium(**on_canal(pod_cidrs=("172.25.0.0/24",), node_mask_bits=((4, 28),)),
                                   **pods(*(make_pod(f"shop/web-{n}") for n in range(12))))),
    ("pod-ranges-short", to_cilium(**on_canal(pod_cidrs=("172.25.0.0/23",), node_mask_bits=((4, 24),)))),
    ("pod-ranges-short", to_cilium(nodes=nodes(4), cilium_nodes=4, journal=ROTATING, **on_canal(**FOUR_RANGES))),
    ("pod-ranges-short", to_cilium(nodes=nodes(4), journal=OPEN, machine_deployments=ROLLING,
                                   **on_canal(**FOUR_RANGES))),
    ("pods-move-with-nodes", to_canal(**on_cilium(proxy_mode="ebpf"))),
    ("tunnel-port", to_canal()),
    ("stale-cilium", to_cilium(application=ApplicationValues(values={}), journal=OPEN)),
    ("kernel-known-bad", to_cilium(cilium("1.18.10"), **node(kernel="5.15.0-160-generic", **UBUNTU))),
    ("kernel-known-bad", to_cilium(cilium("1.18.10"), **node(kernel="5.15.0-47-generic", os_image="Debian 12"))),
    ("kernel-known-bad", to_cilium(cilium("1.18.10"), **node(kernel="6.8.0-40-generic", **UBUNTU))),
    ("kernel-too-old", to_cilium(cilium("1.17.16"), offered_versions=("1.17.16",),
                                 **node(kernel="4.18.0-553.el8.x86_64", os_image="Rocky Linux 8.10 (Green Obsidian)"))),
    ("kernel-too-old", to_cilium(cilium("1.17.16"), **node(kernel="5.4.0-200-generic"))),
    ("kernel-too-old", to_cilium(cilium("1.15.3"), **node(kernel="4.19.57"))),
    ("kernel-too-old", to_cilium(**node(kernel="unknown"))),
    ("kernel-too-old", to_mode(ProxyMode.NFTABLES, **node(kernel="5.13.0-1-amd64"))),
    ("kernel-too-old", to_canal(**node(kernel="3.10.0"))),
    ("node-tainted", to_cilium(**node(taints=("node.cilium.io/agent-not-ready",)))),
    ("node-without-machine", to_cilium({"rotate_nodes": False}, **node(owned_by_machine=False))),
    ("no-machine-deployments", to_cilium({"rotate_nodes": False}, machine_deployments=())),
    ("machine-deployment-paused",
     to_cilium({"rotate_nodes": False}, machine_deployments=(make_machine_deployment(paused=True),))),
    ("machine-deployment-unfinished",
     to_cilium({"rotate_nodes": False}, machine_deployments=(make_machine_deployment(available=2),))),
    ("nodes-keep-cilium", to_cilium({"rotate_nodes": False})),
    ("quota-unseen", to_cilium(machine_deployments=(make_machine_deployment(replicas=0),))),
    ("webhook-down", to_cilium(webhooks=(webhook(ready_endpoints=0, called_for_pods=False),))),
    ("webhook-on-pod-network", to_cilium(webhooks=(webhook(),))),
    ("webhook-on-pod-network", to_mode(ProxyMode.EBPF, webhooks=(webhook(backends=frozenset({"a/Deployment/b"})),))),
    ("bare-pod", to_cilium({"rotate_nodes": False}, **pods(make_pod(owner=None, host_network=True)))),
    ("bare-pod", to_cilium(**pods(make_pod(owner=None, phase="Succeeded")))),
    ("budget-blocks", to_cilium({"rotate_nodes": False}, blocked_budgets=("shop/web",))),
    ("empty-dir", to_mode(ProxyMode.EBPF, {"rotate_nodes": False}, **pods(make_pod(local_volumes=("emptyDir",))))),
    ("empty-dir", to_cilium(**pods(make_pod("kube-system/x", local_volumes=("emptyDir",))))),
    ("host-ports", to_cilium(**pods(make_pod(host_ports=(80,), host_network=True)))),
    ("node-storage", to_cilium({"rotate_nodes": False}, **pods(make_pod(local_volumes=("hostPath",))))),
    ("node-storage", to_cilium(**pods(make_pod(local_volumes=("hostPath",), owner=Owner(kind="DaemonSet", name="x"))))),
    ("node-storage", to_cilium(node_bound_claims=frozenset({"data/data"}), **pods(make_pod(claims=("data",))))),
    ("pod-stuck", to_cilium(**pods(make_pod(deleting=True, deletion_due=NOW - timedelta(seconds=30))))),
    ("pod-terminating", to_mode(ProxyMode.EBPF, **pods(make_pod(deleting=True)))),
    ("running-job", to_cilium({"pods": RestartOptions(jobs=JobChoice.SKIP)}, unfinished_jobs=frozenset({"a/b"}))),
    ("single-replica", to_cilium(workloads=(WorkloadFacts(workload="shop/Deployment/web", desired=2, ready=2),))),
    ("single-replica", to_cilium(workloads=(WorkloadFacts(workload="shop/DaemonSet/log", desired=1, ready=1),))),
    ("gitops-owner", to_cilium({"rotate_nodes": False},
                               machine_deployments=(make_machine_deployment(gitops_owner="Flux x"),))),
    ("calico-policy", to_mode(ProxyMode.EBPF, policies=PolicyFacts(calico=(CALICO_POLICY,)))),
]  # fmt: skip
