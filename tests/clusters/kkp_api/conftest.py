"""KKP by its REST API for a folder of tests, over HTTPS and through the lab's trouble."""

from __future__ import annotations

import pytest
from tenacity import wait_random_exponential

from clusters.kkp_api import client, polling
from clusters.kkp_api import seed as kkp_seed
from clusters.seed import open_seed

PATH = "/clusters/[a-z0-9]+$"


@pytest.fixture(autouse=True)
def brisk_api(monkeypatch):
    monkeypatch.setattr(client, "_backoff", wait_random_exponential(multiplier=0.02, max=0.2))
    monkeypatch.setattr(kkp_seed, "CONFLICT_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(polling, "POLL_SECONDS", 0.1)


@pytest.fixture
async def seed(cluster):
    """KKP by its REST API, for a cluster that nobody has changed."""
    async with open_seed("lab-api") as found:
        yield found


@pytest.fixture
async def shared_seed(shared):
    async with open_seed("lab-api") as found:
        yield found


@pytest.fixture
def trouble(cluster):
    """Trouble for the REST API alone."""

    def make(what, **fields):
        return cluster.fault(what, **{"server": "kkp", "path": PATH, **fields})

    return make
