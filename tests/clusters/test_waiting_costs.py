"""What a wait asks of an API server: counted in requests that the server has answered, not in time."""

from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from clusters import narrowing
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.kinds import CILIUM_ENDPOINTS, DEPLOYMENTS, NODES, PODS
from clusters.seed import open_cluster
from clusters.watching import Live, watching
from migration.errors import DeadlineExceeded
from migration.models import ClusterRef
from tests.running_lab import eventually, lab_process

CANAL_POD = "k8s-app=canal"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    directory = tmp_path_factory.mktemp("waiting") / "lab"
    with lab_process(directory, "--clusters", "1", "--nodes", "2", "--pods", "16", "--speed", "200") as running:
        yield running


@pytest.fixture
async def api(lab, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(lab.connections))
    async with open_cluster(ClusterRef(seed="lab", name=lab.cluster_name()), lambda _: None) as opened:
        yield opened.api


@pytest.fixture
def asked(lab, api):
    """How many requests of each verb and resource were answered since the test began."""
    before = answered(lab)
    return lambda: dict(answered(lab) - before)


def answered(lab):
    return Counter(lab.remote.requests()[lab.cluster_name()])


@asynccontextmanager
async def following(*lives, asked):
    """A view whose lists and watches are all under way."""
    async with watching(*lives) as view:
        await view.listed()
        eventually(
            lambda: all(asked().get(f"watch {live.kind.group_resource}") for live in lives), what="a watch of each kind"
        )
        yield view


async def wait_in_vain(view, *, seconds):
    with pytest.raises(DeadlineExceeded):
        await view.until(
            lambda: "what never comes",
            what="nothing",
            deadline=timedelta(seconds=seconds),
            tell=lambda _: None,
            rejudge_seconds=0.05,
        )


async def test_a_wait_on_an_unchanged_cluster_lists_and_watches_each_kind_once(api, asked):
    lives = (Live(api, PODS, narrowing.pod), Live(api, NODES, narrowing.node), Live(api, DEPLOYMENTS, dict))

    async with following(*lives, asked=asked) as view:
        await wait_in_vain(view, seconds=1)

    assert asked() == {
        "list pods": 1,
        "watch pods": 1,
        "list nodes": 1,
        "watch nodes": 1,
        "list deployments.apps": 1,
        "watch deployments.apps": 1,
    }


async def test_a_wait_for_a_kind_that_nobody_has_defined_watches_its_definition_only(api, asked):
    async with watching(Live(api, CILIUM_ENDPOINTS, narrowing.endpoint)) as view:
        await wait_in_vain(view, seconds=1)

    assert asked() == {
        "list ciliumendpoints.cilium.io": 1,
        "list customresourcedefinitions.apiextensions.k8s.io": 1,
        "watch customresourcedefinitions.apiextensions.k8s.io": 1,
    }


async def test_a_change_is_noticed_without_a_further_request(api, asked):
    pods = Live(api, PODS, narrowing.pod, namespace="kube-system", labels=CANAL_POD)

    async with following(pods, asked=asked) as view:
        name = pods.values()[0].name
        await api.patch(PODS, name, {"metadata": {"labels": {"changed": "yes"}}}, namespace="kube-system")
        await view.until(
            lambda: None if pods.get(name, namespace="kube-system").has_label("changed", "yes") else "the label",
            what="the label",
            deadline=timedelta(seconds=10),
            tell=lambda _: None,
        )

    assert asked() == {"list pods": 1, "watch pods": 1, "patch pods": 1}
