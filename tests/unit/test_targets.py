from datetime import timedelta
from typing import Any

import pytest

from migration.errors import InvalidRequest
from migration.journal import Journal
from migration.models import Cni, CniType, Network, ProxyMode, Runbook
from migration.targets import (
    desired_network,
    is_done,
    is_same_migration,
    migration_to_take_back,
    reverting_request,
    why_nothing_to_do,
)
from tests.unit.making import CANAL, CILIUM, make_cluster, make_migration, make_request
from tests.unit.test_journal import BEGIN

OTHER_CILIUM = Cni(type=CniType.CILIUM, version="1.18.10")
EBPF_CLUSTER = make_cluster(cni=CILIUM, proxy_mode="ebpf")
THERE: dict[str, Any] = {"previous_cni": CANAL, "desired_cni": CILIUM}
BACK: dict[str, Any] = {"kind": Runbook.CILIUM_TO_CANAL, "previous_cni": CILIUM, "desired_cni": CANAL}


def done(migration_id="m1", **changes):
    return make_migration(migration_id, **{"finished_at": BEGIN, **changes})


def journal_of(*migrations):
    journal = Journal()
    for migration in migrations:
        journal = journal.with_migration(migration)
    return journal


def to_canal(**changes):
    return make_request(runbook=Runbook.CILIUM_TO_CANAL, desired_cni=CANAL, **changes)


def to_mode(mode, **changes):
    return make_request(runbook=Runbook.CHANGE_PROXY_MODE, desired_cni=None, desired_proxy_mode=mode, **changes)


@pytest.mark.parametrize(
    ("request_", "cluster", "journal", "desired"),
    [
        (make_request(), make_cluster(), Journal(), (CILIUM, "iptables")),
        (make_request(desired_proxy_mode=ProxyMode.EBPF), make_cluster(), Journal(), (CILIUM, "ebpf")),
        (to_mode(ProxyMode.IPVS), make_cluster(), Journal(), (CANAL, "ipvs")),
        (to_canal(), make_cluster(cni=CILIUM, proxy_mode="ipvs"), Journal(), (CANAL, "ipvs")),
        (to_canal(), EBPF_CLUSTER, Journal(), (CANAL, "iptables")),
        (to_canal(), EBPF_CLUSTER, journal_of(done(previous_proxy_mode="ipvs")), (CANAL, "ipvs")),
        (
            to_canal(),
            EBPF_CLUSTER,
            journal_of(done(previous_proxy_mode="ipvs", previous_cni=OTHER_CILIUM)),
            (CANAL, "iptables"),
        ),
        (
            to_canal(),
            EBPF_CLUSTER,
            journal_of(done("m1", previous_proxy_mode="ipvs"), done("m2", previous_proxy_mode="nftables")),
            (CANAL, "nftables"),
        ),
        (
            to_canal(desired_proxy_mode=ProxyMode.NFTABLES),
            EBPF_CLUSTER,
            journal_of(done(previous_proxy_mode="ipvs")),
            (CANAL, "nftables"),
        ),
    ],
)
def test_what_a_request_leaves_open_is_taken_from_cluster_and_journal(request_, cluster, journal, desired):
    assert desired_network(request_, cluster, journal) == Network(cni=desired[0], proxy_mode=desired[1])


@pytest.mark.parametrize(
    ("request_", "migration", "is_same"),
    [
        (make_request(), make_migration(**THERE), True),
        (make_request(desired_proxy_mode=ProxyMode.IPTABLES), make_migration(**THERE), True),
        (make_request(desired_proxy_mode=ProxyMode.EBPF), make_migration(**THERE), False),
        (make_request(desired_cni=OTHER_CILIUM), make_migration(**THERE), False),
        (make_request(), make_migration(desired_proxy_mode="ebpf", **THERE), True),
        (to_canal(), make_migration(**BACK), True),
        (to_canal(reverts="m0"), make_migration(**BACK), False),
        (to_canal(), make_migration(reverts="m0", **BACK), False),
        (to_canal(reverts="m0"), make_migration(reverts="m0", **BACK), True),
        (to_canal(), make_migration(**THERE), False),
        (
            to_mode(ProxyMode.IPVS),
            make_migration(kind=Runbook.CHANGE_PROXY_MODE, desired_cni=CANAL, desired_proxy_mode="ipvs"),
            True,
        ),
        (
            to_mode(ProxyMode.NFTABLES),
            make_migration(kind=Runbook.CHANGE_PROXY_MODE, desired_cni=CANAL, desired_proxy_mode="ipvs"),
            False,
        ),
    ],
)
def test_a_request_goes_on_with_a_migration_that_leads_to_the_same_end(request_, migration, is_same):
    assert is_same_migration(request_, migration) is is_same


ON_CILIUM = make_cluster(cni=CILIUM)


@pytest.mark.parametrize(
    ("request_", "cluster", "journal", "is_nothing"),
    [
        (make_request(), make_cluster(), Journal(), False),
        (make_request(), ON_CILIUM, Journal(), False),  # nobody of this project brought it there
        (make_request(), ON_CILIUM, journal_of(done()), True),
        (make_request(), ON_CILIUM, journal_of(done(), make_migration("m2")), False),
        (make_request(), ON_CILIUM, journal_of(done(reverted_by="m9")), False),
        (make_request(desired_proxy_mode=ProxyMode.EBPF), ON_CILIUM, journal_of(done()), False),
        (make_request(desired_cni=OTHER_CILIUM), ON_CILIUM, journal_of(done()), False),
        (to_canal(), make_cluster(), journal_of(done(**BACK)), True),
        (to_canal(reverts="m0"), make_cluster(), journal_of(done(**BACK)), False),
        (to_canal(reverts="m0"), make_cluster(), journal_of(done(reverts="m0", **BACK)), True),
        (to_mode(ProxyMode.IPTABLES), make_cluster(), Journal(), True),
        (to_mode(ProxyMode.IPVS), make_cluster(), Journal(), False),
        (to_mode(ProxyMode.IPTABLES), make_cluster(), journal_of(make_migration()), False),
    ],
)
def test_there_is_nothing_to_do_only_where_a_migration_ended(request_, cluster, journal, is_nothing):
    assert bool(why_nothing_to_do(request_, cluster, journal)) is is_nothing


