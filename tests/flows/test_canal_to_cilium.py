"""The whole runbook against a lab of its own process, over HTTPS, under a real Prefect server."""

import asyncio
import base64

import pytest
import yaml

from clusters.backups import load_backup
from clusters.journal import read_journal, read_migration
from clusters.kinds import CONFIG_MAPS, JOBS, LEASES, SECRETS
from clusters.steps.addon_inventory import calico_objects
from clusters.steps.survey import list_pods
from migration.errors import (
    Forbidden,
    InvalidRequest,
    OperatorActionNeeded,
    PlatformFailed,
    PreflightFailed,
    Unauthorized,
    Unreachable,
)
from migration.models import Cni, CniType, Deadlines, JobChoice, RestartOptions, RestartStrategy
from migration.restart import needs_network
from tests.flows.outcome import assert_migrated, look

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CLUSTERS = 14
CANAL = Cni(type=CniType.CANAL, version="v3.30")


async def test_the_runbook_migrates_a_cluster_and_loses_nothing(any_cluster):
    async with any_cluster.apis() as (_, api):
        before = await look(api)

    report = await any_cluster.migrate()

    async with any_cluster.apis() as (seed, api):
        await assert_migrated(seed, api, any_cluster.name, report, before)


async def test_a_second_run_is_a_no_op_that_says_so(cluster):
    first = await cluster.migrate(rotate_nodes=False)
    async with cluster.apis() as (seed, api):
        before = (await seed.cluster(cluster.name)).resource_version, {pod.uid for pod in await list_pods(api)}

    second = await cluster.migrate(rotate_nodes=False)

    assert second.outcome == "nothing to do"
    assert first.migration_id in second.message
    async with cluster.apis() as (seed, api):
        after = (await seed.cluster(cluster.name)).resource_version, {pod.uid for pod in await list_pods(api)}
        assert after == before


async def test_a_cluster_that_runs_cilium_by_other_means_is_refused(cluster):
    await cluster.migrate(rotate_nodes=False)
    async with cluster.apis() as (_, api):
        journal = await api.get(CONFIG_MAPS, "cni-migration", namespace="kube-system")
        await api.delete(CONFIG_MAPS, "cni-migration", namespace="kube-system", uid=journal["metadata"]["uid"])

    with pytest.raises(PreflightFailed, match=r"not-on-canal.*it already runs cilium 1\.19\.4"):
        await cluster.migrate()


