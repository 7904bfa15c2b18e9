"""Addresses: which of a cluster's own ones an ipBlock covers, its exceptions left out.

The two CNIs differ only there: Cilium knows the endpoints of the cluster by identity, and compares addresses for the
rest of the world alone (docs/platform.md 5.6).
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from migration.policies.model import NetworkRanges
from migration.policies.reading import Unreadable

Interval = tuple[int, int]


@dataclass(frozen=True)
class Block:
    """An ipBlock: first and last address, and the exceptions."""

    text: str
    version: int
    span: Interval
    exceptions: tuple[Interval, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether it covers the whole address family, exceptions aside."""
        return self.span == (0, (1 << (32 if self.version == 4 else 128)) - 1)

    def covers(self, span: Interval) -> bool:
        """Tell whether an address of this interval is in the block and in none of its exceptions."""
        first, last = max(self.span[0], span[0]), min(self.span[1], span[1])
        for begin, end in self.exceptions:  # sorted
            if begin > first:
                break
            first = max(first, end + 1)
        return first <= last


@dataclass(frozen=True)
class Addresses:
    """Intervals of one family, sorted."""

    intervals: tuple[Interval, ...] = ()
    ends: tuple[int, ...] = ()

    def meet(self, block: Block) -> bool:
        """Tell whether the block covers one of these addresses."""
        for interval in self.intervals[bisect_left(self.ends, block.span[0]) :]:
            if interval[0] > block.span[1]:
                return False
            if block.covers(interval):
                return True
        return False


@dataclass(frozen=True)
class Territory:
    """The addresses of a cluster, by IP version."""

    pods: dict[int, Addresses] = field(default_factory=dict)
    services: dict[int, Addresses] = field(default_factory=dict)
    nodes: dict[int, Addresses] = field(default_factory=dict)

    def has_pods(self, block: Block) -> bool:
        """Tell whether the block covers pods' addresses."""
        return self.pods.get(block.version, Addresses()).meet(block)

    def has_services(self, block: Block) -> bool:
        """Tell whether the block covers Services' addresses."""
        return self.services.get(block.version, Addresses()).meet(block)

    def has_nodes(self, block: Block) -> bool:
        """Tell whether the block covers nodes' addresses."""
        return self.nodes.get(block.version, Addresses()).meet(block)


def territory(ranges: NetworkRanges) -> Territory:
    """Return a cluster's addresses, ready to be asked. Raises ValueError for one that is none."""
    return Territory(_addresses(ranges.pods), _addresses(ranges.services), _addresses(ranges.nodes))


def block(cidr: str, exceptions: Iterable[str] = ()) -> Block:
    """Return an ipBlock. Raises Unreadable for what is no CIDR."""
    network = _network(cidr)
    spans = [_span(other) for text in exceptions if (other := _network(text)).version == network.version]
    return Block(cidr, network.version, _span(network), tuple(sorted(spans)))


def _addresses(texts: Iterable[str]) -> dict[int, Addresses]:
    found: defaultdict[int, set[Interval]] = defaultdict(set)
    for text in texts:
        if text:
            network = ipaddress.ip_network(text, strict=False)
            found[network.version].add(_span(network))
    return {version: _merged(spans) for version, spans in found.items()}


def _merged(spans: Iterable[Interval]) -> Addresses:
    """Intervals that overlap become one, so that their ends are sorted as their beginnings are."""
    merged: list[Interval] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return Addresses(tuple(merged), tuple(last for _, last in merged))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Unreadable(f"{text[:60]!r} is no CIDR") from None


def _span(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Interval:
    return int(network.network_address), int(network.broadcast_address)
