"""In which portions a fleet is migrated: canaries that resemble the rest, then batches. Deterministic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from migration.facts import ListedCluster
from migration.fleet.looks import Look, Need
from migration.fleet.models import Waves
from migration.frozen import Frozen
from migration.models import ClusterRef

FEW: Final = 10
NODE_CLASSES: Final = (3, 10, 50)


class Member(Frozen):
    """A cluster of a roll-out, as it was when the waves were planned."""

    ref: ClusterRef
    human_readable_name: str
    project: str
    datacenter: str
    provider: str
    kubernetes_version: str
    cni: str
    proxy_mode: str
    look: Look
    wave: int | None = None
    """None if there was nothing to do for it."""

    @property
    def traits(self) -> frozenset[str]:
        """What makes one cluster behave otherwise than another, as far as a migration goes."""
        minor = ".".join(self.kubernetes_version.split(".")[:2])
        size = sum(self.look.nodes > limit for limit in NODE_CLASSES)
        plain = (
            f"provider {self.provider}",
            f"Kubernetes {minor}",
            self.cni,
            f"mode {self.proxy_mode}",
            f"size {size}",
        )
        return frozenset((*plain, *(f"policies {family}" for family in self.look.policies)))

    @property
    def platform(self) -> str:
        """What it runs on, for people."""
        return ", ".join((self.provider, self.datacenter, f"Kubernetes {self.kubernetes_version}", self.cni))


class FleetPlan(Frozen):
    """Which clusters take part, and in which wave each.

    The first are the canaries, if there are any, together with what was in the middle of its migration.
    """

    members: tuple[Member, ...]
    has_canaries: bool

    @property
    def waves(self) -> tuple[tuple[ClusterRef, ...], ...]:
        """The clusters of each wave, in the order in which they are started."""
        numbers = [member.wave for member in self.members if member.wave is not None]
        return tuple(
            tuple(member.ref for member in self.members if member.wave == number)
            for number in range(max(numbers, default=-1) + 1)
        )

    def wave_name(self, member: Member) -> str:
        """Return `canary`, or the number of the member's batch; empty if there was nothing to do for it."""
        if member.wave is None:
            return ""
        return "canary" if self.has_canaries and member.wave == 0 else str(member.wave + (not self.has_canaries))

    def with_looks(self, looks: Mapping[ClusterRef, Look]) -> FleetPlan:
        """Return the plan with what was seen of its members since, their sizes as they were."""
        return self.model_copy(update={"members": tuple(_seen_again(member, looks) for member in self.members)})


def plan_waves(clusters: Iterable[ListedCluster], looks: Mapping[ClusterRef, Look], options: Waves) -> FleetPlan:
    """Return the members of a roll-out in the order in which they are started, those with nothing to do last."""
    members = [_member(cluster, looks[cluster.ref]) for cluster in clusters]
    todo = sorted((member for member in members if not _is_over(member)), key=_order)
    canaries = choose_canaries(todo, _number_of_canaries(len(todo), options))
    # What is in the middle of its migration can't wait behind canaries that soak.
    first = [*(member for member in todo if member.look.need is Need.COMPLETION), *canaries] if canaries else []
    chosen = {member.ref for member in first}
    rest = [member for member in todo if member.ref not in chosen]
    waves = [first, *_batches(rest, options)] if first else _batches(rest, options)
    planned = [member.model_copy(update={"wave": number}) for number, wave in enumerate(waves) for member in wave]
    over = sorted((member for member in members if _is_over(member)), key=lambda member: str(member.ref))
    return FleetPlan(members=(*planned, *over), has_canaries=bool(canaries))


def choose_canaries(members: Sequence[Member], count: int) -> list[Member]:
    """Return so many members that resemble the others: each has most of what none before it has, the smallest if equal.

    One that can't be looked at, or is in the middle of its migration, tells nothing of the others.
    """
    left = [member for member in members if member.look.need is Need.MIGRATION]
    shares = Counter(trait for member in members for trait in member.traits)
    chosen: list[Member] = []
    shown: set[str] = set()
    while left and len(chosen) < count:
        best = min(left, key=lambda member: (-_news(member, shown, shares), member.look.nodes, str(member.ref)))
        if not _news(best, shown, shares) and shown:
            shown = set()  # all has been shown once: begin anew, to show it twice
            continue
        chosen.append(best)
        left.remove(best)
        shown |= best.traits
    return chosen


def _news(member: Member, shown: set[str], shares: Mapping[str, int]) -> int:
    return sum(shares[trait] for trait in member.traits - shown)


def _number_of_canaries(clusters: int, options: Waves) -> int:
    if options.canaries is not None:
        return options.canaries
    return 2 if clusters <= FEW else 3


def _batches(members: Sequence[Member], options: Waves) -> list[list[Member]]:
    batches, size, begin = [], float(options.batch_size), 0
    while begin < len(members):
        batches.append(list(members[begin : begin + int(size)]))
        begin, size = begin + int(size), size * options.growth
    return batches


def _is_over(member: Member) -> bool:
    return member.look.need in (Need.NONE, Need.LEFT_OUT)


def _order(member: Member) -> tuple[bool, bool, int, str]:
    """What is in the middle of its migration can't wait; what can't be looked at may be back by its turn."""
    need = member.look.need
    return need is Need.UNKNOWN, need is not Need.COMPLETION, member.look.nodes, str(member.ref)


def _member(cluster: ListedCluster, look: Look) -> Member:
    return Member(
        ref=cluster.ref,
        human_readable_name=cluster.human_readable_name,
        project=cluster.project,
        datacenter=cluster.datacenter,
        provider=cluster.provider,
        kubernetes_version=cluster.kubernetes_version,
        cni=str(cluster.cni),
        proxy_mode=cluster.proxy_mode,
        look=look,
    )


def _seen_again(member: Member, looks: Mapping[ClusterRef, Look]) -> Member:
    look = looks.get(member.ref, member.look)
    kept = {"nodes": look.nodes or member.look.nodes, "policies": look.policies or member.look.policies}
    return member.model_copy(update={"look": look.model_copy(update=kept)})
