"""Probes of the network: which pods try to reach what, from where, and what their ends mean. Pure.

What a client says is what `agnhost connect` says (docs/platform.md 5.9). Refuses to judge by a probe that nobody ran
before: only what worked can be worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from migration.frozen import Frozen
from migration.replacement import newly_so

MOST_NODES: Final = 20
"""More servers would tell little more: each node is the source and the target of its own probes."""
PORT: Final = 8080
API_SERVER: Final = "kubernetes.default.svc:443"


class ProbeKind(StrEnum):
    """What a probe tries."""

    OTHER_NODE = "pod on another node"
    SAME_NODE = "pod on the same node"
    DNS = "pod by DNS name"
    SERVICE_NAME = "Service by DNS name"
    SERVICE_ADDRESS = "Service by address"
    API_SERVER = "API server"
    EGRESS = "outside address"
    ALLOWED = "pod that a policy opens"
    DENIED = "pod that a policy closes"


class Seen(StrEnum):
    """How a probe ended."""

    OPEN = "an open connection"
    TIMEOUT = "no answer"
    REFUSED = "a refusal"
    DNS = "no address for the name"
    OTHER = "another error"
    NOT_RUN = "nothing, it could not run"


class ProbeResult(Frozen):
    """One probe: from which node it went where, and what it saw in the end."""

    kind: ProbeKind
    source: str
    """The node of its pod."""
    target: str
    """The node of the server's pod, or `host:port`."""
    seen: Seen
    detail: str = ""

    @property
    def expected(self) -> str:
        """What a sound network shows."""
        return "no connection" if self.kind is ProbeKind.DENIED else str(Seen.OPEN)

    @property
    def is_good(self) -> bool:
        """Whether it saw that. CNIs drop what a policy denies, and some are configured to refuse it."""
        return self.seen in ((Seen.TIMEOUT, Seen.REFUSED) if self.kind is ProbeKind.DENIED else (Seen.OPEN,))

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        return f"Probe {self.kind}, from {self.source} to {self.target}"

    @property
    def outcome(self) -> str:
        """What was expected and seen, for people."""
        return f"saw {self.seen}{f' ({self.detail})' if self.detail else ''} where {self.expected} was expected"


class Role(StrEnum):
    """What a server's pod is there for."""

    OPEN = "open"
    GUARDED = "guarded"
    CLOSED = "closed"


@dataclass(frozen=True)
class Server:
    """A pod that answers."""

    node: str
    role: Role = Role.OPEN


@dataclass(frozen=True)
class Probe:
    """A connection that is tried from a node: to a server's pod, to our Services, or to `host:port`."""

    kind: ProbeKind
    source: str
    target: str = ""
    server: Server | None = None

    def ended(self, seen: Seen, detail: str = "") -> ProbeResult:
        """Return its result."""
        target = self.server.node if self.server else self.target
        return ProbeResult(kind=self.kind, source=self.source, target=target, seen=seen, detail=detail)


@dataclass(frozen=True)
class ProbePlan:
    """One round: the servers, the probes, and the nodes that have none."""

    servers: tuple[Server, ...]
    probes: tuple[Probe, ...]
    left_out: tuple[str, ...] = ()


def plan_round(nodes: Iterable[str], *, egress: Sequence[str] = ()) -> ProbePlan:
    """Return the probes between these nodes; of many, some that lie evenly among their sorted names."""
    known = sorted(nodes)
    count = min(len(known), MOST_NODES)
    chosen = [known[index * len(known) // count] for index in range(count)]
    if not chosen:
        return ProbePlan((), ())
    left_out = tuple(node for node in known if node not in chosen)
    probes = [probe for index in range(count) for probe in _from_node(chosen, index, egress)]
    servers = (*map(Server, chosen), Server(chosen[0], Role.GUARDED), Server(chosen[0], Role.CLOSED))
    return ProbePlan(servers, (*probes, *_through_policies(chosen)), left_out)


def _from_node(nodes: Sequence[str], index: int, egress: Sequence[str]) -> Iterable[Probe]:
    """Yield a node's own probes. In a ring over all nodes, each is reached from another once."""
    source, following = nodes[index], nodes[(index + 1) % len(nodes)]
    if following != source:
        yield Probe(ProbeKind.OTHER_NODE, source, server=Server(following))
    yield Probe(ProbeKind.SAME_NODE, source, server=Server(source))
    for kind in (ProbeKind.DNS, ProbeKind.SERVICE_NAME, ProbeKind.SERVICE_ADDRESS):
        yield Probe(kind, source, "the probes' servers")
    yield Probe(ProbeKind.API_SERVER, source, API_SERVER)
    for address in egress:
        yield Probe(ProbeKind.EGRESS, source, address)


def _through_policies(nodes: Sequence[str]) -> Iterable[Probe]:
    """Yield what policies decide, on the way from another node and, as that is another path, from the same one."""
    for source in sorted({nodes[0], nodes[-1]}):
        yield Probe(ProbeKind.ALLOWED, source, server=Server(nodes[0], Role.GUARDED))
        yield Probe(ProbeKind.DENIED, source, server=Server(nodes[0], Role.CLOSED))


@dataclass(frozen=True, kw_only=True)
class ProbePod:
    """How far a pod of ours has come."""

    name: str
    phase: str
    ready: bool = False
    address: str = ""
    last_words: str | None = None
    """What its container said in the end; None if none has come to an end by itself."""
    trouble: str = ""
    """Why it doesn't run, in the platform's words."""
    is_hopeless: bool = False
    """Whether the platform has tried that often enough."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.phase in ("Succeeded", "Failed") or self.is_hopeless

    @property
    def end(self) -> tuple[Seen, str]:
        """What it has seen, and in detail."""
        if self.phase == "Succeeded" or (self.phase == "Failed" and self.last_words is not None):
            return what_was_seen(self.phase, self.last_words or "")
        return Seen.NOT_RUN, self.trouble or f"the pod is {self.phase}"


def what_was_seen(phase: str, message: str) -> tuple[Seen, str]:
    """Return what the end of a client's pod says, by its phase and its container's last words."""
    if phase == "Succeeded":
        return Seen.OPEN, ""
    word, _, rest = message.strip().partition(":")
    known = {"TIMEOUT": Seen.TIMEOUT, "REFUSED": Seen.REFUSED, "DNS": Seen.DNS}
    return known.get(word, Seen.OTHER), (rest.strip() if word in known else message.strip()) or ""


def worse_probes(before: Sequence[ProbeResult], now: Sequence[ProbeResult]) -> tuple[ProbeResult, ...]:
    """Return the probes that fail now though they, or on nodes replaced since as many of their kind, worked before."""
    worse: list[ProbeResult] = []
    for kind, target in dict.fromkeys(map(_same, now)):
        earlier = [result for result in before if _same(result) == (kind, target)]
        later = [result for result in now if _same(result) == (kind, target)]
        if not any(result.is_good for result in earlier):
            continue
        failed = {result.source: result for result in later if not result.is_good}
        excused = {result.source for result in earlier if not result.is_good}
        new = newly_so(excused, failed, nodes={result.source for result in later})
        worse += [failed[source] for source in new]
    return tuple(worse)


def tally(results: Sequence[ProbeResult]) -> str:
    """Return how many probes went as they should, for people."""
    good = sum(result.is_good for result in results)
    return f"probes of the network: {good} of {len(results)} as they should be"


def _same(result: ProbeResult) -> tuple[ProbeKind, str]:
    """Return what results are compared by, beside the node: outside addresses one by one."""
    return result.kind, result.target if result.kind is ProbeKind.EGRESS else ""
