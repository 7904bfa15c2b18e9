"""What the environment of a worker may do to its connections: name a proxy, and nothing else."""

import os

import pytest

from clusters.connections import ENVIRONMENT_VARIABLE, environment_proxy
from clusters.seed import open_seed
from migration.errors import Unreachable
from tests.running_lab import lab_process

PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    directory = tmp_path_factory.mktemp("environment") / "lab"
    with lab_process(directory, "--clusters", "1", "--nodes", "1", "--pods", "10", "--speed", "200") as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def connected(lab, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(lab.connections))
    return lab


async def cluster_name(lab):
    async with open_seed("lab") as seed:
        return (await seed.cluster(lab.cluster_name())).name


def test_an_address_is_reached_without_a_proxy_unless_one_is_named():
    assert environment_proxy("https://seed.example.test:6443") is None


@pytest.mark.parametrize(
    ("no_proxy", "proxy"),
    [
        ("", "http://proxy.example.test:3128"),
        ("other.test", "http://proxy.example.test:3128"),
        ("seed.example.test", None),
        (".example.test", None),
        ("*", None),
    ],
)
def test_no_proxy_spares_the_addresses_that_it_names(monkeypatch, no_proxy, proxy):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.test:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)

    assert environment_proxy("https://seed.example.test:6443") == proxy


async def test_requests_go_through_the_proxy_that_is_named(connected, monkeypatch, unused_tcp_port):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_tcp_port}")

    with pytest.raises(Unreachable):
        await cluster_name(connected)


async def test_requests_go_past_the_proxy_where_it_is_not_wanted(connected, monkeypatch, unused_tcp_port):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert await cluster_name(connected) == connected.cluster_name()


async def test_passwords_of_a_netrc_are_never_sent(connected, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", os.fspath(netrc))

    assert await cluster_name(connected) == connected.cluster_name()
