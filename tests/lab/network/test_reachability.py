"""Who reaches whom, as tables."""

from __future__ import annotations

import pytest

from lab.network.reachability import (
    Cni,
    NodeNetwork,
    Place,
    Tunnel,
    are_connected,
    cni_in_charge,
    knows_service_pod,
    port_holder,
    reaches,
)

CANAL, CILIUM = Cni.CANAL, Cni.CILIUM

NODES = {
    node.name: node
    for node in (
        NodeNetwork("both", tunnels={CANAL: Tunnel(8472, joined=1), CILIUM: Tunnel(8473, joined=5)}),
        NodeNetwork("also-both", tunnels={CANAL: Tunnel(8472, joined=2), CILIUM: Tunnel(8473, joined=6)}),
        NodeNetwork("canal-only", tunnels={CANAL: Tunnel(8472, joined=3)}),
        NodeNetwork("canal-left", tunnels={CANAL: Tunnel(8472, joined=2, left=4)}),
        NodeNetwork("canal-new", tunnels={CANAL: Tunnel(8472, joined=7)}),
        NodeNetwork("other-port", tunnels={CILIUM: Tunnel(8472, joined=6)}),
        NodeNetwork("bare"),
    )
}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        # pods of one CNI
        (("both", CANAL), ("both", CANAL), True),
        (("both", CANAL), ("also-both", CANAL), True),
        (("both", CILIUM), ("also-both", CILIUM), True),
        (("both", CANAL), ("canal-only", CANAL), True),
        # pods of two CNIs, even side by side
        (("both", CANAL), ("both", CILIUM), False),
        (("both", CILIUM), ("both", CANAL), False),
        (("both", CANAL), ("also-both", CILIUM), False),
        # a node that learns nothing any more knows the older nodes, not the newer ones
        (("both", CANAL), ("canal-left", CANAL), True),
        (("canal-left", CANAL), ("canal-only", CANAL), True),
        (("canal-left", CANAL), ("canal-new", CANAL), False),
        (("canal-new", CANAL), ("canal-left", CANAL), False),
        (("canal-left", CANAL), ("canal-left", CANAL), True),
        # tunnels that don't meet
        (("both", CILIUM), ("other-port", CILIUM), False),
        (("both", CILIUM), ("canal-only", CILIUM), False),
        # the host's network
        (("both", None), ("both", CANAL), True),
        (("both", None), ("both", CILIUM), True),
        (("both", None), ("also-both", CILIUM), True),
        (("canal-only", None), ("both", CILIUM), False),
        (("bare", None), ("both", CANAL), False),
        (("both", CILIUM), ("canal-only", None), True),
        (("bare", None), ("both", None), True),
        # nodes that are gone
        (("gone", CANAL), ("both", CANAL), False),
        (("both", CANAL), ("gone", CANAL), False),
        (("both", CANAL), ("gone", None), False),
    ],
)
def test_reaches(source: tuple[str, Cni | None], target: tuple[str, Cni | None], expected: bool) -> None:
    assert reaches(Place(*source), Place(*target), NODES) is expected


@pytest.mark.parametrize("one", NODES)
@pytest.mark.parametrize("other", NODES)
@pytest.mark.parametrize("cni", list(Cni))
def test_a_connection_holds_both_ways(one: str, other: str, cni: Cni) -> None:
    assert are_connected(NODES[one], NODES[other], cni=cni) == are_connected(NODES[other], NODES[one], cni=cni)


@pytest.mark.parametrize(
    ("conflists", "expected"),
    [
        (set(), None),
        ({"10-canal.conflist"}, CANAL),
        ({"05-cilium.conflist"}, CILIUM),
        ({"10-canal.conflist", "05-cilium.conflist"}, CILIUM),
        ({"00-unknown.conflist"}, None),
    ],
)
def test_first_conflist_in_the_alphabet_decides(conflists: set[str], expected: Cni | None) -> None:
    assert cni_in_charge(NodeNetwork("n", conflists=frozenset(conflists))) is expected


@pytest.mark.parametrize(
    ("tunnels", "cni", "port", "expected"),
    [
        ({CANAL: Tunnel(8472, joined=1)}, CILIUM, 8472, "flannel.1"),
        ({CANAL: Tunnel(8472, joined=1)}, CILIUM, 8473, None),
        ({CILIUM: Tunnel(8472, joined=1, left=2)}, CANAL, 8472, "cilium_vxlan"),
        ({CILIUM: Tunnel(8472, joined=1)}, CILIUM, 8472, None),
        ({}, CILIUM, 8472, None),
    ],
)
def test_a_port_is_held_by_the_other_cni_only(
    tunnels: dict[Cni, Tunnel], cni: Cni, port: int, expected: str | None
) -> None:
    assert port_holder(NodeNetwork("n", tunnels=tunnels), cni=cni, port=port) == expected


@pytest.mark.parametrize(
    ("rules", "ready_since", "expected"),
    [
        ({}, 1, False),
        ({"ipvs": None}, 9, True),
        ({"ipvs": 5}, 5, True),
        ({"ipvs": 5}, 6, False),
        ({"ipvs": 5, "ebpf": None}, 6, True),
        ({"ipvs": 5, "ebpf": 8}, 7, True),
    ],
)
def test_rules_that_nobody_keeps_lead_to_older_pods_only(
    rules: dict[str, int | None], ready_since: int, expected: bool
) -> None:
    assert knows_service_pod(NodeNetwork("n", service_rules=rules), ready_since=ready_since) is expected
