"""A migration under way, one that is taken back, and one that is done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from migration.errors import InvalidRequest
from migration.journal import Journal
from migration.models import CniType, ProxyMode, Runbook
from migration.readiness import blockers, findings, nothing_to_do, refuse_unknown_codes, with_acceptance
from migration.targets import reverting_request
from tests.unit.making import (
    CANAL,
    CILIUM,
    make_cluster,
    make_machine_deployment,
    make_migration,
    make_node,
    make_request,
    make_survey,
)
from tests.unit.readiness_cases import (
    CLOSED,
    FOUR_RANGES,
    OPEN,
    ROLLING,
    ROTATING,
    nodes,
    to_canal,
    to_cilium,
    to_mode,
    webhook,
)

ENDED = datetime(2026, 8, 22, tzinfo=UTC)
SHAKEN: dict[str, Any] = {
    "nodes": (make_node(ready=False),),
    "machine_deployments": (make_machine_deployment(available=2),),
    "webhooks": (webhook(ready_endpoints=0),),
}


def finished(**changes):
    return Journal(migrations=(make_migration(finished_at=ENDED, **changes),))


def test_what_an_interrupted_migration_left_behind_does_not_keep_it_from_going_on():
    unhealthy = make_cluster(cni=CILIUM, health=(("controller", "HealthStatusProvisioning"),))
    case = to_cilium(cluster=unhealthy, journal=OPEN, **SHAKEN)

    assert blockers(findings(case.survey, case.request), ()) == ()


@pytest.mark.parametrize(
    "case",
    [
        to_canal(nodes=nodes(2, cordoned=True), journal=CLOSED, cluster=make_cluster()),
        to_cilium(nodes=(), machine_deployments=ROLLING, journal=ROTATING),
        to_cilium(nodes=nodes(4), journal=ROTATING, cluster=make_cluster(**FOUR_RANGES)),
        to_cilium(nodes=nodes(5, cordoned=True), journal=ROTATING, cluster=make_cluster(**FOUR_RANGES)),
    ],
    ids=["closed", "none-there", "surge", "draining"],
)
def test_nor_does_the_replacement_of_its_nodes(case):
    found = findings(case.survey, case.request)

    assert blockers(found, ()) == ()
    # A node that is opened again takes pods that can't start there, and one that is removed was about to go.
    assert not [finding for finding in found if finding.advice.startswith(("Uncordon", "Remove nodes"))]


def test_nor_from_being_taken_back():
    request = reverting_request(make_request(), make_migration())
    survey = make_survey(cluster=make_cluster(cni=CILIUM), journal=OPEN, **SHAKEN)

    assert blockers(findings(survey, request), ()) == ()
    assert request.runbook is Runbook.CILIUM_TO_CANAL


@pytest.mark.parametrize("cni", [CANAL, CILIUM])
def test_a_revert_sets_out_from_wherever_the_failed_run_left_the_cluster(cni):
    request = reverting_request(make_request(), make_migration())
    survey = make_survey(cluster=make_cluster(cni=cni), journal=OPEN)

    codes = {finding.code for finding in findings(survey, request)}
    assert not codes & {"not-on-canal", "not-on-cilium", "other-migration"}


def test_the_same_trouble_blocks_a_migration_that_has_not_begun():
    case = to_cilium(**SHAKEN)

    codes = {finding.code for finding in blockers(findings(case.survey, case.request), ())}
    assert codes == {"node-not-ready", "machine-deployment-unfinished", "webhook-down"}


DONE = [
    (to_cilium(cluster=make_cluster(cni=CILIUM), journal=finished()), "cilium 1.19.4"),
    (
        to_canal(
            cluster=make_cluster(),
            journal=finished(kind=Runbook.CILIUM_TO_CANAL, previous_cni=CILIUM, desired_cni=CANAL),
        ),
        "canal v3.30",
    ),
    (
        to_mode(
            ProxyMode.EBPF,
            cluster=make_cluster(cni=CILIUM, proxy_mode="ebpf"),
            journal=finished(kind=Runbook.CHANGE_PROXY_MODE, previous_cni=CILIUM, desired_proxy_mode="ebpf"),
        ),
        "ebpf",
    ),
    (
        to_canal({"reverts": "m0"}, cluster=make_cluster(), journal=finished(desired_cni=CANAL, reverts="m0")),
        "canal v3.30",
    ),
]


@pytest.mark.parametrize(("case", "text"), DONE, ids=["to-cilium", "to-canal", "to-ebpf", "revert"])
def test_nothing_to_do_where_this_project_has_been(case, text):
    said = nothing_to_do(case.survey, case.request)

    assert said is not None
    assert text in said
    assert "m1" in said


NOT_DONE = [
    to_cilium(cluster=make_cluster(cni=CILIUM)),
    to_cilium(journal=finished()),
    to_cilium(cluster=make_cluster(cni=CILIUM), journal=OPEN),
    to_cilium({"desired_proxy_mode": ProxyMode.EBPF}, cluster=make_cluster(cni=CILIUM), journal=finished()),
    to_cilium(cluster=make_cluster(cni=CILIUM), journal=finished(reverted_by="m2")),
    to_canal({"reverts": "m1"}, cluster=make_cluster(), journal=finished(desired_cni=CANAL, reverts="m0")),
    to_mode(ProxyMode.EBPF, cluster=make_cluster(cni=CILIUM, proxy_mode="iptables")),
]


@pytest.mark.parametrize("case", NOT_DONE)
def test_there_is_something_to_do_or_to_say_everywhere_else(case):
    assert nothing_to_do(case.survey, case.request) is None


def test_what_was_accepted_is_marked_and_nothing_else():
    case = to_cilium(nodes=(), unseen=("list x",), denied=("get y",))

    found = with_acceptance(findings(case.survey, case.request), ["no-nodes", "view-dimmed", "cluster-paused"])

    assert [finding.code for finding in found if finding.accepted] == ["no-nodes"]
    assert {finding.code for finding in blockers(found, ["no-nodes"])} == {"permission-missing"}


def test_the_cni_of_a_revert_is_the_one_before():
    request = reverting_request(make_request(), make_migration())

    assert request.desired_cni == CANAL
    assert request.desired_cni.type is CniType.CANAL


def test_the_mode_that_a_cluster_has_is_nothing_to_do_unless_that_is_accepted():
    case = to_mode(ProxyMode.EBPF, cluster=make_cluster(cni=CILIUM, proxy_mode="ebpf"))
    accepted = case.request.model_copy(update={"accept": ("mode-already-set",)})

    assert "has kube-proxy mode ebpf: nothing to do" in (nothing_to_do(case.survey, case.request) or "")
    assert nothing_to_do(case.survey, accepted) is None


def test_an_unknown_code_in_accept_is_refused_with_those_that_are_like_it():
    with pytest.raises(InvalidRequest, match=r"'node-not-redy'.*node-not-ready"):
        refuse_unknown_codes(["node-not-redy"])
    refuse_unknown_codes(["node-not-ready", "verification"])
