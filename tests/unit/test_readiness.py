from datetime import UTC, datetime

import pytest

from migration.journal import Migration
from migration.models import BarePodChoice, JobChoice, Owner, RestartOptions, RestartStrategy, Severity
from migration.readiness import blockers, findings, nothing_to_do
from tests.unit.making import (
    CANAL,
    CILIUM,
    make_cluster,
    make_machine_deployment,
    make_node,
    make_pod,
    make_request,
    make_survey,
)


def make_migration(**changes):
    fields = {
        "id": "20260821-abc",
        "started_at": datetime(2026, 8, 21, tzinfo=UTC),
        "started_by": "a run",
        "previous_cni": CANAL,
        "desired_cni": CILIUM,
        "previous_proxy_mode": "iptables",
        "label_was_there": False,
        "tunnel_port": 8473,
    }
    return Migration(**{**fields, **changes})


def codes(survey, request=None):
    """Everything but the reminder of the firewall, which every migration gets."""
    found = findings(survey, request or make_request())
    return {finding.code: finding.severity for finding in found if finding.code != "tunnel-port"}


def test_a_sound_cluster_has_no_finding():
    assert codes(make_survey()) == {}


@pytest.mark.parametrize(
    ("told", "reached"),
    [("https://a.test:443", "https://A.test/"), ("https://a.test", ""), ("", "https://b.test")],
)
def test_the_way_in_is_not_doubted_without_reason(told, reached):
    assert codes(make_survey(cluster=make_cluster(api_url=told), reached_url=reached)) == {}


def test_every_migration_is_reminded_of_the_port_that_no_api_shows():
    found = findings(make_survey(), make_request(tunnel_port=9000))

    assert [(finding.code, finding.subject) for finding in found] == [("tunnel-port", "UDP port 9000")]


BLOCKING = [
    ("cluster-deleted", {"cluster": make_cluster(deleting=True)}, {}),
    ("cluster-paused", {"cluster": make_cluster(paused=True)}, {}),
    ("worker-name", {"cluster": make_cluster(worker_name="ops-laptop")}, {}),
    ("cluster-unhealthy", {"cluster": make_cluster(health=(("etcd", "HealthStatusDown"),))}, {}),
    ("cluster-updating", {"cluster": make_cluster(phase="Updating")}, {}),
    ("cluster-updating", {"cluster": make_cluster(update_reason="ClusterUpdateInProgress")}, {}),
    ("another-api-server", {"cluster": make_cluster(api_url="https://a.test"), "reached_url": "https://b.test"}, {}),
    ("another-api-server", {"cluster": make_cluster(api_url="https://a/x"), "reached_url": "https://a/y"}, {}),
    ("not-on-canal", {"cluster": make_cluster(cni=CILIUM)}, {}),
    ("version-not-installable", {}, {"cilium_version": "v1.11"}),
    ("version-not-offered", {}, {"cilium_version": "1.99.0"}),
    ("version-invalid", {}, {"cilium_version": "latest"}),
    ("no-application-definition", {"offered_versions": None}, {}),
    ("tunnel-port-clash", {}, {"tunnel_port": 8472}),
    ("no-nodes", {"nodes": ()}, {}),
    ("node-not-ready", {"nodes": (make_node(ready=False),)}, {}),
    ("node-architecture", {"nodes": (make_node(architecture="s390x"),)}, {}),
    ("machine-deployment-paused", {"machine_deployments": (make_machine_deployment(paused=True),)}, {}),
    ("machine-deployment-unfinished", {"machine_deployments": (make_machine_deployment(available=2),)}, {}),
    ("permission-missing", {"denied": ("delete pods on user cluster x",)}, {}),
    ("bare-pod", {"pods": (make_pod(owner=None),)}, {"pods": RestartOptions(bare_pods=BarePodChoice.FAIL)}),
    ("other-migration", {"open_migration": make_migration()}, {"cilium_version": "1.18.10"}),
]


@pytest.mark.parametrize(("code", "seen", "asked"), BLOCKING, ids=[f"{row[0]}-{i}" for i, row in enumerate(BLOCKING)])
def test_blockers_fire_on_their_own(code, seen, asked):
    survey, request = make_survey(**seen), make_request(**asked)

    found = blockers(findings(survey, request), ())

    assert [finding.code for finding in found] == [code]
    assert blockers(findings(survey, request), [code]) == ()


