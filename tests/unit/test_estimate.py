"""How long a run is going to take: its parts, the stretches that they make, and what the journal says to that."""

from __future__ import annotations

import inspect
import re
from typing import Any, ClassVar

import pytest

from flows import runbooks
from migration.estimate import estimate
from migration.facts import EndpointFacts
from migration.models import ProxyMode, Runbook, StepStatus, Stretch
from migration.survey import ApplicationValues
from tasks import cluster, cni, journal, machines, pods, proxy_mode
from tests.unit import past_runs
from tests.unit.making import CANAL, CILIUM, make_cluster, make_machine_deployment, make_migration, make_node, make_pod
from tests.unit.past_runs import WORKERS, Done, past
from tests.unit.readiness_cases import Case, on_cilium, to_canal, to_cilium, to_mode

NO_ROTATION = {"rotate_nodes": False}
EBPF_ALWAYS = {"application": ApplicationValues(values={}), **on_cilium(proxy_mode="ebpf")}
BY_HAND = make_node("byo", owned_by_machine=False)
TWO = (make_machine_deployment(name="a", replicas=2), make_machine_deployment(name="b", replicas=4, surge=2))
OPEN: dict[str, Any] = {"finished_at": None}
SWITCHED = (Done("switch CNI", 2), Done("wait for Cilium", 700, StepStatus.CONFIRMED))


def estimated(case: Case):
    return estimate(case.survey, case.request)


def part_of(case: Case, step: str):
    return next(part for part in estimated(case).parts if step in part.steps)


def web(count: int) -> dict[str, Any]:
    return {"pods": tuple(make_pod(f"shop/web-{number}") for number in range(count))}


def test_it_is_longer_and_the_outage_too_the_more_pods_there_are():
    few, many = estimated(to_cilium(**web(1))), estimated(to_cilium(**web(2000)))

    assert many.seconds > few.seconds
    assert many.outage_seconds > few.outage_seconds > 0


def test_every_part_says_what_it_assumes_and_ends_in_time():
    for case in (to_cilium(), to_canal(), to_mode(ProxyMode.EBPF)):
        found = estimated(case)
        assert all(part.assumption and not part.measured_in for part in found.parts)
        assert all(part.outage_seconds <= part.longest_seconds for part in found.parts)
        assert found.longest_seconds >= found.seconds > 0


def test_machines_are_replaced_one_after_the_other_unless_more_may_surge():
    one = estimated(to_cilium(machine_deployments=(make_machine_deployment(replicas=10),)))
    five = estimated(to_cilium(machine_deployments=(make_machine_deployment(replicas=10, surge=5),)))

    assert one.seconds_of(Stretch.NODES) == 10 * 300
    assert five.seconds_of(Stretch.NODES) == 2 * 300


def test_nobody_is_cut_off_by_nodes_that_go_after_their_pods_have_moved():
    moved, with_nodes = part_of(to_cilium(), WORKERS), part_of(to_canal(**EBPF_ALWAYS), WORKERS)

    assert moved.outage_seconds == 0
    assert with_nodes.outage_seconds == with_nodes.seconds


def test_endpoints_decide_who_moves():
    pod = make_pod()
    there = {pod.key: EndpointFacts(frozenset(pod.addresses), pod.uid)}
    case = to_cilium(endpoints=there, cluster=make_cluster(cni=CILIUM), pods=(pod,))

    assert "restart of 0 pods" in {part.name for part in estimated(case).parts}


