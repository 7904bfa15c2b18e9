"""Which clusters take part in a roll-out."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from migration.errors import InvalidRequest
from migration.fleet.label_selectors import parse_selector
from migration.fleet.looks import Need
from migration.fleet.models import FleetOrder, Selection
from migration.fleet.selection import confirmed, refuse_twins, select
from migration.models import Runbook
from migration.patches import UNSAFE_CNI_MIGRATION
from tests.unit.fleet.making_fleets import make_listed, make_look, make_order, ref

LABELS = {"env": "test", "tier": "a", "example.com/owner": "net"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("env=test", True),
        ("env == test", True),
        ("env=prod", False),
        ("env!=prod", True),
        ("absent!=prod", True),
        ("env", True),
        ("absent", False),
        ("!absent", True),
        ("!env", False),
        ("tier in (a, b)", True),
        ("tier in (b)", False),
        ("tier notin (b,c)", True),
        ("absent notin (b,c)", True),
        ("tier notin (a)", False),
        ("example.com/owner=net", True),
        ("env=test,tier in (a,b),!absent", True),
        ("env=test,tier=b", False),
        ("env=", False),
    ],
)
def test_label_selectors_are_read_as_kubectl_reads_them(text, holds):
    assert parse_selector(text)(LABELS) is holds


@pytest.mark.parametrize(
    "text", ["env=test,", "tier in a", "=x", "env in (a", "env>(3)", "-env=x", "a=b c", ",", "in (a)"]
)
def test_what_is_no_label_selector_is_refused_with_what_one_is(text):
    with pytest.raises(ValidationError, match="label selector"):
        Selection(labels=text)


FLEET = (
    make_listed("a", labels={"env": "test"}),
    make_listed("b", project="p2", datacenter="dc2", provider="aws", kubernetes_version="1.33.7"),
    make_listed("c", cni="canal v3.29"),
    make_listed("d", cni="cilium 1.19.4"),
    make_listed("e", cni="cilium 1.19.4", labels={UNSAFE_CNI_MIGRATION: ""}),
    make_listed("a", seed="asia"),
)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, "asia/a europe/a europe/b europe/c europe/e"),
        ({"labels": "env=test"}, "europe/a"),
        ({"projects": ["p2"]}, "europe/b"),
        ({"datacenters": ["dc2", "dc3"]}, "europe/b"),
        ({"providers": ["aws"]}, "europe/b"),
        ({"kubernetes_versions": ["1.33"]}, "europe/b"),
        ({"cni_versions": ["v3.29"]}, "europe/c europe/e"),
        ({"names": ["b", "asia/a"]}, "asia/a europe/b"),
        ({"names": ["d"]}, "europe/d"),
        ({"names": ["b", "c"], "providers": ["aws"]}, "europe/b"),
        ({"excluded": ["europe/a", "e"]}, "asia/a europe/b europe/c"),
    ],
)
def test_whatever_is_given_has_to_hold_of_a_cluster(selection, expected):
    order = make_order(seeds=("europe", "asia"), selection=selection)

    assert " ".join(str(cluster.ref) for cluster in select(FLEET, order)) == expected


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ({"names": ["b", "nn"]}, "selection.names has nn, which none of the seeds has"),
        ({"names": ["europe/bb"]}, "like europe/bb are europe/b"),
        ({"excluded": ["zz"]}, "selection.excluded has zz"),
        ({"names": ["a"]}, "more than one seed has: write europe/a or asia/a"),
        ({"names": ["b"], "excluded": ["europe/b"]}, "stands in names and in excluded"),
    ],
)
def test_names_that_no_seed_has_or_that_two_have_are_an_error(selection, told):
    with pytest.raises(InvalidRequest, match=told):
        select(FLEET, make_order(seeds=("europe", "asia"), selection=selection))


def test_a_cluster_in_the_middle_of_the_migration_takes_part_whatever_its_spec_says_by_now():
    order = make_order(selection={"cni_versions": ["v3.29"]})
    chosen = [
        make_listed("e", cni="cilium 1.19.4"),
        make_listed("f", cni="cilium 1.19.4"),
        make_listed("c", cni="canal v3.29"),
    ]
    looks = {
        ref("e"): make_look(Need.COMPLETION, previous_cni_version="v3.29"),
        ref("f"): make_look(Need.NONE),
        ref("c"): make_look(),
    }

    assert [cluster.ref.name for cluster in confirmed(chosen, looks, order)] == ["e", "c"]


def test_a_cluster_that_somebody_named_stays_even_if_there_is_nothing_to_do():
    looks = {ref("d"): make_look(Need.NONE)}

    assert confirmed([make_listed("d", cni="cilium 1.19.4")], looks, make_order(selection={"names": ["d"]}))
    assert not confirmed([make_listed("d", cni="cilium 1.19.4")], looks, make_order())


def test_a_change_of_the_proxy_mode_sets_out_from_every_other_mode():
    order = make_order(runbook=Runbook.CHANGE_PROXY_MODE, migration={"proxy_mode": "ebpf"})
    clusters = [make_listed("a", proxy_mode="ipvs"), make_listed("b", proxy_mode="ebpf", cni="cilium 1.19.4")]

    assert [cluster.ref.name for cluster in select(clusters, order)] == ["a"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": ()}, "at least 1"),
        ({"seeds": ("a", "b", "a")}, "a is named more than once"),
        ({"seeds": ("a b",)}, "no name of a connection"),
        ({"runbook": Runbook.CHANGE_PROXY_MODE}, "set migration.proxy_mode"),
        ({"runbook": Runbook.CILIUM_TO_CANAL, "migration": {"tunnel_port": 4000}}, "knows no tunnel_port"),
        ({"migration": {"pods": {"speed": 1}}}, "Extra inputs"),
        ({"waves": {"concurrent": 0}}, "greater than or equal to 1"),
    ],
)
def test_orders_that_cannot_be_meant_are_refused(changes, told):
    with pytest.raises(ValidationError, match=told):
        FleetOrder.model_validate({"seeds": ("europe",), "runbook": Runbook.CANAL_TO_CILIUM, **changes})


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ({"labels": "env=tset"}, "selection.labels: none of the 6 clusters of these seeds fits"),
        (
            {"providers": ["mars"], "kubernetes_versions": ["1.3"]},
            "selection.providers, selection.kubernetes_versions:",
        ),
        ({"labels": "env=test", "providers": ["aws"]}, "fits all of selection's fields together"),
    ],
)
def test_what_fits_no_cluster_at_all_is_an_error_and_no_finished_fleet(selection, told):
    with pytest.raises(InvalidRequest, match=told):
        select(FLEET, make_order(selection=selection))


def test_a_fleet_that_is_migrated_already_is_no_error():
    done = [make_listed("a", cni="cilium 1.19.4", labels={"env": "test"})]

    assert select(done, make_order(selection={"labels": "env=test", "cni_versions": ["v3.30"]})) == ()
    assert select([], make_order(selection={"labels": "env=test"})) == ()


@pytest.mark.parametrize(
    ("first", "second", "third"),
    [
        ({"uid": "1"}, {"uid": "1"}, None),
        ({}, {"uid": "1"}, None),
        ({"uid": "1"}, {}, None),
        ({}, {}, None),
        ({"uid": "1"}, {"uid": "2"}, {"uid": "2"}),
        ({"uid": "1"}, {"uid": "2"}, {}),
    ],
    ids=["two to a seed", "REST and a seed", "a seed and REST", "REST twice", "the last two", "the first and the last"],
)
def test_two_connections_to_the_same_clusters_are_refused(first, second, third):
    found = [make_listed(seed="a", **first), make_listed(seed="b", **second)]
    if third is not None:
        found.append(make_listed(seed="c", **third))

    with pytest.raises(InvalidRequest, match=r"the connections \w and \w lead to the same clusters: both have c1"):
        refuse_twins([make_listed("other", seed="a"), *found])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"uid": "1"}, {"uid": "2"}),
        ({"project": "p1"}, {"project": "p2"}),
        ({"name": "c1"}, {"name": "c2"}),
    ],
    ids=["another uid", "another project", "another ID"],
)
def test_clusters_that_only_resemble_each_other_are_two(one, other):
    refuse_twins([make_listed(seed="a", **one), make_listed(seed="b", **other)])
