"""Trouble in KKP's REST API: in its answers, in what it reaches, and in what the installation allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.running_lab import eventually, run_lab

if TYPE_CHECKING:
    from tests.lab.restapi.conftest import RestLab


@pytest.mark.parametrize(
    ("trouble", "code", "retry_after"),
    [("500", 500, None), ("503", 503, None), ("429", 429, "7"), ("409", 409, None), ("404", 404, None)],
)
def test_a_refusal_comes_in_the_rest_apis_own_shape(faultless: RestLab, owner, trouble, code, retry_after):
    more = {"retry_after_seconds": 7} if retry_after else {}
    faultless.remote.add_fault("request", trouble, server="kkp", method="GET", path="/clusters$", **more)
    path = f"/api/v2/projects/{faultless.projects[0]}/clusters"
    refused = owner.get(path)

    assert (refused.status_code, refused.json()["error"]["code"]) == (code, code)
    assert refused.headers.get("retry-after") == retry_after
    assert owner.get(path).status_code == 200


@pytest.mark.parametrize(("trouble", "is_done"), [("timeout", False), ("timeout-after", True), ("reset", False)])
def test_a_lost_answer_says_nothing_of_what_was_done(faultless: RestLab, owner, trouble, is_done):
    faultless.remote.add_fault("request", trouble, server="kkp", method="PATCH")
    with faultless.client(timeout=1.0) as impatient, pytest.raises(httpx.TransportError):
        impatient.patch(faultless.path(), json={"labels": {"tried": trouble}})

    def label() -> str | None:
        return owner.get(faultless.path()).json()["labels"].get("tried")

    assert (label() == trouble) is is_done


def test_faults_of_the_rest_api_leave_the_seed_alone(faultless: RestLab, owner):
    faultless.remote.add_fault("request", "500", server="kkp", times=None)
    seed = faultless.remote.requests()["lab"]

    assert owner.get("/api/v1/me").status_code == 500
    assert faultless.remote.requests()["lab"] == seed


def test_a_seed_that_is_not_reached_makes_lists_partial_and_its_clusters_unknown(faultless: RestLab, owner, as_person):
    path = f"/api/v2/projects/{faultless.projects[0]}/clusters"
    faultless.remote.add_fault("platform", "seed-unreachable", cluster=faultless.clusters[0])

    assert owner.get(path).json() == {
        "clusters": [],
        "errorMessage": "Failed to fetch data for one or more seeds. Please contact an administrator.",
    }
    said = as_person("administrator").get(path).json()["errorMessage"]
    assert said == "Failed to fetch data for following seeds: lab."
    assert (
        owner.get(faultless.path()).json()["error"]["message"]
        == f'cluster-provider "{faultless.clusters[0]}" not found'
    )
    assert owner.get(faultless.path(1)).status_code == 200
    assert [item.get("clustersNumber") for item in owner.get("/api/v1/projects").json()] == [None, 1, 1]


@pytest.mark.parametrize(("trouble", "numbers"), [("seed-left-out", [1, 1, 1]), ("seed-gone", [None, 1, 1])])
def test_a_seed_can_be_left_out_without_a_word(faultless: RestLab, owner, trouble, numbers):
    faultless.remote.add_fault("platform", trouble, cluster=faultless.clusters[0])

    assert owner.get(f"/api/v2/projects/{faultless.projects[0]}/clusters").json() == {"clusters": []}
    assert owner.get(faultless.path()).status_code == 404
    assert [item.get("clustersNumber") for item in owner.get("/api/v1/projects").json()] == numbers


def test_kubeconfigs_can_be_disabled_for_everybody(faultless: RestLab, as_person):
    directory = str(faultless.running.directory)
    status, _, complaint = run_lab("fault", "add", "kubeconfig-disabled", "--directory", directory)
    assert (status, complaint) == (0, "")

    for person in ("owner", "viewer", "administrator"):
        answer = as_person(person).get(f"{faultless.path()}/kubeconfig")
        message = "Admin Kubeconfig feature is disabled by the global settings"
        assert answer.json() == {"error": {"code": 403, "message": message}}


def test_requests_are_counted_by_route(faultless: RestLab, owner):
    route = "get /api/v2/projects/{project}/clusters/{cluster}/health"

    def counted() -> int:
        return int(faultless.remote.requests()["kkp"].get(route, 0))

    before = counted()
    owner.get(f"{faultless.path()}/health")
    eventually(lambda: counted() == before + 1, what="the request to be counted")