WARNING = [
    ("ipvs-with-cilium", {"cluster": make_cluster(proxy_mode="ipvs")}, {}),
    ("node-cordoned", {"nodes": (make_node(cordoned=True),)}, {}),
    ("node-without-machine", {"nodes": (make_node(owned_by_machine=False),)}, {}),
    ("budget-blocks", {"blocked_budgets": ("shop/web",)}, {"pods": RestartOptions(strategy=RestartStrategy.EVICT)}),
    ("calico-policies", {"calico_policies": ("GlobalNetworkPolicy deny",)}, {}),
    ("bare-pod", {"pods": (make_pod(owner=None),)}, {"pods": RestartOptions(bare_pods=BarePodChoice.SKIP)}),
]


@pytest.mark.parametrize(("code", "seen", "asked"), WARNING, ids=[row[0] for row in WARNING])
def test_warnings_fire_and_do_not_block(code, seen, asked):
    survey, request = make_survey(**seen), make_request(**asked)

    assert codes(survey, request) == {code: Severity.WARNING}


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("pod-terminating", {"pods": (make_pod(deleting=True),)}),
        ("bare-pod", {"pods": (make_pod(owner=None),)}),
        ("bare-pod", {"pods": (make_pod(owner=None, host_network=True),)}),
        ("running-job", {"unfinished_jobs": frozenset({"batch/report"})}),
    ],
)
def test_news_is_told_and_does_not_block(code, seen):
    assert codes(make_survey(**seen)) == {code: Severity.INFO}


@pytest.mark.parametrize(
    ("seen", "asked"),
    [
        ({"machine_deployments": (make_machine_deployment(paused=True),)}, {"rotate_nodes": False}),
        ({"nodes": (make_node(owned_by_machine=False),)}, {"rotate_nodes": False}),
        ({"blocked_budgets": ("shop/web",)}, {"rotate_nodes": False}),
        ({"unfinished_jobs": frozenset({"batch/report"})}, {"pods": RestartOptions(jobs=JobChoice.SKIP)}),
        ({"pods": (make_pod(owner=None, host_network=True),)}, {"rotate_nodes": False}),
        ({"pods": (make_pod(owner=Owner(kind="Deployment", name="web")),)}, {}),
        ({"cluster": make_cluster(health=(("machineController", ""),))}, {}),
    ],
)
def test_findings_stay_silent_where_they_do_not_apply(seen, asked):
    assert codes(make_survey(**seen), make_request(**asked)) == {}


def test_all_findings_come_at_once_blockers_first():
    survey = make_survey(
        cluster=make_cluster(paused=True, proxy_mode="ipvs"),
        nodes=(make_node("a", ready=False), make_node("b", ready=False)),
    )

    found = findings(survey, make_request(cilium_version="v1.11"))

    severities = [finding.severity for finding in found]
    assert severities == [Severity.BLOCKER] * 4 + [Severity.WARNING, Severity.INFO]


def test_what_an_interrupted_migration_left_behind_does_not_keep_it_from_going_on():
    survey = make_survey(
        cluster=make_cluster(cni=CILIUM, health=(("controller", "HealthStatusProvisioning"),)),
        nodes=(make_node(ready=False),),
        machine_deployments=(make_machine_deployment(available=2),),
        open_migration=make_migration(),
    )

    assert blockers(findings(survey, make_request()), ()) == ()


def test_nothing_to_do_where_this_project_has_been():
    done = make_migration(finished_at=datetime(2026, 8, 22, tzinfo=UTC))

    assert nothing_to_do(make_survey(cluster=make_cluster(cni=CILIUM), last_migration=done), make_request())


@pytest.mark.parametrize(
    "seen",
    [
        {"cluster": make_cluster(cni=CILIUM)},
        {
            "cluster": make_cluster(cni=CANAL),
            "last_migration": make_migration(finished_at=datetime(2026, 8, 22, tzinfo=UTC)),
        },
        {"cluster": make_cluster(cni=CILIUM), "open_migration": make_migration()},
    ],
)
def test_there_is_something_to_do_or_to_say_everywhere_else(seen):
    assert nothing_to_do(make_survey(**seen), make_request()) is None
