"""The dry run under a real Prefect server: what it returns, shows and leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from clusters.api import MERGE_PATCH
from clusters.journal import read_journal
from clusters.kinds import CONFIG_MAPS, LEASES, NODES
from flows.check_readiness import check_readiness
from migration.errors import InvalidRequest, PreflightFailed
from migration.models import ProxyMode, Runbook
from migration.readiness_report import ReadinessReport

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


async def page_of(cluster: str, kind: str = "readiness") -> str:
    """Return the newest artifact of a cluster."""
    found = ArtifactFilter(key=ArtifactFilterKey(any_=[f"{kind}-{cluster}"]))
    async with get_client() as client:
        artifacts = await client.read_artifacts(artifact_filter=found)
    return str(max(artifacts, key=lambda artifact: str(artifact.created)).data)


async def test_it_says_ready_with_a_plan_and_changes_nothing(cluster_for_refusals):
    name = cluster_for_refusals.name
    async with cluster_for_refusals.apis() as (seed, _):
        before = await seed.cluster(name)

    state: Any = await check_readiness(seed=cluster_for_refusals.connection, cluster=name, return_state=True)

    report = await state.result()
    assert isinstance(report, ReadinessReport)
    assert (state.name, report.is_ready) == ("Ready", True)
    assert f"{name} is ready for canal-to-cilium" in state.message
    assert report.plan is not None
    assert report.plan.restarts > 10
    assert {found.place for found in report.plan.removals} >= {"kube-system/canal", "kube-system/canal-config"}
    assert {node.fate for node in report.plan.nodes} == {"replaced"}
    assert "## Patches" in await page_of(name)
    async with cluster_for_refusals.apis() as (seed, api):
        assert await seed.cluster(name) == before
        assert await api.find(CONFIG_MAPS, "cni-migration", namespace="kube-system") is None
        assert await api.find(LEASES, "cni-migration", namespace="kube-system") is None
        assert (await read_journal(api)).migrations == ()


async def test_blockers_are_told_and_are_no_failure(cluster_for_refusals):
    name = cluster_for_refusals.name
    which = {"seed": cluster_for_refusals.connection, "cluster": name}
    asked: dict[str, Any] = {**which, "cni_version": "1.99.0", "tunnel_port": 8472}

    state: Any = await check_readiness(**asked, return_state=True)
    accepted = await check_readiness(**asked, accept=("version-not-offered", "tunnel-port-clash"))

    assert state.is_completed()
    assert state.name == "NotReady"
    assert "2 blockers (tunnel-port-clash, version-not-offered)" in state.message
    assert accepted.is_ready
    assert {finding.code for finding in accepted.accepted} == {"version-not-offered", "tunnel-port-clash"}
    assert "blocker, accepted" in await page_of(name)


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ({"runbook": Runbook.CILIUM_TO_CANAL}, {"not-on-cilium"}),
        ({"runbook": Runbook.CHANGE_PROXY_MODE, "proxy_mode": ProxyMode.EBPF}, {"ebpf-on-canal"}),
        ({"runbook": Runbook.CHANGE_PROXY_MODE, "proxy_mode": ProxyMode.NFTABLES}, set()),
    ],
)
async def test_every_runbook_can_be_tried_out(cluster_for_refusals, asked, codes):
    report = await check_readiness(seed=cluster_for_refusals.connection, cluster=cluster_for_refusals.name, **asked)

    assert {finding.code for finding in report.blockers} == codes
    assert report.plan is not None
    assert report.runbook is asked["runbook"]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"runbook": Runbook.CHANGE_PROXY_MODE}, "set proxy_mode"),
        (
            {"runbook": Runbook.CHANGE_PROXY_MODE, "proxy_mode": ProxyMode.IPVS, "cni_version": "1.19.4"},
            "leave cni_version empty",
        ),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(cluster_for_refusals, asked, text):
    with pytest.raises(InvalidRequest, match=text):
        await check_readiness(seed=cluster_for_refusals.connection, cluster=cluster_for_refusals.name, **asked)


async def test_the_check_of_a_refused_migration_leaves_its_page_as_well(cluster_for_refusals):
    with pytest.raises(PreflightFailed):
        await cluster_for_refusals.migrate(cilium_version="1.97.0")

    assert "1.97.0" in await page_of(cluster_for_refusals.name)


async def test_what_was_accepted_stands_in_the_report(cluster):
    async with cluster.apis() as (_, api):
        node = (await api.list(NODES))[0]["metadata"]["name"]
        path = NODES.path(name=node, subresource="status")
        old = {"status": {"nodeInfo": {"kernelVersion": "5.4.0-200-generic"}}}
        await api._retrying("PATCH", path, body=old, content_type=MERGE_PATCH)
    with pytest.raises(PreflightFailed, match="kernel-too-old"):
        await cluster.migrate(rotate_nodes=False)

    report = await cluster.migrate(rotate_nodes=False, accept=("kernel-too-old",))

    assert report.outcome == "migrated"
    assert [finding.code for finding in report.findings if finding.accepted] == ["kernel-too-old"]
    assert "blocker, accepted" in await page_of(cluster.name, kind="migration-report")
