"""What speaks against a migration, all of it at once. Pure functions over a survey and a request.

Each finding has a code by which an operator can accept a blocker for one run. Unknown means blocked.
docs/findings.md lists the codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migration.asking import is_under_way
from migration.models import Finding, MigrationRequest, Severity
from migration.readiness import (
    access,
    cluster,
    kernels,
    machines,
    network,
    nodes,
    ownership,
    policies,
    proxy,
    versions,
    webhooks,
    workloads,
)
from migration.readiness.access import missing_permission
from migration.readiness.cluster import NOT_ON_CANAL, NOT_ON_CILIUM, NOT_ON_START
from migration.readiness.codes import CAUSED_BY_A_MIGRATION
from migration.survey import ClusterSurvey
from migration.targets import is_done

__all__ = [
    "NOT_ON_CANAL",
    "NOT_ON_CILIUM",
    "NOT_ON_START",
    "blockers",
    "findings",
    "missing_permission",
    "nothing_to_do",
    "with_acceptance",
]

_RULES = (
    *cluster.RULES,
    *access.RULES,
    *versions.RULES,
    *proxy.RULES,
    *network.RULES,
    *nodes.RULES,
    *kernels.RULES,
    *machines.RULES,
    *webhooks.RULES,
    *workloads.RULES,
    *ownership.RULES,
    *policies.RULES,
)
_ORDER = {Severity.BLOCKER: 0, Severity.WARNING: 1, Severity.INFO: 2}


def findings(survey: ClusterSurvey, request: MigrationRequest) -> tuple[Finding, ...]:
    """Return every finding, blockers first."""
    found = [finding for rule in _RULES for finding in rule(survey, request)]
    if is_under_way(survey, request):
        found = [_softened(finding) for finding in found]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def blockers(found: Sequence[Finding], accepted: Iterable[str]) -> tuple[Finding, ...]:
    """Return the blockers whose code was not accepted."""
    codes = set(accepted)
    return tuple(finding for finding in found if finding.severity is Severity.BLOCKER and finding.code not in codes)


def with_acceptance(found: Iterable[Finding], accepted: Iterable[str]) -> tuple[Finding, ...]:
    """Return the findings, the blockers among them marked whose code was accepted."""
    codes = set(accepted)
    return tuple(
        finding.model_copy(update={"accepted": True})
        if finding.severity is Severity.BLOCKER and finding.code in codes
        else finding
        for finding in found
    )


def nothing_to_do(survey: ClusterSurvey, request: MigrationRequest) -> str | None:
    """Return why there is nothing to do: this project brought the cluster to where it shall be. None if there is."""
    last = is_done(request, survey.cluster, survey.journal)
    if last is None:
        return None
    return f"{survey.cluster.name} runs {survey.cluster.network} since migration {last.id}: nothing to do"


def _softened(finding: Finding) -> Finding:
    """A migration under way causes these by itself: they must not keep it from going on."""
    if finding.severity is Severity.BLOCKER and finding.code in CAUSED_BY_A_MIGRATION:
        return finding.model_copy(update={"severity": Severity.WARNING})
    return finding
