"""Addresses and ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.network.ipam import AddressRange, RangeExhausted, first_free_range


def test_addresses_begin_behind_the_gateway_and_go_on_in_turn() -> None:
    addresses = AddressRange("172.25.3.0/24")

    first = addresses.allocate()
    addresses.release(first)

    assert (first, addresses.allocate()) == ("172.25.3.2", "172.25.3.3")


def test_a_full_range_says_so_until_an_address_comes_back() -> None:
    addresses = AddressRange("172.25.3.0/29")
    given_out = [addresses.allocate() for _ in range(5)]

    with pytest.raises(RangeExhausted, match=r"172\.25\.3\.1-172\.25\.3\.6"):
        addresses.allocate()
    addresses.release(given_out[2])

    assert addresses.allocate() == given_out[2]


@given(st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=80))
def test_no_address_is_held_twice(steps: list[int | None]) -> None:
    addresses, held = AddressRange("10.0.0.0/27"), list[str]()
    for step in steps:
        if step is None and len(held) < 29:
            held.append(addresses.allocate())
        elif step is not None and held:
            addresses.release(held.pop(step % len(held)))

    assert len(set(held)) == len(held)
    assert not {"10.0.0.0", "10.0.0.1", "10.0.0.31"} & set(held)


def test_nodes_get_the_first_free_range_of_the_pool() -> None:
    used = {"172.25.0.0/24", "172.25.2.0/24"}

    assert first_free_range("172.25.0.0/16", prefix_length=24, used=used) == "172.25.1.0/24"


def test_an_exhausted_pool_says_so() -> None:
    with pytest.raises(RangeExhausted, match="no free pod CIDR"):
        first_free_range("10.0.0.0/24", prefix_length=24, used={"10.0.0.0/24"})
