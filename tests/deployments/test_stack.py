"""The processes around a rehearsal know this machine's Prefect settings as little as its proxies."""

from __future__ import annotations

import socket

import pytest

from deployments.processes import ProcessFailed
from deployments.stack import StackSettings, running_stack, stack_environment


def test_settings_of_another_prefect_server_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "of another server")

    environment = stack_environment(tmp_path, port=4200, poll_seconds=1)

    assert "PREFECT_API_KEY" not in environment
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert environment["PREFECT_HOME"] == str(tmp_path / "prefect")


def test_loopback_is_never_reached_through_a_proxy(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "internal.example")

    environment = stack_environment(tmp_path, port=4200, poll_seconds=1)

    assert environment["NO_PROXY"] == "internal.example,127.0.0.1,localhost"


def test_flows_find_the_connections_of_the_lab(tmp_path):
    environment = stack_environment(tmp_path, port=4200, poll_seconds=1)

    assert environment["CNI_MIGRATION_CONNECTIONS"] == str(tmp_path / "connections")


async def test_a_lab_that_cannot_start_ends_the_stack_with_its_reason(tmp_path):
    settings = StackSettings(directory=tmp_path / "stack", clusters=1, nodes=1, pods=5000, speed=100)

    with pytest.raises(ProcessFailed, match=r"the lab ended with status 2:\n.*5000 pods do not fit"):
        async with running_stack(settings):
            pass


async def test_a_server_of_somebody_else_is_not_taken_for_the_own(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = StackSettings(directory=tmp_path, clusters=1, nodes=1, pods=0, speed=100, server_port=port)

        with pytest.raises(ProcessFailed, match=f"port {port} is taken"):
            async with running_stack(settings):
                pass
