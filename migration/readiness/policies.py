"""Network policies that will mean something else, or nothing, on the other CNI."""

from __future__ import annotations

from collections.abc import Iterable

from migration.asking import new_cni, target
from migration.models import CniType, Finding, MigrationRequest
from migration.policies import NetworkRanges, findings, policy_changes
from migration.survey import ClusterSurvey


def policies(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find what becomes of each policy; nothing where the CNI stays."""
    cni = new_cni(request)
    if cni is None or survey.policies is None:
        return ()
    ranges = NetworkRanges(
        pods=survey.cluster.pod_cidrs,
        services=survey.cluster.service_cidrs,
        nodes=tuple(node.internal_address for node in survey.nodes),
    )
    cilium = target(survey, request).cni if cni is CniType.CILIUM else survey.cluster.cni
    version = cilium.version if cilium.type is CniType.CILIUM else ""
    return findings(policy_changes(survey.policies, survey.pods, ranges, target=cni, cilium_version=version))


RULES = (policies,)
