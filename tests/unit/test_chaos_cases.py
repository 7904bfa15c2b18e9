"""The cases of the chaos suite come from a seed alone, and leave out no step, no moment and no request."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import prefect
import pytest

from flows import runbooks
from migration.models import Runbook, Stretch
from tests.chaos.bounded import CASES
from tests.chaos.campaign import in_rounds, ways
from tests.chaos.cases import (
    APART,
    CHANGE_TROUBLES,
    DECISIVE,
    EVERY_TROUBLE,
    KILLS,
    RETURNS,
    WITH_EVERY_TROUBLE,
    all_cases,
    decisive_changes,
    find_case,
    spread,
)
from tests.chaos.patterns import pattern_of, step_name
from tests.chaos.recording import changes_of, events_of, requests_of
from tests.chaos.scenarios import BY_NAME, CANAL, CILIUM_EBPF, FLOWS, SCENARIOS, way_to
from tests.chaos.strikes import Orders, Strike, from_json, to_json

README = Path(__file__).parents[2] / "README.md"
SEED = 7
ORDINARY = ("check readiness", "begin migration", "record baseline", "verify", "finish migration")
OF_REVERTS = ("open closed nodes", "restore policies")


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


def test_the_whole_suite_is_as_large_as_the_readme_says(cases):
    assert f"runs {len(cases)} cases" in README.read_text()
    assert f"{CASES} of them" in README.read_text()
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
        if case.flow == flow and case.fault != EVERY_TROUBLE and not case.scenario.goes_back
        for strike in case.strikes
        if strike.kind == "request"
    )

    assert troubled.keys() == asked
    assert set(troubled.values()) == {1}


@pytest.mark.parametrize("name", WITH_EVERY_TROUBLE)
def test_every_decisive_change_of_a_scenario_meets_every_kind_of_trouble(cases, name):
    changes = {(found.step, found.method, found.path) for found in decisive_changes(BY_NAME[name])}
    met = Counter(
        (strike.step, strike.method, strike.path, strike.trouble)
        for case in cases
        if case.scenario.name == name and case.fault == EVERY_TROUBLE
        for strike in case.strikes
    )

    assert met == Counter({(*change, trouble): 1 for change in changes for trouble in CHANGE_TROUBLES})


def test_every_kind_of_decisive_change_is_among_them():
    changes = [found for name in WITH_EVERY_TROUBLE for found in decisive_changes(BY_NAME[name])]

    for step, method, part in DECISIVE:
        assert any((found.step, found.method) == (step, method) and part in found.path for found in changes), (
            f"{method} {part} in '{step}'"
        )


def test_a_kill_inside_is_of_a_step_that_asks_for_something(cases):
    inside = [case for case in cases if case.fault == "kill-inside"]

    assert all(events_of(case.scenario.name, case.step) for case in inside)


@pytest.mark.parametrize("name", APART)
def test_a_scenario_apart_is_killed_where_it_differs(cases, name):
    killed = {(case.step, case.fault) for case in cases if case.scenario.name == name and case.fault in KILLS}

    assert killed == set(itertools.product(APART[name], KILLS))


def test_where_pods_move_with_their_nodes_these_are_really_closed():
    assert changes_of("cilium-to-canal+born-on-ebpf", "close old nodes") > 0


def test_only_reads_that_share_a_case_may_be_left_out(cases):
    for case in cases:
        is_bundle = all(strike.method == "GET" for strike in case.strikes)
        assert case.least_met == (1 if is_bundle else len(case.strikes))


def test_runs_that_take_themselves_back_are_killed_over_it(cases):
    back = {case.step: case.strikes[1].turn for case in cases if case.fault == "kill-going-back"}

    assert back == {step: turn for step, turn in RETURNS if step}


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
    assert {case.flow for case in part if case.fault == EVERY_TROUBLE or case.scenario.name in APART} == set(FLOWS)


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
        ("PATCH", "/api/v2/projects/p1/clusters/abc", "/api/v2/projects/[^/]+/clusters/{cluster}"),
        ("GET", "/api/v2/projects/p1/clusters/abc/health", "/api/v2/projects/[^/]+/clusters/{cluster}/health"),
        ("GET", "/api/v2/projects/p1/clusters", "/api/v2/projects/[^/]+/clusters"),
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
