"""What the suite runs: the migrating flows with parameters that, together, lead through each of their steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

CANAL_VERSION: Final = "v3.30"
"""The one that clusters of the lab begin with, so that a way there and back ends where it began."""
NODES_STAY: Final = {"rotate_nodes": False, "accept": ["nodes-keep-cilium"]}


class Place(NamedTuple):
    """What a cluster runs."""

    cni: str
    proxy_mode: str
    history: str = ""
    """What else is special about how it came there."""


CANAL: Final = Place("canal", "iptables")
CANAL_IPVS: Final = Place("canal", "ipvs")
CILIUM: Final = Place("cilium", "iptables")
CILIUM_EBPF: Final = Place("cilium", "ebpf")
BORN_ON_EBPF: Final = Place("cilium", "ebpf", "never had another mode")
"""KKP refuses to let its Cilium be prepared for its removal there: pods move with their nodes (docs/platform.md 1.4)."""


@dataclass(frozen=True)
class Scenario:
    """A flow with parameters, on a cluster that runs `start` and is to run `end`."""

    name: str
    """The flow's, with what is special behind a plus sign."""
    start: Place
    end: Place
    parameters: Mapping[str, Any] = field(default_factory=dict)
    takes_back: str = ""
    """Name of the scenario that must have been the cluster's last one."""

    @property
    def flow(self) -> str:
        """Name under which the flow is deployed."""
        return self.name.partition("+")[0]

    @property
    def connection(self) -> str:
        """By which the run reaches KKP."""
        return str(self.parameters.get("seed", "lab"))

    @property
    def replaces_nodes(self) -> bool:
        """Whether its nodes are replaced in the end; a run that goes back to Canal replaces them in any case."""
        return self.goes_back or bool(self.parameters.get("rotate_nodes", True))

    @property
    def goes_back(self) -> bool:
        """Whether a run that fails takes itself back, and so ends where it began."""
        return self.parameters.get("on_failure") == "revert"

    @property
    def changes_cni(self) -> bool:
        """Whether pods have to be restarted for its sake."""
        return self.start.cni != self.end.cni

    @property
    def moves(self) -> int:
        """How often each pod is born anew for the CNI's sake: not at all, once, or once there and once back."""
        if self.start == BORN_ON_EBPF:
            return 0
        return 2 if self.goes_back else int(self.changes_cni)

    @property
    def removes_definitions(self) -> bool:
        """Whether the former CNI's definitions go, and with them its policies."""
        return bool(self.parameters.get("remove_crds"))


STAY: Final = {"rotate_nodes": False}
TO_EBPF: Final = {**STAY, "proxy_mode": "ebpf"}
TO_CANAL: Final = {"canal_version": CANAL_VERSION, **NODES_STAY}

SCENARIOS: Final = (
    Scenario("canal-to-cilium", CANAL, CILIUM, STAY),
    Scenario("canal-to-cilium+ebpf", CANAL, CILIUM_EBPF, TO_EBPF),
    Scenario("canal-to-cilium+definitions", CANAL, CILIUM, {**STAY, "remove_crds": True}),
    Scenario("canal-to-cilium+nodes", CANAL, CILIUM),
    Scenario("canal-to-cilium+rest", CANAL, CILIUM, {**STAY, "seed": "lab-api", "pods": {"strategy": "evict"}}),
    Scenario("cilium-to-canal", CILIUM, CANAL, TO_CANAL),
    Scenario(
        "cilium-to-canal+definitions", CILIUM_EBPF, CANAL, {**TO_CANAL, "proxy_mode": "iptables", "remove_crds": True}
    ),
    Scenario("cilium-to-canal+nodes", CILIUM, CANAL, {"canal_version": CANAL_VERSION}),
    Scenario(
        "cilium-to-canal+born-on-ebpf",
        BORN_ON_EBPF,
        CANAL,
        {"canal_version": CANAL_VERSION, "proxy_mode": "iptables"},
    ),
    Scenario("change-proxy-mode", CANAL, CANAL_IPVS, {**STAY, "proxy_mode": "ipvs"}),
    Scenario("change-proxy-mode+back", CANAL_IPVS, CANAL, {**STAY, "proxy_mode": "iptables"}),
    Scenario("change-proxy-mode+to-ebpf", CILIUM, CILIUM_EBPF, TO_EBPF),
    Scenario("change-proxy-mode+from-ebpf", CILIUM_EBPF, CILIUM, {**STAY, "proxy_mode": "iptables"}),
    Scenario("change-proxy-mode+nodes", CANAL_IPVS, CANAL, {"proxy_mode": "iptables"}),
    Scenario("revert-migration+to-canal", CILIUM, CANAL, NODES_STAY, takes_back="canal-to-cilium+definitions"),
    Scenario("revert-migration+to-canal-nodes", CILIUM, CANAL, takes_back="canal-to-cilium"),
    Scenario("revert-migration+to-cilium", CANAL, CILIUM_EBPF, STAY, takes_back="cilium-to-canal+definitions"),
    Scenario("revert-migration+mode", CILIUM_EBPF, CILIUM, STAY, takes_back="change-proxy-mode+to-ebpf"),
)

GOING_BACK: Final = Scenario("canal-to-cilium+going-back", CANAL, CANAL, {"on_failure": "revert"})
"""Fails by its strike, so there is no run of it without trouble."""
AS_BORN: Final = Scenario("canal-to-cilium+as-if-born-on-ebpf", CANAL, BORN_ON_EBPF, TO_EBPF)
"""Leads to where another scenario starts; once there, Cilium's values are made what KKP gives to such a cluster."""

BY_NAME: Final = {scenario.name: scenario for scenario in (*SCENARIOS, GOING_BACK, AS_BORN)}
FLOWS: Final = tuple(dict.fromkeys(scenario.flow for scenario in SCENARIOS))


def way_to(scenario: Scenario) -> tuple[Scenario, ...]:
    """Return the scenarios that lead a fresh cluster, which is on Canal, to where this one starts."""
    if scenario.takes_back:
        before = BY_NAME[scenario.takes_back]
        return (*way_to(before), before)
    return tuple(BY_NAME[name] for name in _WAYS[scenario.start])


_WAYS: Final[Mapping[Place, tuple[str, ...]]] = {
    CANAL: (),
    CANAL_IPVS: ("change-proxy-mode",),
    CILIUM: ("canal-to-cilium",),
    CILIUM_EBPF: ("canal-to-cilium+ebpf",),
    BORN_ON_EBPF: (AS_BORN.name,),
}
