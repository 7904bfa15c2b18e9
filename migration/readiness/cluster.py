"""The Cluster object: whether KKP works on it at all, and whether it is where the runbook sets out."""

from __future__ import annotations

from collections.abc import Iterable

from migration.asking import is_under_way, new_cni, target
from migration.models import Finding, MigrationRequest, Runbook
from migration.readiness.codes import blocker
from migration.survey import ClusterSurvey
from migration.targets import START, way_on

NOT_ON_CANAL = "not-on-canal"
NOT_ON_CILIUM = "not-on-cilium"
NOT_ON_START = {Runbook.CANAL_TO_CILIUM: NOT_ON_CANAL, Runbook.CILIUM_TO_CANAL: NOT_ON_CILIUM}
"""The blocker of each runbook that finds the cluster elsewhere than where it sets out."""


def state(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find what keeps KKP from acting on the Cluster (docs/platform.md 1.5, 3.4)."""
    cluster, subject = survey.cluster, f"Cluster {survey.cluster.name}"
    if cluster.deleting:
        yield blocker(
            "cluster-deleted",
            subject,
            "it is being deleted",
            f"There is nothing to bring to {target(survey, request)}.",
        )
    if cluster.paused:
        yield blocker("cluster-paused", subject, "spec.pause is set: KKP changes nothing", "Unpause it first.")
    if cluster.worker_name:
        yield blocker(
            "worker-name",
            subject,
            f"label worker-name={cluster.worker_name}: KKP's controllers pass it over",
            "Remove the label.",
        )
    if unhealthy := cluster.unhealthy():
        yield blocker(
            "cluster-unhealthy",
            subject,
            f"{', '.join(unhealthy)}",
            "KKP changes a network only on a healthy control plane: wait or mend it.",
        )
    if cluster.phase == "Updating" or cluster.update_reason not in ("", "UpToDate"):
        yield blocker("cluster-updating", subject, "a Kubernetes upgrade is in progress", "Let it finish first.")


def start(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find another open migration, or that the runbook sets out from elsewhere. A revert starts from anywhere."""
    cluster, unfinished = survey.cluster, survey.journal.open_migration()
    wanted = START.get(request.runbook)
    if unfinished is not None and not is_under_way(survey, request):
        yield blocker(
            "other-migration",
            f"migration {unfinished.id}",
            f"{unfinished.kind} to {unfinished.target}, begun by {unfinished.started_by or 'somebody'}, is unfinished",
            f"{way_on(unfinished).capitalize()}.",
        )
    elif unfinished is None and not request.reverts and wanted is not None and cluster.cni.type is not wanted:
        code = NOT_ON_START[request.runbook]
        yield blocker(
            code,
            f"Cluster {cluster.name}",
            f"it {'already ' if cluster.cni.type is new_cni(request) else ''}runs {cluster.cni}",
            f"This runbook sets out from {str(wanted).capitalize()}; the version of a CNI is changed in KKP. If a "
            f"migration lost its journal on the way, accept {code} to finish it.",
        )


RULES = (state, start)
