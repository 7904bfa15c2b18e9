"""MachineDeployments: whether nodes can be replaced, and what it means if they are not (docs/platform.md 7)."""

from __future__ import annotations

from collections.abc import Iterable

from migration.asking import new_cni
from migration.models import CniType, Finding, MigrationRequest
from migration.readiness.codes import blocker, info, warning
from migration.survey import ADDON, ClusterSurvey
from migration.text import listing


def rollouts(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find MachineDeployments that would not roll."""
    if not request.rotate_nodes:
        return
    for deployment in survey.machine_deployments:
        subject = f"MachineDeployment {deployment.namespace}/{deployment.name}"
        if deployment.paused:
            yield blocker(
                "machine-deployment-paused", subject, "it is paused", "Unpause it, or run with rotate_nodes off."
            )
        elif not deployment.is_complete:
            yield blocker(
                "machine-deployment-unfinished",
                subject,
                f"{deployment.available} of {deployment.replicas} machines available, {deployment.updated} up to date",
                "Let its rollout finish first, or run with rotate_nodes off.",
            )
    rolling = [deployment for deployment in survey.machine_deployments if deployment.replicas]
    if rolling:
        yield info(
            "quota-unseen",
            f"{len(rolling)} MachineDeployments",
            f"{sum(deployment.surge for deployment in rolling)} more machines may be there during the rotation, "
            "and no API tells whether the cloud's quota has room for them",
            "Look at the quota: without room the rotation stands still.",
        )


def unowned(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find nodes that nothing replaces."""
    if not request.rotate_nodes:
        return
    by_hand = sorted(node.name for node in survey.nodes if not node.owned_by_machine)
    if by_hand and not survey.machine_deployments:
        yield warning(
            "no-machine-deployments",
            "the user cluster",
            f"it has no MachineDeployment to replace its {len(by_hand)} nodes ({listing(by_hand, count=10)})",
            "Have somebody ready who drains and reboots them one by one: the run waits for that at its end.",
        )
        return
    for name in by_hand:
        yield warning(
            "node-without-machine",
            f"Node {name}",
            "no MachineDeployment owns it, so it can't be replaced",
            "Have somebody ready who drains and reboots it: the run waits for that at its end.",
        )


def kept(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find that nodes shall stay which Cilium has left its traces on (docs/platform.md 5.2)."""
    if request.rotate_nodes or new_cni(request) is not CniType.CANAL:
        return
    # The agents of that addon take their CNI file along (docs/platform.md 11.2).
    make = warning if survey.cilium.agents == ADDON else blocker
    yield make(
        "nodes-keep-cilium",
        f"{len(survey.nodes)} nodes",
        "rotate_nodes is off, but Cilium leaves interfaces, programs and rules in their kernels",
        "Leave rotate_nodes on. If you replace or reboot every node yourself right after, accept this code.",
    )


RULES = (rollouts, unowned, kept)
