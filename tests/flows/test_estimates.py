"""What a cluster's first migration took is what its next one is expected to take."""

from __future__ import annotations

import pytest

from clusters.journal import read_journal
from flows.check_readiness import check_readiness
from migration.models import Stretch

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CLUSTERS = 1


async def test_a_migration_tells_the_next_one_how_long_it_takes(cluster):
    first = await check_readiness(seed=cluster.connection, cluster=cluster.name)
    report = await cluster.migrate()
    await cluster.to_canal()

    second = await check_readiness(seed=cluster.connection, cluster=cluster.name)

    assert {part.measured_in for part in first.plan.estimate.parts} == {""}
    assert {part.measured_in for part in second.plan.estimate.parts} == {report.migration_id}
    # The lab's nodes and Helm are faster than the world's.
    assert second.plan.estimate.seconds < (report.finished_at - report.started_at).total_seconds() + 1
    assert (second.plan.estimate.seconds_of(Stretch.NODES) or 0) < 300
    async with cluster.apis() as (_, api):
        steps = {step.step: step for step in (await read_journal(api)).find(report.migration_id).steps}
    assert steps["restart pods"].count > 10
    assert steps["rotate kube-system/workers-1"].count == 2
