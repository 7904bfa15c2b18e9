"""Jobs against the in-process API server."""

from __future__ import annotations

from lab.objects import labels_of, name_of, uid_of
from lab.resources import JOBS, PODS
from tests.lab.workloads.conftest import template


def conditions(cluster) -> set[str]:
    return {c["type"] for c in cluster.status(JOBS, "work").get("conditions") or () if c["status"] == "True"}


async def start(cluster, **spec) -> None:
    await cluster.create_workload(JOBS, "work", template=template("work", restartPolicy="Never"), **spec)
    await cluster.eventually("running", lambda: cluster.running_pods("work"))


async def test_a_job_completes_with_its_pods(cluster):
    await start(cluster, completions=3, parallelism=2)
    finished = set()
    for _ in range(3):
        await cluster.eventually(
            "a running pod", lambda: [p for p in cluster.running_pods("work") if uid_of(p) not in finished]
        )
        assert len(cluster.running_pods("work")) <= 2
        pod = next(p for p in cluster.running_pods("work") if uid_of(p) not in finished)
        finished.add(uid_of(pod))
        await cluster.nodes.set_phase(pod, "Succeeded")

    await cluster.eventually("complete", lambda: "Complete" in conditions(cluster))
    status = cluster.status(JOBS, "work")
    assert status["succeeded"] == 3
    assert "active" not in status
    assert status["completionTime"] >= status["startTime"]
    assert len(cluster.pods("work")) == 3, "finished pods stay"
    assert labels_of(cluster.pods("work")[0])["job-name"] == "work"


async def test_a_deleted_pod_of_a_running_job_is_replaced_and_counts_as_failed(quick_cluster):
    cluster = quick_cluster
    await start(cluster)
    (pod,) = cluster.pods("work")

    await cluster.delete(PODS, name_of(pod))
    await cluster.eventually(
        "replaced", lambda: [uid_of(p) for p in cluster.running_pods("work")] not in ([], [uid_of(pod)])
    )

    await cluster.eventually("counted", lambda: cluster.status(JOBS, "work").get("failed") == 1)
    assert not conditions(cluster)


async def test_a_job_without_retries_fails_when_its_pod_is_deleted(cluster):
    await start(cluster, backoffLimit=0)
    (pod,) = cluster.pods("work")

    await cluster.delete(PODS, name_of(pod))

    await cluster.eventually("failed", lambda: {"Failed", "FailureTarget"} <= conditions(cluster))
    assert cluster.status(JOBS, "work")["conditions"][0]["reason"] == "BackoffLimitExceeded"


async def test_a_failed_pod_is_replaced_only_after_a_pause(cluster):
    await start(cluster)
    (pod,) = cluster.pods("work")
    await cluster.nodes.set_phase(pod, "Failed")

    await cluster.eventually("counted", lambda: cluster.status(JOBS, "work").get("failed") == 1)
    await cluster.settled()
    assert len(cluster.pods("work")) == 1


async def test_deleting_the_pod_of_a_completed_job_starts_nothing(cluster):
    await start(cluster)
    (pod,) = cluster.pods("work")
    await cluster.nodes.set_phase(pod, "Succeeded")
    await cluster.eventually("complete", lambda: "Complete" in conditions(cluster))

    await cluster.delete(PODS, name_of(pod))
    await cluster.settled()

    assert not cluster.pods("work")
    assert "Complete" in conditions(cluster)


async def test_a_finished_job_goes_after_its_time_with_its_pods(quick_cluster):
    cluster = quick_cluster
    await start(cluster, ttlSecondsAfterFinished=100)
    await cluster.nodes.set_phase(cluster.pods("work")[0], "Succeeded")

    await cluster.eventually("job gone", lambda: cluster.mirror.get(JOBS, "work", namespace="default") is None)
    await cluster.eventually("pods gone", lambda: not cluster.pods("work"))


async def test_a_job_of_another_controller_is_left_alone(cluster):
    other = template("other", restartPolicy="Never")
    await cluster.create_workload(JOBS, "other", template=other, managedBy="example.com/nobody")
    mine = template("work", restartPolicy="Never")
    await cluster.create_workload(JOBS, "work", template=mine, managedBy="kubernetes.io/job-controller")
    await cluster.eventually("running", lambda: cluster.running_pods("work"))

    assert not cluster.pods("other")
    assert not cluster.status(JOBS, "other")
