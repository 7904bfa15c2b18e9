from types import SimpleNamespace
from typing import Any

import pytest
from httpx import ConnectError

from migration.errors import Conflict, NotFound, Rejected, Throttled, Unauthorized, Unreachable
from migration.models import ClusterRef, RunningMigration
from tasks.policy import checkpoint_key, is_transient
from tests.unit.making import make_request


def make_run(cluster="hv2c7xk9tl", migration="m1", holder="run-1"):
    return RunningMigration(
        request=make_request(cluster=ClusterRef(seed="lab", name=cluster)), id=migration, holder=holder
    )


def key(step="back up", version=1, **parameters):
    context: Any = None
    return checkpoint_key(step, version)(context, {"run": make_run(), **parameters})


def test_a_key_is_cluster_migration_step_and_version():
    assert key() == "hv2c7xk9tl/m1/back up/v1"


def test_another_run_of_the_same_migration_finds_the_same_checkpoint():
    assert key(run=make_run(holder="run-2")) == key()


@pytest.mark.parametrize(
    "changes",
    [
        {"run": make_run(cluster="other")},
        {"run": make_run(migration="m2")},
        {"step": "verify"},
        {"version": 2},
        {"machine_deployment": "kube-system/workers"},
    ],
)
def test_anything_that_matters_makes_another_key(changes):
    assert key(**changes) != key()


def test_each_machine_deployment_has_its_own_checkpoint():
    keys = {key(machine_deployment=name) for name in ("kube-system/a", "kube-system/b", "other/a")}

    assert len(keys) == 3
    assert all(found.count("/") == 4 for found in keys)


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (Unreachable("x"), True),
        (Throttled("x"), True),
        (Conflict("x"), True),
        (NotFound("x"), False),
        (Unauthorized("x"), False),
        (Rejected("x"), False),
        (KeyError("x"), False),
        # What speaks httpx is Prefect's own client: its server is away.
        (ConnectError("x"), True),
    ],
)
def test_only_transient_failures_are_tried_again(error, retried):
    state: Any = SimpleNamespace(data=error)

    assert is_transient(None, None, state) is retried
