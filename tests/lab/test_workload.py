"""The user workloads of a lab cluster, before anything is created."""

from __future__ import annotations

import pytest

from lab.network.watch import CALLS
from lab.objects import annotations_of, key_of
from lab.workload import job, workload_objects


def pods_of(kind: str, body, *, nodes: int) -> int:
    replicas = {"DaemonSet": nodes, "Job": 1, "Pod": 1, "Deployment": -1, "StatefulSet": -1}.get(kind, 0)
    return body["spec"]["replicas"] if replicas < 0 else replicas


@pytest.mark.parametrize(("pods", "nodes"), [(40, 3), (60, 3), (200, 5), (1000, 12), (10_000, 45)])
def test_there_are_as_many_pods_as_asked_for(pods, nodes):
    objects = [*workload_objects(pods=pods, nodes=nodes), job()]

    assert sum(pods_of(body["kind"], body, nodes=nodes) for _, body in objects) == pods


def test_whoever_is_called_exists_and_has_a_service():
    objects = workload_objects(pods=200, nodes=5)
    workloads = {key_of(body) for _, body in objects if body["kind"] in ("Deployment", "StatefulSet", "DaemonSet")}
    services = {key_of(body) for _, body in objects if body["kind"] == "Service"}

    called = {name for _, body in objects for name in annotations_of(body).get(CALLS, "").split(",") if name}
    assert called
    assert called <= workloads & services


def test_each_sort_of_workload_is_there_even_when_few_pods_are_asked_for():
    kinds = {body["kind"] for _, body in workload_objects(pods=0, nodes=1)}

    assert kinds >= {"Deployment", "StatefulSet", "DaemonSet", "Pod", "PodDisruptionBudget", "NetworkPolicy"}


def test_no_two_objects_have_one_name():
    names = [
        (body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"])
        for _, body in workload_objects(pods=500, nodes=5)
    ]

    assert len(names) == len(set(names))


def test_pods_end_within_the_grace_that_was_asked_for():
    templates = [
        body["spec"].get("template", {}).get("spec") or body["spec"]
        for _, body in [*workload_objects(pods=100, nodes=3, grace_seconds=0), job(grace_seconds=0)]
        if body["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "Pod")
    ]

    assert {spec["terminationGracePeriodSeconds"] for spec in templates} == {0}
