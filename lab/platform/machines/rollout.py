"""How many Machines each MachineSet of a MachineDeployment gets. Pure; refuses to look at Machines themselves.

The rules are those of machine-controller's RollingUpdate (its pkg/controller/machinedeployment/rolling.go and
pkg/controller/util/machine_deployment.go, August 2026).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class SetSize:
    """One MachineSet: what its spec asks for and what its status says is available."""

    name: str
    replicas: int
    available: int


@dataclass(frozen=True)
class Strategy:
    """A MachineDeployment's wish: Machines wanted, and how far a rollout may go over and under that number."""

    replicas: int
    max_surge: int = 1
    max_unavailable: int = 0

    @classmethod
    def of(cls, spec: dict[str, object]) -> Strategy:
        """Read a MachineDeployment's spec, with machine-controller's defaults (sdk/apis/.../defaults.go)."""
        replicas = int(str(spec.get("replicas", 1)))
        strategy = spec.get("strategy")
        rolling = (strategy.get("rollingUpdate") if isinstance(strategy, dict) else None) or {}
        surge = _absolute(rolling.get("maxSurge", 1), replicas, up=True)
        unavailable = _absolute(rolling.get("maxUnavailable", 0), replicas, up=False)
        return cls(replicas, surge, unavailable if surge or unavailable else 1)


def rolling_sizes(strategy: Strategy, new: SetSize, old: Sequence[SetSize]) -> dict[str, int]:
    """Return the replicas that each set, by name, gets next in a rolling update. `old` is sorted by age."""
    grown = replace(new, replicas=_new_replicas(strategy, new, old))
    return {grown.name: grown.replicas} | {kept.name: kept.replicas for kept in _shrunk(strategy, grown, old)}


def scaled_sizes(replicas: int, sets: Sequence[SetSize]) -> dict[str, int]:
    """Return the replicas that each set gets while the MachineDeployment is paused: scaling without a rollout.

    The newest set comes first. What is to be added or removed goes to the largest active set, or else the newest.
    """
    active = [found for found in sets if found.replicas] or list(sets[:1])
    sizes = {found.name: found.replicas for found in sets}
    missing = replicas - sum(sizes.values())
    for found in sorted(active, key=lambda each: -each.replicas):
        changed = max(found.replicas + missing, 0)
        missing -= changed - found.replicas
        sizes[found.name] = changed
    return sizes


def _absolute(value: object, replicas: int, *, up: bool) -> int:
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    share = replicas * int(text[:-1]) / 100
    return math.ceil(share) if up else math.floor(share)


def _new_replicas(strategy: Strategy, new: SetSize, old: Sequence[SetSize]) -> int:
    if new.replicas >= strategy.replicas:
        return strategy.replicas
    total = new.replicas + sum(each.replicas for each in old)
    room = max(strategy.replicas + strategy.max_surge - total, 0)
    return new.replicas + min(room, strategy.replicas - new.replicas)


def _shrunk(strategy: Strategy, new: SetSize, old: Sequence[SetSize]) -> list[SetSize]:
    """Take unavailable Machines of old sets first, then as many available ones as the new set can stand for."""
    least = strategy.replicas - strategy.max_unavailable
    total = new.replicas + sum(each.replicas for each in old)
    allowed = total - least - (new.replicas - new.available)
    if allowed <= 0:
        return list(old)
    sizes = []
    for each in old:
        unhealthy = min(allowed, max(each.replicas - each.available, 0))
        allowed -= unhealthy
        sizes.append(replace(each, replicas=each.replicas - unhealthy))
    spare = new.available + sum(each.available for each in old) - least
    shrunk = []
    for each in sizes:
        taken = min(each.replicas, max(spare, 0))
        spare -= taken
        shrunk.append(replace(each, replicas=each.replicas - taken))
    return shrunk
