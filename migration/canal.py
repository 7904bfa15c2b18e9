"""Whether Canal, applied by KKP as an addon, has come up, and if not, what it waits for (docs/platform.md 3.3, 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migration.cilium import RolloutFacts
from migration.errors import InvalidRequest
from migration.text import listing
from migration.versions import parse_version


@dataclass(frozen=True, kw_only=True)
class CanalFacts:
    """Everything that decides whether Canal has taken its place beside Cilium."""

    desired_version: str
    unhealthy: tuple[str, ...]
    """`component=status` of the control plane, from the Cluster's extendedHealth."""
    pod_cidrs: Mapping[str, str]
    """Mapping of node to the range that controller-manager gave it; empty while it has none."""
    agents: RolloutFacts | None
    running_version: str
    """Tag of calico-node's image in the DaemonSet; empty without one."""
    crashing: tuple[str, ...]
    """`pod on node: reason, message` of agents that don't start."""


def waits_for(facts: CanalFacts) -> str | None:
    """Return what Canal still waits for, None once it serves every node."""
    if facts.agents is None:
        gate = f" ({', '.join(facts.unhealthy)})" if facts.unhealthy else ""
        return f"KKP to apply the addon canal{gate}"
    if not _is_of_version(facts):
        return f"KKP to set Canal to {facts.desired_version} (calico-node runs {facts.running_version or 'nothing'})"
    if without := sorted(node for node, cidr in facts.pod_cidrs.items() if not cidr):
        gate = f" ({', '.join(facts.unhealthy)})" if facts.unhealthy else ""
        return f"controller-manager to give a podCIDR to {listing(without)}{gate}"
    if not facts.agents.is_rolled_out or facts.agents.desired < len(facts.pod_cidrs):
        crashes = f"; not starting: {listing(facts.crashing, count=1)}" if facts.crashing else ""
        return f"the canal DaemonSet: {facts.agents.ready} of {len(facts.pod_cidrs)} agents ready{crashes}"
    return None


def _is_of_version(facts: CanalFacts) -> bool:
    """Compare major and minor, which is all that KKP's names of Canal versions have."""
    running = facts.running_version.partition("@")[0]
    try:
        return parse_version(running)[:2] == parse_version(facts.desired_version)[:2]
    except InvalidRequest:
        return False