class TestStretches:
    """The gates of a run ask for these, by these names."""

    @pytest.mark.parametrize(
        ("case", "stretches"),
        [
            (to_cilium(), ["PREPARE", "MOVE", "REMOVE", "NODES", "VERIFY"]),
            (to_cilium({"desired_proxy_mode": "ebpf"}), ["PREPARE", "MOVE", "REMOVE", "MODE", "NODES", "VERIFY"]),
            (to_cilium(NO_ROTATION, nodes=(BY_HAND,)), ["PREPARE", "MOVE", "REMOVE", "VERIFY"]),
            (to_cilium(nodes=(BY_HAND,)), ["PREPARE", "MOVE", "REMOVE", "NODES", "REBOOTS", "VERIFY"]),
            (to_canal(), ["PREPARE", "MOVE", "NODES", "VERIFY"]),
            (to_canal({"desired_proxy_mode": "ipvs"}), ["PREPARE", "MOVE", "NODES", "VERIFY"]),
            (to_canal(nodes=(BY_HAND,), **EBPF_ALWAYS), ["PREPARE", "MOVE", "VERIFY"]),
            (to_mode(ProxyMode.EBPF), ["PREPARE", "MODE", "NODES", "VERIFY"]),
        ],
    )
    def test_they_follow_each_other_as_in_the_runbook_and_leave_out_what_there_is_nothing_of(self, case, stretches):
        found = estimated(case)

        assert list(dict.fromkeys(part.stretch.name for part in found.parts)) == stretches
        for stretch in Stretch:
            assert (found.seconds_of(stretch) is None) is (stretch.name not in stretches)

    def test_they_make_up_the_whole(self):
        found = estimated(to_cilium({"desired_proxy_mode": "ebpf"}, machine_deployments=TWO, nodes=(BY_HAND,)))

        assert sum(found.seconds_by_stretch.values()) == found.seconds
        assert sum(found.seconds_of(stretch) or 0 for stretch in Stretch) == found.seconds

    def test_each_machine_deployment_is_one(self):
        found = estimated(to_cilium(machine_deployments=(*TWO, make_machine_deployment(name="none", replicas=0))))

        assert found.seconds_of(Stretch.NODES, "kube-system/a") == 2 * 300
        assert found.seconds_of(Stretch.NODES, "kube-system/b") == 2 * 300
        assert found.seconds_of(Stretch.NODES, "kube-system/none") is None
        assert found.seconds_of(Stretch.NODES) == 4 * 300
        keys = [f"replacement of nodes kube-system/{name}" for name in ("a", "b")]
        assert [key for key in found.seconds_by_stretch if "nodes" in key] == keys

    def test_nodes_that_pods_wait_for_belong_to_the_move(self):
        found = estimated(to_canal(machine_deployments=TWO, nodes=(BY_HAND,), **EBPF_ALWAYS))

        assert found.seconds_of(Stretch.NODES, "kube-system/a") is None
        assert found.seconds_of(Stretch.REBOOTS) is None
        assert found.seconds_of(Stretch.MOVE) > 4 * 300 + 600

    @pytest.mark.parametrize(("noted", "stretch"), [("false", Stretch.MOVE), ("true", Stretch.NODES)])
    def test_whether_pods_wait_for_nodes_is_known_from_the_journal_once_cilium_is_gone(self, noted, stretch):
        running = make_migration(
            kind=Runbook.CILIUM_TO_CANAL,
            previous_cni=CILIUM,
            desired_cni=CANAL,
            previous_proxy_mode="ebpf",
            desired_proxy_mode="iptables",
            marks={"cni-uninstall": noted},
        )
        case = to_canal(cluster=make_cluster(), application=None, journal=past_runs.journal(running))

        assert part_of(case, WORKERS).stretch is stretch


class TestSteps:
    """The names under which the steps of a part stand in the journal."""

    NAMES: ClassVar = {
        task: name
        for module in (cluster, cni, journal, machines, pods, proxy_mode)
        for text in inspect.getsource(module).split("\nasync def ")
        for task, name in re.findall(r"\A(\w+)\(.*?perform\(\s*run,\s*f?\"([^\"]+)\"", text, re.DOTALL)
    }

    @pytest.mark.parametrize(
        ("case", "runbook", "not_there"),
        [
            (
                to_cilium({"reverts": "m0", "desired_proxy_mode": "ebpf"}, nodes=(BY_HAND,)),
                runbooks.canal_to_cilium,
                (),
            ),
            (
                to_canal({"reverts": "m0", "desired_proxy_mode": "ipvs", "remove_crds": True}, nodes=(BY_HAND,)),
                runbooks.cilium_to_canal,
                ("close old nodes",),
            ),
            (
                to_canal({"reverts": "m0", "remove_crds": True}, nodes=(BY_HAND,), **EBPF_ALWAYS),
                runbooks.cilium_to_canal,
                ("restart pods",),
            ),
            (to_mode(ProxyMode.EBPF, nodes=(BY_HAND,)), runbooks.change_proxy_mode, ()),
        ],
        ids=["to-cilium", "to-canal", "to-canal with nodes", "proxy-mode"],
    )
    def test_all_steps_of_the_runbook_are_in_its_parts_in_their_order(self, case, runbook, not_there):
        tasks = re.findall(r"await (\w+)\(run", inspect.getsource(runbook))
        of_nodes = re.findall(r"await (\w+)\(run", inspect.getsource(runbooks.replace_nodes))
        wanted = [self.NAMES[task] for task in [*tasks, *of_nodes, "verify", "finish_migration"] if task in self.NAMES]

        found = [step for part in estimated(case).parts for step in part.steps]

        rotated = [step.replace("kube-system/workers", "{machine_deployment}") for step in found]
        assert rotated == [step for step in wanted if step not in not_there]


