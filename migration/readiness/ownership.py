"""Who else writes what a migration changes: GitOps tools, which would change it back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from migration.asking import new_cni
from migration.gitops import gitops_owner
from migration.models import CniType, Finding, MigrationRequest
from migration.readiness.codes import warning
from migration.survey import ClusterSurvey
from migration.text import listing


def owners(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find each tool that keeps something of what changes, with what that is."""
    kept: defaultdict[str, list[str]] = defaultdict(list)
    for owner, place in _changed(survey, request):
        if owner:
            kept[owner].append(place)
    for owner, places in sorted(kept.items()):
        yield warning(
            "gitops-owner",
            owner,
            f"it keeps {listing(places)}, and would change back what the migration changes",
            "Suspend it for the time of the migration, and change its source before it goes on.",
        )


def _changed(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[tuple[str, str]]:
    """Yield owner and place of everything that the runbook changes or removes."""
    yield survey.cluster.gitops_owner, f"Cluster {survey.cluster.name}"
    if request.rotate_nodes:
        for deployment in survey.machine_deployments:
            yield deployment.gitops_owner, f"MachineDeployment {deployment.namespace}/{deployment.name}"
    going = {CniType.CILIUM: survey.canal, CniType.CANAL: survey.cilium}.get(new_cni(request) or CniType.NONE)
    for found in going.objects if going else ():
        yield found.gitops_owner, f"{found.kind} {found.place}"
    if request.remove_crds and survey.policies is not None:
        to_cilium = new_cni(request) is CniType.CILIUM
        facts = survey.policies
        for policy in (*facts.calico, *facts.admin) if to_cilium else facts.cilium:
            yield gitops_owner(policy.labels, {}), f"{policy.kind} {policy.place}"


RULES = (owners,)
