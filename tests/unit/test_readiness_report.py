"""The readiness report, for machines and for people."""

from __future__ import annotations

from migration.models import ProxyMode
from migration.readiness_report import ReadinessReport, readiness_report, readiness_to_markdown
from migration.survey import CniFacts, OwnedObject
from tests.unit import past_runs
from tests.unit.making import make_pod
from tests.unit.past_runs import Done, past
from tests.unit.readiness_cases import on_cilium, pods, to_canal, to_cilium, to_mode
from tests.unit.test_readiness_resuming import DONE

CANAL_OBJECTS = CniFacts(objects=(OwnedObject(kind="DaemonSet", place="kube-system/canal"),))


def report(case) -> ReadinessReport:
    return readiness_report(case.survey, case.request)


def test_a_sound_cluster_is_ready():
    found = report(to_cilium())

    assert found.is_ready
    assert "is ready for canal-to-cilium" in found.verdict


def test_blockers_are_counted_and_named_in_the_verdict():
    found = report(to_cilium(nodes=(), denied=("delete pods", "list pods")))

    assert not found.is_ready
    assert "3 blockers (no-nodes, permission-missing)" in found.verdict


def test_what_is_accepted_blocks_no_more_and_is_told():
    found = report(to_cilium({"accept": ("no-nodes",)}, nodes=()))

    assert found.is_ready
    assert [finding.code for finding in found.accepted] == ["no-nodes"]
    assert "blocker, accepted | no-nodes" in readiness_to_markdown(found)


def test_nothing_to_do_has_no_plan():
    case, _ = DONE[0]

    found = report(case)

    assert found.plan is None
    assert found.is_ready
    assert "nothing to do" in readiness_to_markdown(found)


def test_the_page_has_everything_that_an_operator_asks_for():
    page = readiness_to_markdown(report(to_cilium(canal=CANAL_OBJECTS, **pods(make_pod(), make_pod("shop/web-2")))))

    for part in ("## Steps", "## Estimate", "## Patches", "## Pods to be restarted", "## Objects to be removed"):
        assert part in page
    assert '"unsafe-cni-migration": "true"' in page
    assert "shop/web-1, shop/web-2" in page
    assert "| DaemonSet | kube-system/canal |" in page
    assert "| node-1 | replaced |" in page


def test_the_estimate_shows_where_a_run_may_wait_and_what_was_measured():
    known = past_runs.journal(past(Done("remove Canal", 90)))

    page = readiness_to_markdown(report(to_cilium({"desired_proxy_mode": "ebpf"}, journal=known)))

    for row in (
        "| move to the new CNI: 7 min | Cilium beside Canal | 6 min | 0 s | assumed: ",
        "|  | restart of 0 pods | 0 s | ",
        "| removal of the old CNI: 90 s | removal of Canal | 90 s | 0 s | as measured in migration m1 |",
        "| replacement of nodes kube-system/workers: 15 min | replacement of 3 nodes of kube-system/workers | 15 min |",
        "| together |  | ",
    ):
        assert row in page


def test_a_page_leaves_out_what_there_is_nothing_of():
    page = readiness_to_markdown(report(to_mode(ProxyMode.EBPF)))

    assert "## Pods to be restarted" not in page
    assert "## Objects to be removed" not in page


def test_five_thousand_pods_make_a_page_that_can_be_read():
    many = tuple(make_pod(f"shop/web-{number:04}") for number in range(5000))

    page = readiness_to_markdown(report(to_cilium(**pods(*many))))

    assert "and 4980 more" in page
    assert len(page) < 20_000


def test_it_survives_json():
    found = report(to_canal(**on_cilium(proxy_mode="ebpf")))

    assert ReadinessReport.model_validate_json(found.model_dump_json()) == found