class TestMeasured:
    """What earlier migrations of the cluster took."""

    def test_an_earlier_migration_says_how_long_it_takes(self):
        case = to_cilium(journal=past_runs.journal(past(*SWITCHED)))

        part = part_of(case, "wait for Cilium")

        assert (part.seconds, part.measured_in) == (702, "m1")
        assert part.assumption == "as measured in migration m1"
        assert part.longest_seconds == 1500

    def test_of_several_the_longest_counts(self):
        runs = (past(Done("remove Canal", seconds), id=f"m{seconds}") for seconds in (20, 50, 30))

        part = part_of(to_cilium(journal=past_runs.journal(*runs)), "remove Canal")

        assert (part.seconds, part.measured_in) == (50, "m50")

    def test_what_took_longer_than_the_worst_that_was_assumed_moves_that_as_well(self):
        case = to_cilium(journal=past_runs.journal(past(Done("remove Canal", 5000))))

        assert part_of(case, "remove Canal").longest_seconds == 5000

    def test_a_step_that_was_broken_off_makes_it_longer_and_never_shorter(self):
        short, long = (past(Done("remove Canal", seconds, after=3600)) for seconds in (3, 400))

        assert part_of(to_cilium(journal=past_runs.journal(short)), "remove Canal").seconds == 60
        lengthened = part_of(to_cilium(journal=past_runs.journal(long)), "remove Canal")
        assert lengthened.seconds == 400
        assert lengthened.assumption.startswith("at least as measured in migration m1")

    @pytest.mark.parametrize(
        ("then", "now", "seconds"),
        [
            (1000, 1000, 600),
            # Twenty rounds of ten seconds and fifteen until the last are ready; forty rounds now.
            (1000, 2000, 600 * 415 / 215),
            (1000, 1, 600 * 25 / 215),
            (0, 2000, 600),
        ],
        ids=["the same", "twice as many", "one", "not counted, but longer than assumed"],
    )
    def test_the_restart_is_scaled_to_the_pods_there_are(self, then, now, seconds):
        case = to_cilium(journal=past_runs.journal(past(Done("restart pods", 600, amount=then))), **web(now))

        part = part_of(case, "restart pods")

        assert part.seconds == pytest.approx(seconds, abs=0.1)
        assert part.outage_seconds == part.seconds

    def test_how_many_were_restarted_is_told(self):
        case = to_cilium(journal=past_runs.journal(past(Done("restart pods", 600, amount=1000))), **web(5))

        assert part_of(case, "restart pods").assumption == "as measured in migration m1, with 1000 pods"

    def test_few_pods_that_nobody_counted_say_nothing_of_many(self):
        case = to_cilium(journal=past_runs.journal(past(Done("restart pods", 3))), **web(2000))

        assert not part_of(case, "restart pods").measured_in

    def test_who_is_cut_off_before_the_restart_stays_so_when_it_is_measured(self):
        restart = past(Done("restart pods", 600, amount=1), kind=Runbook.CILIUM_TO_CANAL)
        case = to_canal(journal=past_runs.journal(restart))

        assert part_of(case, "restart pods").outage_seconds == 600 + 60

    def test_nodes_are_scaled_by_rounds(self):
        run = past(Done("rotate kube-system/b", 1000, amount=10))
        case = to_cilium(machine_deployments=TWO, journal=past_runs.journal(run))

        # Ten machines, two at a time, were five rounds; b has two rounds now, and so has a, one at a time.
        assert part_of(case, "rotate kube-system/b").seconds == 400
        assert part_of(case, "rotate kube-system/a").seconds == 400

    def test_a_stretch_is_the_sum_of_what_is_measured_and_what_is_assumed(self):
        found = estimated(to_cilium(journal=past_runs.journal(past(*SWITCHED))))

        assert found.seconds_of(Stretch.MOVE) == 702 + 60


class TestTakenUp:
    """A run that goes on with a migration has less before it."""

    def test_what_is_behind_it_is_left_out(self):
        running = past(
            *(Done("record baseline", 5, StepStatus.RECORDED), Done("back up", 5, StepStatus.RECORDED)),
            *(Done("remove stale Cilium", 1, StepStatus.ALREADY), Done("allow CNI migration", 1), *SWITCHED),
            Done("restart pods", 60, amount=5),
            **OPEN,
        )

        found = estimated(to_cilium(journal=past_runs.journal(running), cluster=make_cluster(cni=CILIUM)))

        assert found.seconds_of(Stretch.PREPARE) is None
        assert [part.steps[-1] for part in found.parts if part.stretch is Stretch.MOVE] == ["verify pods on Cilium"]
        assert found.seconds_of(Stretch.REMOVE) == 60

    def test_pods_that_came_since_are_restarted_all_the_same(self):
        running = past(*SWITCHED, Done("restart pods", 60, amount=5), **OPEN)

        assert part_of(to_cilium(journal=past_runs.journal(running), **web(3)), "restart pods").seconds > 0

    def test_a_mode_that_is_only_said_so_far_lies_before_it(self):
        running = past(Done("switch kube-proxy mode", 1), desired_proxy_mode="ebpf", **OPEN)
        on_it = make_cluster(cni=CILIUM, proxy_mode="ebpf")
        case = to_cilium({"desired_proxy_mode": "ebpf"}, cluster=on_it, journal=past_runs.journal(running))

        assert estimated(case).seconds_of(Stretch.MODE) == 120

    def test_machines_replaced_so_far_tell_of_those_to_come(self):
        running = past(Done("rotate kube-system/a", 1800, amount=2), **OPEN)

        found = estimated(to_cilium(machine_deployments=TWO, journal=past_runs.journal(running)))

        assert found.seconds_of(Stretch.NODES, "kube-system/a") is None
        assert found.seconds_of(Stretch.NODES, "kube-system/b") == 1800 / 2 * 2

    def test_what_another_migration_has_behind_it_is_not_left_out(self):
        other = past(Done("remove Canal", 5), desired_cni=CANAL, **OPEN)

        assert estimated(to_cilium(journal=past_runs.journal(other))).seconds_of(Stretch.REMOVE) == 60