def test_what_is_done_is_told_with_the_migration_that_did_it():
    assert "since migration m1" in str(why_nothing_to_do(make_request(), ON_CILIUM, journal_of(done())))
    assert is_done(make_request(), ON_CILIUM, journal_of(done())).id == "m1"


@pytest.mark.parametrize(
    ("migration", "runbook", "cni", "mode"),
    [
        (make_migration(**THERE), Runbook.CILIUM_TO_CANAL, CANAL, ProxyMode.IPTABLES),
        (make_migration(desired_proxy_mode="ebpf", **THERE), Runbook.CILIUM_TO_CANAL, CANAL, ProxyMode.IPTABLES),
        (make_migration(previous_proxy_mode="ebpf", **BACK), Runbook.CANAL_TO_CILIUM, CILIUM, ProxyMode.EBPF),
        (
            make_migration(kind=Runbook.CHANGE_PROXY_MODE, desired_proxy_mode="ipvs"),
            Runbook.CHANGE_PROXY_MODE,
            None,
            ProxyMode.IPTABLES,
        ),
        (make_migration(previous_proxy_mode="", **THERE), Runbook.CILIUM_TO_CANAL, CANAL, None),
    ],
)
def test_the_way_back_leads_to_what_was_before(migration, runbook, cni, mode):
    back = reverting_request(make_request(rotate_nodes=False), migration)

    assert (back.runbook, back.desired_cni, back.desired_proxy_mode) == (runbook, cni, mode)
    assert (back.reverts, back.rotate_nodes) == (migration.id, False)


class TestWhatARevertTakesBack:
    """The unfinished migration, or else the last one; never what somebody changed since."""

    def test_of_several_the_unfinished_one(self):
        journal = Journal(current="m2", migrations=(make_migration("m1", finished_at=BEGIN), make_migration("m2")))

        assert migration_to_take_back(journal, make_cluster()).id == "m2"

    def test_of_a_revert_the_one_that_it_takes_back(self):
        first = make_migration("m1", finished_at=BEGIN, reverted_by="m2")
        reverse = make_migration("m2", previous_cni=CILIUM, desired_cni=CANAL, reverts="m1", finished_at=BEGIN)

        assert migration_to_take_back(Journal(migrations=(first, reverse)), make_cluster()).id == "m1"

    @pytest.mark.parametrize("reverts", ["", "m0"])
    def test_a_cluster_that_was_changed_since_is_left_to_people(self, reverts):
        last = make_migration("m1", finished_at=BEGIN, reverts=reverts)
        earlier = make_migration("m0", finished_at=BEGIN - timedelta(hours=1))
        journal = Journal(migrations=(earlier, last))

        with pytest.raises(InvalidRequest, match=r"was changed to .* since migration m1"):
            migration_to_take_back(journal, make_cluster(cni=CILIUM, proxy_mode="nftables"))

    def test_an_empty_journal_has_none(self):
        with pytest.raises(InvalidRequest, match="no migration that could be taken back"):
            migration_to_take_back(Journal(), make_cluster())

    def test_what_was_asked_for_the_one_cni_is_not_asked_for_the_other(self):
        request = make_request(manifest="canal.yaml", remove_crds=True)

        reverse = reverting_request(request, make_migration("m1"))

        assert (reverse.manifest, reverse.remove_crds) == ("", False)

    def test_an_edited_journal_is_told_as_such(self):
        with pytest.raises(InvalidRequest, match=r"'IPVS'.*its journal was edited"):
            reverting_request(make_request(), make_migration("m1", previous_proxy_mode="IPVS"))


ON_CANAL_AGAIN = make_cluster()
MINE = {"run_id": "mine"}


@pytest.mark.parametrize(
    ("request_", "journal", "words"),
    [
        (make_request(**MINE), journal_of(done(runs=("mine",), reverted_by="m2", **THERE)), "was taken back by m2"),
        (make_request(**MINE), journal_of(done(runs=("mine",), **THERE)), "was finished meanwhile"),
        (make_request(run_id="new"), journal_of(done(runs=("mine",), reverted_by="m2", **THERE)), None),
        (make_request(**MINE), journal_of(make_migration(runs=("mine",))), None),
        (
            make_request(**MINE),
            journal_of(
                done(runs=("mine",), reverted_by="m2", **THERE), done("m2", runs=("mine",), reverts="m1", **BACK)
            ),
            None,
        ),
        (make_request(is_errand=True), journal_of(), "no safe point to go to"),
        (make_request(is_errand=True), journal_of(make_migration()), None),
    ],
    ids=["taken back", "finished", "a new run", "still open", "took itself back", "an errand too late", "an errand"],
)
def test_a_run_has_nothing_to_do_once_others_have_ended_what_it_worked_on(request_, journal, words):
    found = why_nothing_to_do(request_, ON_CANAL_AGAIN, journal)

    assert bool(found) is bool(words)
    assert (words or "") in (found or "")
