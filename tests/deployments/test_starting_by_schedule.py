"""A schedule makes runs: what the deployments promise depends on it, and so on the libraries that Prefect runs with."""

from __future__ import annotations

import httpx
import pytest

from tests.running_lab import eventually
from tests.running_prefect import prefect_process

pytestmark = pytest.mark.timeout(900)
APPLY = ("-m", "deployments.apply", "--pool-type", "process")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1"}
    with prefect_process(tmp_path_factory.mktemp("schedules"), settings) as running:
        yield running


def test_crashed_runs_are_looked_for_by_themselves(server):
    done = server.python(*APPLY)
    assert done.returncode == 0, done.stderr

    def planned():
        found = httpx.post(f"{server.api_url}/flow_runs/filter", json={}, trust_env=False, timeout=10).json()
        return [run for run in found if run["state"]["name"] == "Scheduled" and run["auto_scheduled"]]

    assert eventually(planned, what="a run that the schedule made")
