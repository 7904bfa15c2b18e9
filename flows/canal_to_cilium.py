"""Canal to Cilium on one user cluster: the documented manual procedure, as a runbook that resumes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from prefect import flow, runtime
from pydantic import Field

from migration.models import ClusterRef, Deadlines, MigrationReport, MigrationRequest, RestartOptions
from tasks.cluster import back_up, record_baseline, verify
from tasks.cni import (
    allow_cni_migration,
    remove_canal,
    remove_stale_cilium,
    switch_cni,
    verify_pods_on_cilium,
    wait_for_cilium,
)
from tasks.journal import begin_migration, finish_migration
from tasks.lock import cluster_lock
from tasks.machines import list_machine_deployments, rotate_machine_deployment
from tasks.pods import restart_pods
from tasks.readiness import check_readiness
from tasks.report import report_migration, report_nothing_to_do


@flow(name="canal-to-cilium", flow_run_name="canal-to-cilium {seed}/{cluster}")
async def canal_to_cilium(
    seed: str,
    cluster: str,
    cilium_version: str = "1.19.4",
    tunnel_port: Annotated[int, Field(ge=1, le=65535)] | None = None,
    rotate_nodes: bool = True,
    remove_crds: bool = False,
    pods: RestartOptions = RestartOptions(),  # noqa: B008 - frozen
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - frozen
    accept: tuple[str, ...] = (),
) -> MigrationReport:
    """Migrate a KKP user cluster from Canal to Cilium. Safe to start again after any failure: it goes on where it was.

    Args:
        seed: Name of the configured connection to the cluster's seed.
        cluster: ID of the user cluster, which is the name of its Cluster object on the seed.
        cilium_version: Cilium version as KKP offers it, for example 1.19.4.
        tunnel_port: UDP port of Cilium's tunnel. Empty: one that Canal doesn't use.
        rotate_nodes: Replace every node at the end, so that nothing of Canal is left in a kernel.
        remove_crds: Delete Canal's CustomResourceDefinitions, and with them all Calico policies (they are backed up).
        pods: How pods are moved to Cilium.
        deadlines: Minutes after which a wait fails its step. Nothing is undone by that.
        accept: Codes of readiness blockers to go on in spite of.
    """
    request = MigrationRequest(
        cluster=ClusterRef(seed=seed, name=cluster),
        cilium_version=cilium_version,
        tunnel_port=tunnel_port,
        rotate_nodes=rotate_nodes,
        remove_crds=remove_crds,
        pods=pods,
        deadlines=deadlines,
        accept=accept,
        requested_by=str(runtime.flow_run.name),
    )

    # Step 1. Look, and change nothing.
    readiness = await check_readiness(request)
    if readiness.nothing_to_do:
        return await report_nothing_to_do(request, readiness.nothing_to_do)

    async with cluster_lock(request.cluster, runtime.flow_run.id, wait=timedelta(minutes=deadlines.lock)):
        # Step 2. Open the journal, or take up the migration that it has open.
        run = await begin_migration(request, runtime.flow_run.id)
        if run is None:
            return await report_nothing_to_do(request, "another run migrated this cluster while this one waited for it")

        # Step 3. Keep what could be lost.
        await record_baseline(run)
        await back_up(run)

        # Step 4. Bring Cilium in beside Canal.
        await remove_stale_cilium(run)
        await allow_cni_migration(run)
        await switch_cni(run)
        await wait_for_cilium(run)

        # Step 5. Move the pods.
        await restart_pods(run)
        await verify_pods_on_cilium(run)

        # Step 6. Take Canal out, and replace the nodes, one MachineDeployment at a time.
        await remove_canal(run)
        for machine_deployment in await list_machine_deployments(run):
            await rotate_machine_deployment(run, machine_deployment)

        # Step 7. Prove it, and close the journal.
        await verify(run)
        await finish_migration(run)

    return await report_migration(run, readiness.findings)
