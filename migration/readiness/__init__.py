"""What speaks against a migration, all of it at once. Pure functions over a survey and a request.

Each finding has a code by which an operator can accept a blocker for one run. Unknown means blocked.
docs/findings.md lists the codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from migration.asking import is_under_way
from migration.errors import InvalidRequest
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
    windows,
    workloads,
)
from migration.readiness.access import missing_permission
from migration.readiness.cluster import NOT_ON_CANAL, NOT_ON_CILIUM, NOT_ON_START
from migration.readiness.codes import CAUSED_BY_A_MIGRATION, SEVERITIES
from migration.survey import ClusterSurvey
from migration.targets import why_nothing_to_do

__all__ = [
    "NOT_ON_CANAL",
    "NOT_ON_CILIUM",
    "NOT_ON_START",
    "blockers",
    "findings",
    "missing_permission",
    "nothing_to_do",
    "refuse_unknown_codes",
    "with_acceptance",
]

VERIFICATION: Final = "verification"
"""What lets a run close that ends with something worse than before: accepted like a finding, and none of the check."""

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
    *windows.RULES,
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
    return why_nothing_to_do(request, survey.cluster, survey.journal)


def refuse_unknown_codes(accepted: Iterable[str]) -> None:
    """Raise InvalidRequest for an accepted code that no finding has: it was meant to be another."""
    if unknown := sorted(set(accepted) - set(SEVERITIES) - {VERIFICATION}):
        close = get_close_matches(unknown[0], [*SEVERITIES, VERIFICATION], n=3)
        like = f"; like it are {', '.join(close)}" if close else ""
        raise InvalidRequest(
            f"accept names {', '.join(map(repr, unknown))}, which no finding has as its code{like}. "
            "docs/findings.md lists them all"
        )


def _softened(finding: Finding) -> Finding:
    """A migration under way causes these by itself: they must not keep it from going on."""
    if finding.severity is Severity.BLOCKER and finding.code in CAUSED_BY_A_MIGRATION:
        return finding.model_copy(update={"severity": Severity.WARNING})
    return finding
