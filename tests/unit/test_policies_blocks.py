import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.policies import NetworkRanges
from migration.policies.blocks import block, territory
from migration.policies.reading import Unreadable

RANGES = NetworkRanges(
    pods=("172.25.0.0/16", "fd01::/48"),
    services=("10.240.16.0/20",),
    nodes=("192.168.1.10", "192.168.1.11", "", "fd02::1"),
)


@pytest.mark.parametrize(
    ("cidr", "exceptions", "covered"),
    [
        ("0.0.0.0/0", (), "pods services nodes"),
        ("::/0", (), "pods nodes"),
        ("172.25.3.0/24", (), "pods"),
        ("172.16.0.0/12", (), "pods"),
        ("172.25.0.0/16", ("172.25.0.0/17",), "pods"),
        ("172.25.0.0/16", ("172.25.0.0/17", "172.25.128.0/17"), ""),
        ("0.0.0.0/0", ("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"), ""),
        ("0.0.0.0/0", ("172.16.0.0/12", "192.168.1.10/32"), "services nodes"),
        ("0.0.0.0/0", ("fd01::/48",), "pods services nodes"),
        ("fd01::/48", ("172.25.0.0/16",), "pods"),
        ("10.240.17.0/24", (), "services"),
        ("192.168.1.11/32", (), "nodes"),
        ("192.168.1.12/32", (), ""),
        ("172.24.255.255/32", (), ""),
        ("8.8.8.8/32", (), ""),
        ("172.25.3.7/24", (), "pods"),
    ],
)
def test_a_block_covers_a_cluster_s_addresses_but_for_its_exceptions(cidr, exceptions, covered):
    cluster, asked = territory(RANGES), block(cidr, exceptions)
    found = {
        "pods": cluster.has_pods(asked),
        "services": cluster.has_services(asked),
        "nodes": cluster.has_nodes(asked),
    }
    assert " ".join(name for name, there in found.items() if there) == covered


@pytest.mark.parametrize("text", ["", "somewhere", "10.0.0.0/33", "10.0.0.0/8 "])
def test_what_is_no_cidr_is_unreadable(text):
    with pytest.raises(Unreadable, match="is no CIDR"):
        block(text)


def test_an_address_of_the_cluster_that_is_none_is_refused():
    with pytest.raises(ValueError, match="node-1"):
        territory(NetworkRanges(nodes=("node-1",)))


networks = st.builds(
    lambda address, length: ipaddress.ip_network((address << 24, length), strict=False),
    st.integers(0, 255),
    st.integers(0, 12),
)


@given(networks, st.lists(networks, max_size=3), st.lists(networks, max_size=3))
def test_covering_agrees_with_asking_for_each_address(asked, exceptions, pods):
    step = 1 << 20  # the networks' own grain
    expected = any(
        address in asked and not any(address in exception for exception in exceptions)
        for network in pods
        for number in range(int(network.network_address), int(network.broadcast_address), step)
        for address in [ipaddress.ip_address(number)]
    )
    cluster = territory(NetworkRanges(pods=tuple(map(str, pods))))
    assert cluster.has_pods(block(str(asked), map(str, exceptions))) == expected
