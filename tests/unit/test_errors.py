import inspect
import pickle
from datetime import timedelta

import pytest

from migration import errors
from migration.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    DeadlineExceeded,
    Expired,
    MigrationError,
    Permanent,
    PreflightFailed,
    Rejected,
    ServerFault,
    Throttled,
    Transient,
    Unreachable,
)
from migration.models import Finding, Severity

FINDING = Finding(
    code="no-nodes", severity=Severity.BLOCKER, subject="the user cluster", seen="it has no node", advice="Add one."
)
CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, MigrationError)]


def make_error(kind):
    if kind is PreflightFailed:
        return PreflightFailed("lab/abc", [FINDING])
    if kind is DeadlineExceeded:
        return DeadlineExceeded("Cilium", timedelta(minutes=65), "Helm, attempt 2 of 6", "Mend the cause.")
    return kind("seed lab said no")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_survives_its_way_between_processes(kind):
    error = make_error(kind)

    arrived = pickle.loads(pickle.dumps(error))

    assert type(arrived) is kind
    assert str(arrived) == str(error) != ""
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize("kind", [Unreachable, Throttled, ServerFault, Conflict, Expired])
def test_a_transient_error_keeps_the_servers_advice(kind):
    arrived = pickle.loads(pickle.dumps(kind("seed lab: too many requests", 7.0)))

    assert isinstance(arrived, Transient)
    assert arrived.retry_after_seconds == 7.0
    assert str(arrived) == "seed lab: too many requests"


def test_nothing_else_is_ever_worth_another_try():
    retried = {kind for kind in CLASSES if issubclass(kind, Transient)}

    assert retried == {Transient, Unreachable, Throttled, ServerFault, Conflict, Expired}
    assert not any(issubclass(kind, Permanent) for kind in retried)
    assert all(issubclass(kind, ClusterError) for kind in retried)


def test_a_taken_name_is_a_refusal():
    assert issubclass(AlreadyExists, Rejected)


def test_a_failed_readiness_check_lists_every_blocker():
    error = PreflightFailed("lab/abc", [FINDING, FINDING.model_copy(update={"code": "cluster-paused"})])

    assert str(error).splitlines() == [
        "lab/abc is not ready to be migrated, nothing was changed:",
        "  - [no-nodes] the user cluster: it has no node. Add one.",
        "  - [cluster-paused] the user cluster: it has no node. Add one.",
    ]


@pytest.mark.parametrize(
    ("advice", "text"),
    [
        ("", "gave up waiting for Cilium after 90 s; last seen: Helm"),
        ("Look.", "gave up waiting for Cilium after 90 s; last seen: Helm. Look."),
    ],
)
def test_a_deadline_says_what_was_last_seen_and_what_to_do(advice, text):
    assert str(DeadlineExceeded("Cilium", timedelta(seconds=90), "Helm", advice)) == text
