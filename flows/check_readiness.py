"""The dry run: what a runbook would meet and do on one user cluster, without doing any of it."""

from __future__ import annotations

from typing import Annotated, Final, cast

from prefect import flow, runtime
from prefect.states import Completed
from pydantic import Field

from migration.errors import InvalidRequest
from migration.models import ClusterRef, Cni, CniType, MigrationRequest, ProxyMode, RestartOptions, Runbook
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
    seed: str,
    cluster: str,
    runbook: Runbook = Runbook.CANAL_TO_CILIUM,
    cni_version: str = "",
    proxy_mode: ProxyMode | None = None,
    rotate_nodes: bool = True,
    remove_crds: bool = False,
    manifest: str = "",
    tunnel_port: Annotated[int, Field(ge=1, le=65535)] | None = None,
    pods: RestartOptions = RestartOptions(),  # noqa: B008 - frozen
    accept: tuple[str, ...] = (),
    maintenance: Maintenance = Maintenance(),  # noqa: B008 - frozen
) -> ReadinessReport:
    """Tell whether a KKP user cluster is ready for a runbook, and what that would do there. Changes nothing.

    Args:
        seed: Name of the configured connection to the cluster's seed.
        cluster: ID of the user cluster, which is the name of its Cluster object on the seed.
        runbook: What would be run.
        cni_version: Version of the CNI to migrate to. Empty: KKP's default.
        proxy_mode: kube-proxy mode to change to. Empty: as the runbook does without.
        rotate_nodes: Whether every node would be replaced at the end.
        remove_crds: Whether the old CNI's CustomResourceDefinitions would be deleted.
        manifest: File or URL of the manifest that the old CNI was installed from, if not by KKP.
        tunnel_port: UDP port of Cilium's tunnel. Empty: one that Canal doesn't use.
        pods: How pods would be moved.
        accept: Codes of readiness blockers that would be accepted.
        maintenance: When the run would be allowed to work. Nothing given: at any time.
    """
    report = await examine_readiness(
        MigrationRequest(
            cluster=ClusterRef(seed=seed, name=cluster),
            runbook=runbook,
            desired_cni=_desired_cni(runbook, cni_version),
            desired_proxy_mode=_desired_mode(runbook, proxy_mode),
            rotate_nodes=rotate_nodes,
            remove_crds=remove_crds,
            manifest=manifest,
            tunnel_port=tunnel_port,
            pods=pods,
            accept=accept,
            maintenance=maintenance,
            requested_by=str(runtime.flow_run.name),
        )
    )
    name = "Ready" if report.is_ready else "NotReady"
    # Prefect takes a state that a flow returns as its own, and hands the data to whoever awaits the flow.
    return cast("ReadinessReport", Completed(name=name, message=report.verdict, data=report))


def _desired_cni(runbook: Runbook, version: str) -> Cni | None:
    default = DEFAULT_CNIS.get(runbook)
    if default is None and version:
        raise InvalidRequest(f"{runbook} keeps the CNI: leave cni_version empty")
    return default.model_copy(update={"version": version}) if default and version else default


def _desired_mode(runbook: Runbook, mode: ProxyMode | None) -> ProxyMode | None:
    if runbook is Runbook.CHANGE_PROXY_MODE and mode is None:
        raise InvalidRequest(f"{runbook} needs to know which mode: set proxy_mode")
    return mode
