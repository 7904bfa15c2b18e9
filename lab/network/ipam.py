"""Addresses for pods and ranges for nodes, IPv4. Each CNI has its own, and none knows what the other gave out.

So during a migration two pods can own the same address (docs/platform.md 5.3). Refuses to prevent that.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network


class RangeExhausted(Exception):
    """No address, or no range, is left."""


class AddressRange:
    """One node's addresses of one CNI, given out in turn like CNI's host-local plugin does.

    The network, the first address (the node's own gateway or router) and the broadcast address are never given out.
    https://www.cni.dev/plugins/current/ipam/host-local/
    """

    def __init__(self, cidr: str) -> None:
        self.cidr = cidr
        network = IPv4Network(cidr)
        self._first = int(network.network_address) + 2
        self._last = int(network.broadcast_address) - 1
        self._next = self._first
        self._used: set[int] = set()

    def allocate(self) -> str:
        """Return an address that this range has not given out; raises RangeExhausted with the first and last one."""
        size = self._last - self._first + 1
        if len(self._used) >= size:
            raise RangeExhausted(f"{IPv4Address(self._first - 1)}-{IPv4Address(self._last)}")
        while self._next in self._used:
            self._step()
        address = self._next
        self._used.add(address)
        self._step()
        return str(IPv4Address(address))

    def release(self, address: str) -> None:
        """Take an address back. Idempotent."""
        self._used.discard(int(IPv4Address(address)))

    def _step(self) -> None:
        self._next = self._first if self._next >= self._last else self._next + 1


def first_free_range(pool: str, *, prefix_length: int, used: Collection[str]) -> str:
    """Return the first range of the pool that is not used, as Cilium's cluster-pool mode gives them to nodes.

    https://docs.cilium.io/en/stable/network/concepts/ipam/cluster-pool/. Raises RangeExhausted.
    """
    for network in IPv4Network(pool).subnets(new_prefix=prefix_length):
        if str(network) not in used:
            return str(network)
    raise RangeExhausted(f"no free pod CIDR of length {prefix_length} in {pool}")
