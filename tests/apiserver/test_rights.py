"""The rights of deployments/rbac on a real API server: all are held, and each rule that is taken away is named."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import yaml

from clusters.access import denied, for_the_view, in_user_cluster, on_seed
from clusters.api import KubeApi, open_api
from migration.models import (
    ClusterRef,
    Cni,
    CniType,
    MigrationRequest,
    ProbeOptions,
    RestartOptions,
    RestartStrategy,
    Runbook,
)
from tests.control_plane import ControlPlane
from tests.rbac import atoms_of_rule
from tests.rights import account_token, apply, seed_manifests, set_rules, user_cluster_manifests, without

NAME = "hv2c7xk9tl"


def request_for(runbook: Runbook) -> MigrationRequest:
    """Return a request that uses everything that a runbook can do."""
    return MigrationRequest(
        cluster=ClusterRef(seed="seed", name=NAME),
        runbook=runbook,
        desired_cni=Cni(type=CniType.CILIUM, version="1.19.4"),
        remove_crds=True,
        pods=RestartOptions(strategy=RestartStrategy.EVICT),
        probes=ProbeOptions(enabled=True),
        reverts="an earlier one",
    )


WANTED = {
    "seed": on_seed(NAME, f"cluster-{NAME}", as_admin=True),
    "user cluster": tuple(
        dict.fromkeys(
            access
            for runbook in Runbook
            for access in (*in_user_cluster(request_for(runbook)), *for_the_view(request_for(runbook)))
        )
    ),
}
MANIFESTS = {"seed": seed_manifests(NAME), "user cluster": user_cluster_manifests()}
ACCOUNT_IN = {"seed": "cni-migration", "user cluster": "kube-system"}
PATIENCE_SECONDS = 10

pytestmark = pytest.mark.control_plane


def opened(server: ControlPlane, token: str = "") -> Any:
    return open_api(yaml.safe_load(server.kubeconfig(token)), where="here")


async def until_denied(api: KubeApi, place: str, expected: set[str]) -> None:
    """Wait until exactly these rights are missing: the server reads changed roles through watches."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while (found := set(await denied(api, WANTED[place]))) != expected:
        assert time.monotonic() < ends, f"missing {found - expected}, not missing {expected - found}"
        await asyncio.sleep(0.02)  # looks at another process, which tells nobody when it changes


@pytest.mark.parametrize("place", WANTED)
async def test_every_rule_that_is_left_out_is_named_right_by_right(real_server, place):
    async with opened(real_server) as admin:
        await apply(admin, [{"kind": "Namespace", "metadata": {"name": f"cluster-{NAME}"}}, *MANIFESTS[place]])
        async with opened(real_server, await account_token(admin, ACCOUNT_IN[place])) as account:
            await until_denied(account, place, set())
            for role in [found for found in MANIFESTS[place] if "rules" in found]:
                for index, rule in enumerate(role["rules"]):
                    await set_rules(admin, role, without(role["rules"], index))
                    rights = atoms_of_rule(rule, role["metadata"].get("namespace", ""))
                    await until_denied(account, place, {f"{right} on here" for right in rights})
                await set_rules(admin, role, role["rules"])
            await until_denied(account, place, set())
