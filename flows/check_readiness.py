"""The dry run: what a runbook would meet and do on one user cluster, without doing any of it."""

from __future__ import annotations

from typing import Any, Final, cast

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from migration.errors import InvalidRequest, MigrationError
from migration.models import (
    ClusterRef,
    Cni,
    CniType,
    MigrationRequest,
    ProbeOptions,
    ProxyMode,
    RestartOptions,
    Runbook,
)
from migration.parameters import (
    AUTOMATIC_PORT,
    AcceptedBlockers,
    ClusterId,
    CniVersion,
    MaintenanceWindows,
    Manifest,
    OptionalProxyMode,
    Pods,
    Probes,
    ProxyModeChoice,
    RemoveDefinitions,
    RotateNodes,
    RunbookChoice,
    SeedName,
    TunnelPort,
)
from migration.readiness_report import ReadinessReport
from migration.versions import DEFAULT_CANAL, DEFAULT_CILIUM
from migration.windows import Maintenance
from tasks.readiness import examine_readiness

DEFAULT_CNIS: Final = {
    Runbook.CANAL_TO_CILIUM: Cni(type=CniType.CILIUM, version=DEFAULT_CILIUM),
    Runbook.CILIUM_TO_CANAL: Cni(type=CniType.CANAL, version=DEFAULT_CANAL),
}


@flow(name="check-readiness", flow_run_name="check-readiness {seed}/{cluster}", persist_result=False)
async def check_readiness(
    seed: SeedName,
    cluster: ClusterId,
    runbook: RunbookChoice = Runbook.CANAL_TO_CILIUM,
    cni_version: CniVersion = "",
    proxy_mode: OptionalProxyMode = ProxyModeChoice.KEEP,
    rotate_nodes: RotateNodes = True,
    maintenance: MaintenanceWindows = Maintenance(),  # noqa: B008 - frozen
    pods: Pods = RestartOptions(),  # noqa: B008 - frozen
    probes: Probes = ProbeOptions(),  # noqa: B008 - frozen
    remove_crds: RemoveDefinitions = False,
    manifest: Manifest = "",
    tunnel_port: TunnelPort = AUTOMATIC_PORT,
    accept: AcceptedBlockers = (),
) -> ReadinessReport:
    """Tell whether a KKP user cluster is ready for a runbook, and what that would do there. Changes nothing."""
    ref = ClusterRef(seed=seed, name=cluster)
    try:
        report = await examine_readiness(
            MigrationRequest(
                cluster=ref,
                runbook=runbook,
                desired_cni=_desired_cni(runbook, cni_version),
                desired_proxy_mode=_desired_mode(runbook, proxy_mode.wanted),
                rotate_nodes=rotate_nodes,
                remove_crds=remove_crds,
                manifest=manifest,
                tunnel_port=tunnel_port or None,
                pods=pods,
                probes=probes,
                accept=accept,
                maintenance=maintenance,
                requested_by=str(runtime.flow_run.name),
            )
        )
        name = "Ready" if report.is_ready else "NotReady"
        end: State[Any] = Completed(name=name, message=report.verdict, data=report)
    except MigrationError as error:
        end = Failed(message=f"{ref}: {error}. Nothing was changed: this flow only looks", data=error)
    # Prefect takes a state that a flow returns as its own, and hands the data to whoever awaits the flow.
    return cast("ReadinessReport", end)


def _desired_cni(runbook: Runbook, version: str) -> Cni | None:
    default = DEFAULT_CNIS.get(runbook)
    if default is None and version:
        raise InvalidRequest(f"{runbook} keeps the CNI: leave cni_version empty")
    return default.model_copy(update={"version": version}) if default and version else default


def _desired_mode(runbook: Runbook, mode: ProxyMode | None) -> ProxyMode | None:
    if runbook is Runbook.CHANGE_PROXY_MODE and mode is None:
        raise InvalidRequest(f"{runbook} needs to know which mode: set proxy_mode")
    return mode
