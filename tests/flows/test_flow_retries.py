"""A flow that Prefect retries by itself goes on where it was, in the same run."""

from __future__ import annotations

import pytest

from clusters.journal import read_journal
from flows.canal_to_cilium import canal_to_cilium

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
CLUSTERS = 1


async def test_a_failed_run_that_prefect_retries_goes_on_and_ends_well(cluster):
    cluster.lab.remote.add_fault("request", "403", server=cluster.name, method="DELETE", path="/daemonsets/canal$")

    twice = canal_to_cilium.with_options(retries=1)
    report = await twice(seed=cluster.connection, cluster=cluster.name, rotate_nodes=False)

    assert report.outcome == "migrated"
    async with cluster.apis() as (_, api):
        journal = await read_journal(api)
    assert len(journal.migrations) == 1
    assert journal.open_migration() is None
