"""Canaries that resemble the rest, and the batches after them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migration.fleet.looks import Need
from migration.fleet.models import Waves
from migration.fleet.waves import FleetPlan, plan_waves
from tests.unit.fleet.making_fleets import make_listed, make_look, make_plan, ref


def names(wave):
    return [one.name for one in wave]


def test_canaries_show_together_as_much_of_the_fleet_as_they_can():
    clusters = [
        *(make_listed(f"o{number}") for number in range(6)),
        *(make_listed(f"w{number}", provider="aws", kubernetes_version="1.33.1") for number in range(3)),
        make_listed("v0", provider="vsphere", proxy_mode="iptables"),
    ]
    looks = {cluster.ref: make_look() for cluster in clusters}
    looks[ref("o3")] = make_look(policies=("calico",))

    plan = plan_waves(clusters, looks, Waves(canaries=3))

    assert names(plan.waves[0]) == ["o3", "w0", "v0"]


def test_of_equals_the_smallest_is_the_canary_and_then_the_first_by_name():
    clusters = [make_listed(name) for name in ("b", "a", "c")]
    looks = {ref("a"): make_look(nodes=3), ref("b"): make_look(nodes=2), ref("c"): make_look(nodes=2)}

    assert names(plan_waves(clusters, looks, Waves(canaries=2)).waves[0]) == ["b", "c"]


def test_what_cannot_be_looked_at_is_no_canary_and_what_is_half_migrated_goes_with_them():
    clusters = [make_listed(name) for name in ("a", "b", "c", "d")]
    looks = {
        ref("a"): make_look(Need.UNKNOWN, reason="no answer"),
        ref("b"): make_look(Need.COMPLETION),
        ref("c"): make_look(),
        ref("d"): make_look(Need.NONE),
    }

    plan = plan_waves(clusters, looks, Waves())

    assert [names(wave) for wave in plan.waves] == [["b", "c"], ["a"]]
    assert [member.ref.name for member in plan.members if member.wave is None] == ["d"]


def test_there_are_two_canaries_of_up_to_ten_clusters_and_three_of_more():
    assert [len(make_plan(count).waves[0]) for count in (1, 2, 10, 11, 100)] == [1, 2, 2, 3, 3]


def test_batches_grow_as_asked_for():
    assert [len(wave) for wave in make_plan(30, canaries=2, batch_size=4, growth=2).waves] == [2, 4, 8, 16]
    assert [len(wave) for wave in make_plan(10, canaries=0, batch_size=4, growth=1.5).waves] == [4, 6]
    assert make_plan(0).waves == ()


@given(st.integers(0, 60), st.integers(0, 5), st.integers(1, 20), st.floats(1, 10), st.randoms())
def test_every_cluster_is_in_one_wave_whatever_the_order_of_the_list(count, canaries, batch, growth, random):
    clusters = [make_listed(f"c{number:02}", provider=f"p{number % 3}") for number in range(count)]
    looks = {cluster.ref: make_look(nodes=1 + int(cluster.ref.name[1:]) % 7) for cluster in clusters}
    options = Waves(canaries=canaries, batch_size=batch, growth=growth)
    plan = plan_waves(clusters, looks, options)

    assert sorted(one.name for wave in plan.waves for one in wave) == [cluster.ref.name for cluster in clusters]
    shuffled = random.sample(clusters, count)
    assert plan_waves(shuffled, looks, options) == plan
    assert FleetPlan.model_validate_json(plan.model_dump_json()) == plan
