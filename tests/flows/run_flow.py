"""One run in a process of its own, for tests that kill it: `python -m tests.flows.run_flow FLOW CLUSTER PARAMETERS`.

PARAMETERS is a JSON object, FLOW the name under which the flow is deployed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from clusters.kkp_api import polling
from flows.canal_to_cilium import canal_to_cilium
from flows.change_proxy_mode import change_proxy_mode
from flows.cilium_to_canal import cilium_to_canal
from flows.revert_migration import revert_migration

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from prefect.client.schemas.objects import State

    from migration.models import MigrationReport

POLL_SECONDS = 0.3
FLOWS: dict[str, Any] = {
    flow.name: flow for flow in (canal_to_cilium, cilium_to_canal, change_proxy_mode, revert_migration)
}


def run(flow: str, cluster: str, **parameters: Any) -> Coroutine[Any, Any, MigrationReport]:
    """Return a run of the flow of this name on a cluster of the lab, reached by its seed unless `seed` says otherwise."""
    found: Coroutine[Any, Any, MigrationReport] = FLOWS[flow](**{"seed": "lab", "cluster": cluster, **parameters})
    return found


def run_to_state(flow: str, cluster: str, **parameters: Any) -> Coroutine[Any, Any, State[MigrationReport]]:
    """Return the same, which ends with the run's state instead of an error."""
    found: Coroutine[Any, Any, State[MigrationReport]] = FLOWS[flow](
        cluster=cluster, return_state=True, **{"seed": "lab", **parameters}
    )
    return found


if __name__ == "__main__":
    polling.POLL_SECONDS = POLL_SECONDS  # type: ignore[misc]  # the lab is near
    asyncio.run(run(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3])))