class TestRefusals:
    """One clear error each, and nothing changed."""

    @pytest.fixture(autouse=True)
    async def nothing_changes(self, cluster_for_refusals):
        async with cluster_for_refusals.apis() as (seed, _):
            before = (await seed.cluster(cluster_for_refusals.name)).resource_version
        yield
        async with cluster_for_refusals.apis() as (seed, api):
            assert (await seed.cluster(cluster_for_refusals.name)).resource_version == before
            assert await api.find(CONFIG_MAPS, "cni-migration", namespace="kube-system") is None
            assert await api.find(LEASES, "cni-migration", namespace="kube-system") is None

    async def test_an_unknown_cluster(self, cluster_for_refusals):
        with pytest.raises(InvalidRequest, match="no Cluster named 'nosuchname'"):
            await cluster_for_refusals.migrate_as(cluster_for_refusals.connection, "nosuchname")

    async def test_an_unknown_connection(self, cluster_for_refusals):
        with pytest.raises(InvalidRequest, match=r"no connection named 'nosuchseed' \(configured: lab"):
            await cluster_for_refusals.migrate_as("nosuchseed", cluster_for_refusals.name)

    async def test_a_version_that_kkp_does_not_offer(self, cluster_for_refusals):
        with pytest.raises(PreflightFailed, match=r"version-not-offered.*Choose one of 1\.19\.4"):
            await cluster_for_refusals.migrate(cilium_version="1.99.0")

    async def test_a_version_that_kkp_accepts_and_never_installs(self, cluster_for_refusals):
        with pytest.raises(PreflightFailed, match=r"version-not-installable.*v1\.11"):
            await cluster_for_refusals.migrate(cilium_version="v1.11")

    async def test_something_that_is_no_version(self, cluster_for_refusals):
        with pytest.raises(PreflightFailed, match=r"version-invalid.*Choose one of 1\.19\.4"):
            await cluster_for_refusals.migrate(cilium_version="latest")

    async def test_a_refused_token(self, cluster_for_refusals, connections):
        kubeconfig = yaml.safe_load((connections / "lab.kubeconfig").read_text())
        kubeconfig["users"][0]["user"] = {"token": "no-such-token"}
        write_connection(connections, "expired", kubeconfig)

        with pytest.raises(Unauthorized, match="seed expired refused the credentials") as error:
            await cluster_for_refusals.migrate_as("expired", cluster_for_refusals.name)

        assert "no-such-token" not in str(error.value)

    async def test_an_unreachable_seed(self, cluster_for_refusals, connections, unused_tcp_port):
        kubeconfig = yaml.safe_load((connections / "lab.kubeconfig").read_text())
        kubeconfig["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{unused_tcp_port}"
        write_connection(connections, "unplugged", kubeconfig)

        with pytest.raises(Unreachable, match="seed unplugged is not reachable"):
            await cluster_for_refusals.migrate_as("unplugged", cluster_for_refusals.name)

    async def test_a_tunnel_port_that_canal_uses(self, cluster_for_refusals):
        with pytest.raises(PreflightFailed, match="tunnel-port-clash"):
            await cluster_for_refusals.migrate(tunnel_port=8472)

    async def test_bare_pods_where_they_are_not_wanted(self, cluster_for_refusals):
        with pytest.raises(PreflightFailed, match=r"bare-pod.*shop/debug-shell"):
            await cluster_for_refusals.migrate(pods=RestartOptions(bare_pods="fail"))


async def test_a_step_that_fails_twice_and_then_works_is_retried(cluster):
    # A try of a step sends a request four times: eight answers of 500 fail two tries.
    cluster.lab.remote.add_fault("request", "500", method="PATCH", path=f"/clusters/{cluster.name}$", times=8)

    report = await cluster.migrate(rotate_nodes=False)

    assert report.outcome == "migrated"
    assert cluster.lab.remote.faults() == []


async def test_helm_failing_six_times_ends_in_kkps_own_words_and_what_to_do(cluster):
    message = "timed out waiting for the condition: registry quay.example.test refused"
    cluster.lab.remote.add_fault("platform", "helm-failure", cluster=cluster.name, subject="cilium", message=message)

    with pytest.raises(PlatformFailed, match=r"gave up installing Cilium 1\.19\.4 after 6 attempts") as error:
        await cluster.migrate()

    assert "Max number of retries was exceeded" in str(error.value)
    assert message in str(error.value)
    assert "start this flow again" in str(error.value)


async def test_the_run_after_a_helm_failure_goes_on_when_the_cause_is_mended(cluster):
    await stop_at_helm(cluster)

    report = await cluster.migrate(rotate_nodes=False)

    assert report.outcome == "migrated"
    assert report.previous_cni == CANAL


async def test_two_runs_at_once_do_the_work_once(cluster):
    reports = await asyncio.gather(cluster.migrate(rotate_nodes=False), cluster.migrate(rotate_nodes=False))

    assert sorted(report.outcome for report in reports) == ["migrated", "nothing to do"]
    async with cluster.apis() as (_, api):
        assert len((await read_journal(api)).migrations) == 1


async def test_evicted_pods_respect_a_budget_until_patience_ends(cluster):
    options = RestartOptions(strategy=RestartStrategy.EVICT, eviction_patience_minutes=5)

    report = await cluster.migrate(rotate_nodes=False, pods=options)

    assert report.outcome == "migrated"


async def test_a_backup_that_was_tampered_with_is_taken_anew_before_canal_goes(cluster):
    await stop_at_helm(cluster)
    async with cluster.apis() as (_, api):
        for secret in await api.list(SECRETS, namespace="kube-system", labels="cni-migration/id"):
            if "-baseline-" not in secret["metadata"]["name"]:
                data = {"list": base64.b64encode(b"not what was stored").decode()}
                await api.patch(SECRETS, secret["metadata"]["name"], {"data": data}, namespace="kube-system")

    report = await cluster.migrate(rotate_nodes=False)

    async with cluster.apis() as (_, api):
        migration = await read_migration(api, report.migration_id)
        canal, calico = migration.backup("canal"), migration.backup("calico")
        assert canal is not None
        assert calico is not None
        assert "DaemonSet" in {item["kind"] for item in await load_backup(api, canal)}
        assert await load_backup(api, calico) == await calico_objects(api)


async def test_jobs_that_outlast_the_patience_stop_the_run_before_any_pod_is_restarted(cluster):
    async with cluster.apis() as (_, api):
        before = {pod.uid for pod in await list_pods(api) if needs_network(pod)}
        await add_endless_job(api)

    with pytest.raises(OperatorActionNeeded, match=r"Jobs still run.*No pod was restarted"):
        await cluster.migrate(pods=RestartOptions(job_wait_minutes=0), deadlines=Deadlines(restart=1))

    async with cluster.apis() as (_, api):
        assert before <= {pod.uid for pod in await list_pods(api)}
    report = await cluster.migrate(rotate_nodes=False, pods=RestartOptions(jobs=JobChoice.RESTART))
    assert report.outcome == "migrated"


async def test_a_lock_that_can_t_be_freed_hides_no_cause(cluster):
    running = asyncio.create_task(cluster.migrate(rotate_nodes=False))
    async with cluster.apis() as (seed, _):
        while (await seed.cluster(cluster.name)).cni == CANAL:
            await asyncio.sleep(0.02)
    for method, path in (("GET", "/ciliumnodes"), ("PATCH", "/leases/")):
        cluster.lab.remote.add_fault("request", "403", server=cluster.name, method=method, path=path, times=None)

    with pytest.raises(Forbidden, match="ciliumnodes"):
        await running


def write_connection(directory, name, kubeconfig):
    (directory / f"{name}.kubeconfig").write_text(yaml.safe_dump(kubeconfig))


async def stop_at_helm(cluster):
    """Have a run end in the middle: after the switch, before any pod was restarted."""
    cluster.lab.remote.add_fault("platform", "helm-failure", cluster=cluster.name, subject="cilium", message="no image")
    with pytest.raises(PlatformFailed):
        await cluster.migrate(rotate_nodes=False)
    cluster.lab.remote.clear_faults()


async def add_endless_job(api):
    container = {"name": "work", "image": "busybox", "command": ["sleep", "1000000"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 0}}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "endless", "namespace": "batch"},
        "spec": {"template": template},
    }
    await api.create(JOBS, body, namespace="batch")
    while not any(pod.name.startswith("endless") and pod.ready for pod in await list_pods(api)):
        await asyncio.sleep(0.05)
