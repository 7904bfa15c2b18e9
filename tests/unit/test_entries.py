"""What people enter is taken as it is, or refused in words that say what was expected."""

from __future__ import annotations

import pytest

from migration.entries import cluster_id, connection_name, host_and_port, without_spaces

TAKEN = (
    (connection_name, "lab"),
    (connection_name, "kkp-eu.west_1"),
    (cluster_id, "hv2c7xk9tl"),
    (cluster_id, "8s7xkqp2"),
    (cluster_id, "a" * 63),
    (host_and_port, "example.com:443"),
    (host_and_port, "192.0.2.7:53"),
    (host_and_port, "[2001:db8::7]:65535"),
    (host_and_port, "kubernetes.default.svc:1"),
    (without_spaces, ""),
    (without_spaces, "registry.example.com:5000/agnhost@sha256:0a"),
)
REFUSED = (
    (connection_name, "", "nothing was entered"),
    (connection_name, " \n", "nothing was entered"),
    (connection_name, "lab ", "'lab ' begins or ends with a space or a line break"),
    (connection_name, "../secrets", "is no name of a connection"),
    (connection_name, "a" * 64, "is no name of a connection"),
    (cluster_id, "hv2c7xk9tl\n", "begins or ends with a space or a line break"),
    (cluster_id, "Shop Production", "is no ID of a cluster.*beside the human-readable name"),
    (cluster_id, "-a", "is no ID of a cluster"),
    (cluster_id, "a" * 64, "is no ID of a cluster"),
    (cluster_id, "\u0661a", "is no ID of a cluster"),
    (host_and_port, "https://example.com", "is no host:port: example.com:443"),
    (host_and_port, "example.com", "is no host:port"),
    (host_and_port, "2001:db8::7:53", "is no host:port"),
    (host_and_port, "example.com:0", "has the port 0: ports are 1 to 65535"),
    (host_and_port, "example.com:65536", "has the port 65536"),
    (host_and_port, "a; reboot:80", "is no host:port"),
    (host_and_port, ":80", "is no host:port"),
    (without_spaces, "my image", "'my image' has a space"),
)


@pytest.mark.parametrize(("rule", "text"), TAKEN)
def test_what_can_be_meant_is_taken_as_it_is(rule, text):
    assert rule(text) == text


@pytest.mark.parametrize(("rule", "text", "complaint"), REFUSED)
def test_what_can_not_be_meant_is_refused_and_the_message_says_what_was_expected(rule, text, complaint):
    with pytest.raises(ValueError, match=complaint):
        rule(text)


def test_a_message_repeats_only_the_beginning_of_a_long_entry():
    with pytest.raises(ValueError, match="is no host:port") as refused:
        host_and_port("x" * 5000)

    assert len(str(refused.value)) < 200
