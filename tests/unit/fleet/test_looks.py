"""Whether a cluster that was seen like this has to be migrated, and what its own run is asked for."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest

from flows.canal_to_cilium import canal_to_cilium
from flows.change_proxy_mode import change_proxy_mode
from flows.cilium_to_canal import cilium_to_canal
from migration.fleet.looks import Need, judged
from migration.fleet.requests import parameters_for
from migration.journal import Journal
from migration.models import Runbook
from tests.unit.fleet.making_fleets import NOW, make_order, ref
from tests.unit.making import CANAL, CILIUM, make_cluster, make_migration

FINISHED = make_migration(finished_at=NOW)
OPEN = make_migration()
MOVING = make_migration(marks={"begun move to the new CNI": NOW.isoformat()})
OTHER = make_migration(kind=Runbook.CHANGE_PROXY_MODE, desired_cni=CANAL, desired_proxy_mode="ipvs")


def journal(migration):
    return Journal(current=migration.id if migration.is_open else None, migrations=(migration,))


@pytest.mark.parametrize(
    ("cluster", "known", "need", "reason"),
    [
        ({"cni": CANAL}, Journal(), Need.MIGRATION, ""),
        ({"cni": CANAL}, journal(OPEN), Need.MIGRATION, ""),
        ({"cni": CILIUM}, journal(MOVING), Need.COMPLETION, "is unfinished"),
        ({"cni": CILIUM}, journal(FINISHED), Need.NONE, "since migration"),
        ({"cni": CILIUM}, Journal(), Need.NONE, "though not by a migration"),
        ({"cni": CILIUM.model_copy(update={"version": "1.18.6"})}, Journal(), Need.LEFT_OUT, "sets out from canal"),
        ({"cni": CANAL}, journal(OTHER), Need.LEFT_OUT, "another migration is open"),
        ({"cni": CANAL, "deleting": True}, Journal(), Need.LEFT_OUT, "being deleted"),
        ({"cni": CANAL, "paused": True}, Journal(), Need.LEFT_OUT, "accept cluster-paused"),
    ],
)
def test_what_a_cluster_needs_follows_from_its_spec_and_journal(cluster, known, need, reason):
    found = judged(make_order(), make_cluster(**cluster), known)

    assert found.need is need
    assert reason in found.reason


BACK = make_migration("2", kind=Runbook.CILIUM_TO_CANAL, desired_cni=CANAL, reverts=FINISHED.id, finished_at=NOW)


@pytest.mark.parametrize(
    ("undone_by", "back_by", "names", "need"),
    [
        (("run-1",), ("run-2",), [], Need.LEFT_OUT),
        (("run-1",), ("run-2",), ["europe/hv2c7xk9tl"], Need.MIGRATION),
        # The run took itself back when it failed: nobody decided against the migration.
        (("run-1",), ("run-1",), [], Need.MIGRATION),
    ],
)
def test_a_cluster_that_somebody_took_back_takes_part_again_only_by_name(undone_by, back_by, names, need):
    undone = FINISHED.model_copy(
        update={"reverted_by": BACK.id, "runs": undone_by, "finished_at": NOW - timedelta(hours=1)}
    )
    known = Journal(migrations=(undone, BACK.model_copy(update={"runs": back_by})))

    found = judged(make_order(selection={"names": names}), make_cluster(cni=CANAL), known)

    assert found.need is need


def test_a_paused_cluster_takes_part_if_that_is_accepted():
    order = make_order(migration={"accept": ["cluster-paused"]})

    assert judged(order, make_cluster(cni=CANAL, paused=True), Journal()).need is Need.MIGRATION


@pytest.mark.parametrize(
    ("runbook", "flow", "options"),
    [
        (Runbook.CANAL_TO_CILIUM, canal_to_cilium, {"tunnel_port": 4000}),
        (Runbook.CILIUM_TO_CANAL, cilium_to_canal, {"remove_crds": True}),
        (Runbook.CHANGE_PROXY_MODE, change_proxy_mode, {"proxy_mode": "nftables"}),
    ],
)
def test_a_cluster_s_run_is_told_everything_that_its_flow_knows(runbook, flow, options):
    parameters = parameters_for(make_order(runbook=runbook, migration=options), ref("c1"))

    known = set(inspect.signature(flow.fn).parameters)
    assert known - set(parameters) == {"stop_at_safe_point"}
    assert flow.validate_parameters(parameters)
    assert options.items() <= parameters.items()
