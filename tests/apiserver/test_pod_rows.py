"""What kubectl shows of pods."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.rows import CONTAINERS, MERGE, NEVER_SCHEDULED, SPACE, condition, names, row_of, shown

INIT = [{"name": "first", "image": "example.com/first"}, {"name": "next", "image": "example.com/next"}]
SIDECAR = [{"name": "side", "image": "example.com/side", "restartPolicy": "Always"}]


def container(name="one", *, ready=False, restarts=0, last=None, started=None, **state):
    status = {
        "name": name,
        "image": "",
        "imageID": "",
        "ready": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": last}} if last else {},
    }
    return status if started is None else {**status, "started": started}


def running(name="one", **more):
    return container(name, ready=True, running={"startedAt": "2026-01-01T00:00:00Z"}, **more)


def ended(name="one", code=0, **why):
    return container(name, terminated={"exitCode": code, **why})


def phase(name, *statuses, **more):
    return {"phase": name, "containerStatuses": list(statuses), **more}


RUNNING = phase("Running", running("one"), running("two"))

PODS: dict[str, tuple[Any, ...]] = {
    "new": ({}, None, "0/2", "Pending", "0"),
    "running": ({}, RUNNING, "2/2", "Running", "0"),
    "half": ({}, phase("Running", running("one"), container("two", running={})), "1/2", "Running", "0"),
    "creating": (
        {},
        phase("Pending", container(waiting={"reason": "ContainerCreating"})),
        "0/2",
        "ContainerCreating",
        "0",
    ),
    "crashing": (
        {},
        phase("Running", container(restarts=4, waiting={"reason": "CrashLoopBackOff"})),
        "0/2",
        "CrashLoopBackOff",
        "4",
    ),
    "the first container decides": (
        {},
        phase("Running", container("one", waiting={"reason": "A"}), container("two", waiting={"reason": "B"})),
        "0/2",
        "A",
        "0",
    ),
    "failed": ({}, phase("Failed", ended(code=3)), "0/2", "ExitCode:3", "0"),
    "killed": ({}, phase("Failed", ended(code=137, signal=9)), "0/2", "Signal:9", "0"),
    "error": ({}, phase("Failed", ended(code=1, reason="Error")), "0/2", "Error", "0"),
    "completed": (
        {"restartPolicy": "Never"},
        phase("Succeeded", ended("one", reason="Completed"), ended("two", reason="Completed")),
        "0/2",
        "Completed",
        "0",
    ),
    "one completed, one running": (
        {},
        phase("Running", ended("one", reason="Completed"), running("two")),
        "1/2",
        "NotReady",
        "0",
    ),
    "one completed, one running, ready": (
        {},
        phase("Running", ended("one", reason="Completed"), running("two"), conditions=[condition("Ready")]),
        "1/2",
        "Running",
        "0",
    ),
    "one completed, one failed": (
        {"restartPolicy": "Never"},
        phase("Failed", ended("one", reason="Completed"), ended("two", code=1, reason="Error")),
        "0/2",
        "Error",
        "0",
    ),
    "evicted": ({}, {"phase": "Failed", "reason": "Evicted"}, "0/2", "Evicted", "0"),
    "gated": (
        {"schedulingGates": [{"name": "example.com/gate"}]},
        {"conditions": [condition("PodScheduled", "False", reason="SchedulingGated")]},
        "0/2",
        "SchedulingGated",
        "0",
    ),
    "initializing": (
        {"initContainers": INIT},
        {"phase": "Pending", "initContainerStatuses": [ended("first"), container("next", running={})]},
        "0/2",
        "Init:1/2",
        "0",
    ),
    "initialization crashing": (
        {"initContainers": INIT},
        {
            "phase": "Pending",
            "initContainerStatuses": [container("first", restarts=2, waiting={"reason": "CrashLoopBackOff"})],
        },
        "0/2",
        "Init:CrashLoopBackOff",
        "2",
    ),
    "initialization failed": (
        {"initContainers": INIT},
        {"phase": "Failed", "initContainerStatuses": [ended("first", code=2)]},
        "0/2",
        "Init:ExitCode:2",
        "0",
    ),
    "initialization killed": (
        {"initContainers": INIT},
        {"phase": "Failed", "initContainerStatuses": [ended("first", code=137, signal=9)]},
        "0/2",
        "Init:Signal:9",
        "0",
    ),
    "waiting for initialization": (
        {"initContainers": INIT},
        phase(
            "Pending",
            container(waiting={"reason": "PodInitializing"}),
            initContainerStatuses=[container("first", waiting={"reason": "PodInitializing"})],
        ),
        "0/2",
        "Init:0/2",
        "0",
    ),
    "restarts of initialization are over": (
        {"initContainers": INIT[:1]},
        phase(
            "Running",
            running("one", restarts=1),
            initContainerStatuses=[container("first", restarts=5, terminated={"exitCode": 0})],
        ),
        "1/2",
        "Running",
        "1",
    ),
    "sidecar": (
        {"initContainers": SIDECAR},
        phase(
            "Running",
            running("one"),
            running("two"),
            initContainerStatuses=[running("side", started=True, restarts=2)],
        ),
        "3/3",
        "Running",
        "2",
    ),
}


@pytest.fixture(scope="module")
def space(api):
    api.post("/api/v1/namespaces", json={"metadata": {"name": SPACE}})
    return SPACE


@pytest.mark.parametrize(("spec", "status", "ready", "says", "restarts"), PODS.values(), ids=PODS.keys())
def test_what_a_pods_row_says(api, space, *, spec, status, ready, says, restarts):
    body = {"spec": {"containers": CONTAINERS, **NEVER_SCHEDULED, **spec}}

    row = shown(api, f"/api/v1/namespaces/{space}/pods", body, status)

    assert (row["Ready"], row["Status"], row["Restarts"]) == (ready, says, restarts)
    assert (row["IP"], row["Node"], row["Nominated Node"], row["Readiness Gates"]) == ("<none>",) * 4


def test_a_pods_row_says_when_it_was_restarted_last(api, space):
    status = phase("Running", running(restarts=3, last="2020-01-01T00:00:00Z"))

    row = shown(
        api, f"/api/v1/namespaces/{space}/pods", {"spec": {"containers": CONTAINERS, **NEVER_SCHEDULED}}, status
    )

    count, _, since = row["Restarts"].partition(" ")
    assert count == "3"
    assert since.startswith("(")
    assert since.endswith("d ago)")


def test_the_wide_columns_of_a_pod(api, space):
    spec = {
        "containers": CONTAINERS,
        "nodeName": "none-such",
        "readinessGates": [{"conditionType": "example.com/a"}, {"conditionType": "example.com/b"}],
    }
    status = {
        **RUNNING,
        "podIP": "10.1.2.3",
        "podIPs": [{"ip": "10.1.2.3"}],
        "conditions": [condition("example.com/a"), condition("example.com/b", "False")],
    }

    row = shown(api, f"/api/v1/namespaces/{space}/pods", {"spec": spec}, status)

    assert (row["IP"], row["Node"]) == ("10.1.2.3", "none-such")
    assert row["Readiness Gates"] == "1/2"


@pytest.mark.parametrize(("status", "says"), [(RUNNING, "Terminating"), ({**RUNNING, "reason": "NodeLost"}, "Unknown")])
def test_a_pod_that_is_being_deleted_says_so(api, space, status, says):
    pods = f"/api/v1/namespaces/{space}/pods"
    body: dict[str, Any] = {"metadata": {"name": next(names), "finalizers": ["example.com/stay"]}}
    body["spec"] = {"containers": CONTAINERS, **NEVER_SCHEDULED}
    shown(api, pods, body, status)
    where = f"{pods}/{body['metadata']['name']}"

    api.delete(where)

    assert row_of(api, where)["Status"] == says
    api.patch(where, json={"metadata": {"finalizers": None}}, headers=MERGE)
