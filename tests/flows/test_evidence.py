"""What one migration leaves behind it: evidence of every change, events, a bar; and nowhere a secret."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL

from clusters import kinds
from clusters.kubernetes_seed import KubernetesSeed
from clusters.steps.addon_inventory import ADDON_KINDS, addon_label
from clusters.steps.survey import list_pods
from deployments.evidence import main
from migration.evidence import Evidence
from migration.evidence_page import json_of
from migration.models import Pod
from migration.restart import needs_network
from tasks import progress
from tests.flows.test_check_readiness import page_of
from tests.running_lab import eventually

if TYPE_CHECKING:
    from clusters.api import KubeApi
    from tests.flows.conftest import UserCluster

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@dataclass(frozen=True)
class Before:
    """What the cluster consisted of, as far as the migration is to change it."""

    pods: frozenset[Pod]
    canal: frozenset[tuple[str, str]]
    cluster: Any
    secrets: frozenset[str]


async def look(cluster: UserCluster) -> Before:
    async with cluster.apis() as (seed, api):
        pods = [pod for pod in await list_pods(api) if needs_network(pod) and not pod.finished and not is_of_job(pod)]
        canal = [
            (kind.group_resource, item["metadata"]["name"])
            for kind, _ in ADDON_KINDS
            for item in await api.list(kind, labels=addon_label("canal"))
        ]
        assert isinstance(seed, KubernetesSeed)
        found = await seed.api.get(kinds.CLUSTERS, cluster.name)
        secrets = await secrets_of(api)
    return Before(frozenset(pods), frozenset(canal), found, secrets)


def is_of_job(pod: Pod) -> bool:
    """Whether its end is awaited rather than brought about."""
    return pod.owner is not None and pod.owner.kind == "Job"


async def secrets_of(api: KubeApi) -> frozenset[str]:
    """Return the values of every Secret that is not the project's own, as stored and decoded."""
    values = set()
    for item in await api.list(kinds.SECRETS):
        if not item["metadata"]["name"].startswith("cni-migration-"):
            for value in (item.get("data") or {}).values():
                values |= {value, base64.b64decode(value).decode(errors="ignore").strip()}
    return frozenset(value for value in values if len(value) > 8)


async def test_evidence_of_a_migration_tells_every_change_and_no_secret(
    cluster: UserCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.2)
    before = await look(cluster)
    report = await cluster.migrate()
    after = await look(cluster)
    page, found = await fetched(cluster, tmp_path / "evidence.html")

    assert found.gaps == ()
    assert found.migration.id == report.migration_id
    assert_cluster_s_changes(found, before, after)
    assert_removals(found, before, after)
    moved = {change.uid for change in found.changes if change.step == "restart pods" and change.verb == "delete"}
    assert sorted(pod.key for pod in before.pods if pod.uid not in moved) == []
    assert "ready for canal-to-cilium" in page
    assert found.report == report
    assert found.starts[0].versions["prefect"]
    assert found.prefect_runs[0].id == found.migration.runs[0]
    assert [backup.name for backup in found.backups if not backup.is_intact] == []
    secrets = before.secrets | after.secrets | tokens_of(cluster)
    assert secrets
    assert [secret[:4] for secret in secrets if secret in page or json.dumps(secret)[1:-1] in page] == []
    assert f"python -m deployments.evidence --seed {cluster.connection}" in await page_of(
        cluster.name, "migration-evidence"
    )
    assert " of " in await description_of(f"migration-progress-{cluster.name}")
    assert_events(cluster, report)


async def fetched(cluster: UserCluster, file: Path) -> tuple[str, Evidence]:
    arguments = ["--seed", cluster.connection, "--cluster", cluster.name, "--output", str(file)]
    assert await asyncio.to_thread(main, arguments) == 0
    assert await asyncio.to_thread(main, ["--verify", str(file)]) == 0
    page = await asyncio.to_thread(file.read_text)
    return page, Evidence.model_validate_json(json_of(page)[0])


def assert_cluster_s_changes(found: Evidence, before: Before, after: Before) -> None:
    changed = {
        difference.path: (difference.before, difference.after)
        for change in found.changes
        if change.kind == kinds.CLUSTERS.group_resource and change.step == "switch CNI"
        for difference in change.differences
    }
    old, new = before.cluster["spec"]["cniPlugin"], after.cluster["spec"]["cniPlugin"]
    assert changed["/spec/cniPlugin/type"] == (old["type"], new["type"]) == ("canal", "cilium")
    assert changed["/spec/cniPlugin/version"] == (old["version"], new["version"])
    labels = [
        (change.step, difference.op)
        for change in found.changes
        for difference in change.differences
        if change.where.startswith(("seed ", "KKP API ")) and difference.path.startswith("/metadata/labels")
    ]
    assert labels == [("allow CNI migration", "add"), ("finish migration", "remove")]


def assert_removals(found: Evidence, before: Before, after: Before) -> None:
    removed = {
        (change.kind, change.name): change
        for change in found.changes
        if change.step == "remove Canal" and change.verb == "delete" and change.outcome == "done"
    }
    assert after.canal == frozenset()
    assert removed.keys() == before.canal
    assert all(change.differences[0].before["metadata"]["name"] == name for (_, name), change in removed.items())


def tokens_of(cluster: UserCluster) -> frozenset[str]:
    users = cluster.kubeconfig["users"]
    return frozenset(value for user in users for value in user["user"].values() if isinstance(value, str))


async def description_of(key: str) -> str:
    async with httpx.AsyncClient(base_url=str(PREFECT_API_URL.value())) as client:
        found = (await client.get(f"/artifacts/{key}/latest")).raise_for_status().json()
    assert found["type"] == "progress"
    return str(found["description"])


def assert_events(cluster: UserCluster, report: Any) -> None:
    resource = f"cni-migration.cluster.{cluster.connection}/{cluster.name}"
    wanted = {"filter": {"event": {"prefix": ["cni-migration."]}, "resource": {"id": [resource]}}, "limit": 50}

    def arrived() -> list[Any]:
        with httpx.Client(base_url=str(PREFECT_API_URL.value())) as client:
            page = client.post("/events/filter", json=wanted).raise_for_status().json()
            events = list(page["events"])
            while page["next_page"]:
                page = client.get(page["next_page"]).raise_for_status().json()
                events += page["events"]
        # Pages are counted from the newest: what arrives between two of them shows one event on both.
        events = list({event["id"]: event for event in events}.values())
        return events if any(event["event"].endswith("migration.finished") for event in events) else []

    events = eventually(arrived, what="the event at the migration's end")
    steps = [event["payload"]["step"] for event in events if event["event"] == "cni-migration.step.finished"]
    assert sorted(steps) == sorted(
        step for step in {step.step for step in report.steps} if not step.startswith(("window before", "approval"))
    )
    finished = next(event for event in events if event["event"] == "cni-migration.migration.finished")
    assert finished["payload"]["outage_seconds"] == report.outage_seconds
    assert any(related["prefect.resource.id"].startswith("prefect.flow-run.") for related in finished["related"])
    assert {event["event"] for event in events} >= {"cni-migration.migration.begun", "cni-migration.finding"}
