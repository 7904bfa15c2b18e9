"""The cases of the chaos suite come from a seed alone, and leave out no step, no moment and no request."""

from __future__ import annotations

from collections import Counter

import prefect
import pytest

from flows import runbooks
from migration.models import Runbook, Stretch
from tests.chaos.campaign import in_rounds, ways
from tests.chaos.cases import KILLS, all_cases, find_case, spread
from tests.chaos.patterns import pattern_of, step_name
from tests.chaos.recording import requests_of
from tests.chaos.scenarios import BY_NAME, CANAL, CILIUM_EBPF, FLOWS, SCENARIOS, way_to
from tests.chaos.strikes import Orders, Strike, from_json, to_json

SEED = 7
ORDINARY = ("check readiness", "begin migration", "record baseline", "verify", "finish migration")
OF_REVERTS = ("restore policies",)


@pytest.fixture(scope="module")
def cases():
    return all_cases(SEED)


def steps_of(runbook):
    """Return the names of the tasks that a runbook calls."""
    functions = (runbooks.RUNBOOKS[runbook], runbooks.replace_nodes)
    names = {name for function in functions for name in function.__code__.co_names}
    found = {getattr(runbooks, name, None) for name in names}
    return {task.name for task in found if isinstance(task, prefect.Task)}


def test_a_seed_always_gives_the_same_cases(cases):
    assert all_cases(SEED) == cases


def test_another_seed_strikes_elsewhere(cases):
    others = {case.id.rpartition("/")[0]: case.strikes for case in all_cases(SEED + 1)}
    mine = {case.id.rpartition("/")[0]: case.strikes for case in cases}

    assert len(others.keys() & mine.keys()) > 100
    assert any(others[key] != mine[key] for key in others.keys() & mine.keys())


def test_an_id_alone_brings_its_case_back(cases):
    assert len({case.id for case in cases}) == len(cases)
    assert [find_case(case.id) for case in cases[::150]] == cases[::150]


@pytest.mark.parametrize("unknown", ["", "nonsense", "canal-to-cilium/verify/kill-before/x-1", "a/b/c/7-1"])
def test_an_id_that_is_none_is_refused(unknown):
    with pytest.raises(ValueError, match="there is no case"):
        find_case(unknown)


def test_the_whole_suite_is_large_enough(cases):
    assert len(cases) >= 300
    assert {case.flow for case in cases} == set(FLOWS)


@pytest.mark.parametrize("flow", [runbook.value for runbook in Runbook])
@pytest.mark.parametrize("fault", KILLS)
def test_every_step_of_every_runbook_is_killed_at_every_moment(cases, flow, fault):
    killed = {case.step for case in cases if case.flow == flow and case.fault == fault}

    assert (steps_of(Runbook(flow)) | set(ORDINARY)) - set(OF_REVERTS) <= killed


@pytest.mark.parametrize("fault", KILLS)
def test_every_step_of_a_way_back_is_killed_at_every_moment(cases, fault):
    killed = {case.step for case in cases if case.flow == "revert-migration" and case.fault == fault}
    both_ways = steps_of(Runbook.CANAL_TO_CILIUM) | steps_of(Runbook.CILIUM_TO_CANAL)

    # Definitions go only if that is asked for, which a revert has no parameter for.
    assert both_ways - {"remove Cilium's definitions"} <= killed


@pytest.mark.parametrize("flow", FLOWS)
def test_every_distinct_request_of_a_flow_meets_trouble(cases, flow):
    asked = {
        (found.server, found.method, found.path, found.watch)
        for scenario in SCENARIOS
        if scenario.flow == flow
        for found in requests_of(scenario.name)
    }
    troubled = Counter(
        (strike.server, strike.method, strike.path, strike.watch)
        for case in cases
        if case.flow == flow
        for strike in case.strikes
        if strike.kind == "request"
    )

    assert troubled.keys() == asked
    assert set(troubled.values()) == {1}


def test_what_a_cluster_is_asked_once_starts_on_a_fresh_one(cases):
    assert all(case.scenario.start == CANAL for case in cases if case.wants_fresh_cluster)
    assert any(case.wants_fresh_cluster for case in cases)


@pytest.mark.parametrize("flow", FLOWS)
def test_the_clock_jumps_at_each_safe_point(cases, flow):
    jumps = {case.step for case in cases if case.flow == flow and case.fault == "clock-jump"}

    expected = {Stretch.PREPARE, Stretch.NODES, Stretch.VERIFY} | (
        {Stretch.MODE} if flow == "change-proxy-mode" else {Stretch.MOVE}
    )
    assert {f"safe point: {stretch}" for stretch in expected} <= jumps


def test_a_part_is_spread_over_flows_kinds_of_trouble_and_steps(cases):
    part = spread(cases, 64)

    assert Counter(case.flow for case in part) == dict.fromkeys(FLOWS, 16)
    assert min(Counter((case.flow, case.fault) for case in part if case.fault in KILLS).values()) >= 2
    assert {strike.kind for case in part for strike in case.strikes} == {"kill", "request", "platform", "clock"}
    assert max(Counter((case.flow, case.step) for case in part).values()) <= 3


def test_a_round_has_every_case_once(cases):
    part = spread(cases, 64)

    assert sorted(case.id for case in in_rounds(part)) == sorted(case.id for case in part)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_way_leads_from_end_to_start(scenario):
    for way in (way_to(scenario), tuple(ways(CANAL, scenario)), tuple(ways(CILIUM_EBPF, scenario))):
        assert [later.start for later in (*way, scenario)[1:]] == [step.end for step in way]
        assert not scenario.takes_back or way[-1] is BY_NAME[scenario.takes_back]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", "/api/v1/pods"),
        ("DELETE", "/api/v1/namespaces/shop/pods/web-1", "/api/v1/namespaces/[^/]+/pods/[^/]+"),
        ("DELETE", "/apis/apps/v1/namespaces/kube-system/daemonsets/canal", r"/apis/apps/v1/namespaces/kube\-system/daemonsets/[^/]+"),
        ("GET", "/apis/apps/v1/namespaces/kube-system/daemonsets/canal", r"/apis/apps/v1/namespaces/kube\-system/daemonsets/canal"),
        ("PATCH", "/apis/k/v1/clusters/abc", "/apis/k/v1/clusters/{cluster}"),
        ("GET", "/api/v1/namespaces/cluster-abc/secrets/x", r"/api/v1/namespaces/cluster\-{cluster}/secrets/[^/]+"),
        ("POST", "/api/v1/namespaces/shop/pods/web-1/eviction", "/api/v1/namespaces/[^/]+/pods/[^/]+/eviction"),
    ],
)  # fmt: skip
def test_a_request_has_the_same_pattern_in_every_cluster(method, path, expected):
    assert pattern_of(method, path, cluster="abc") == expected


def test_each_safe_point_is_a_step_of_its_own():
    assert step_name("safe point", object(), Stretch.MOVE) == "safe point: move to the new CNI"
    assert step_name("enter stretch", object(), Stretch.MOVE) == "enter stretch"


def test_orders_reach_the_run_as_they_were_given():
    strike = Strike(kind="kill", step="verify", nth=3)
    orders = Orders(
        flow="canal-to-cilium",
        cluster="abc",
        parameters={},
        connections="",
        lab="",
        log="",
        result="",
        strikes=(strike,),
    )

    assert from_json(to_json(orders)) == orders
