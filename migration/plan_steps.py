"""The steps of each runbook in words, by the names of the tasks that do them, in the order of flows/runbooks.py."""

from __future__ import annotations

from collections.abc import Iterator

from migration.asking import changes_mode, moves_pods_with_nodes, opens_nodes, target
from migration.frozen import Frozen
from migration.models import MigrationRequest, Runbook
from migration.survey import ClusterSurvey


class PlannedStep(Frozen):
    """A step: the task that does it, and what it leaves."""

    task: str
    what: str


def planned_steps(survey: ClusterSurvey, request: MigrationRequest) -> tuple[PlannedStep, ...]:
    """Return what the runbook does, with what it will find nothing to do for said so."""
    steps = {
        Runbook.CANAL_TO_CILIUM: _canal_to_cilium,
        Runbook.CILIUM_TO_CANAL: _cilium_to_canal,
        Runbook.CHANGE_PROXY_MODE: _change_proxy_mode,
    }[request.runbook]
    own = tuple(PlannedStep(task=task, what=what) for task, what in steps(survey, request))
    return (
        *own,
        PlannedStep(task="verify", what="compare everything with what was noted at the beginning"),
        PlannedStep(
            task="finish_migration", what="take the label off again if this run added it, and close the journal"
        ),
    )


def _canal_to_cilium(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[tuple[str, str]]:
    wanted = target(survey, request)
    yield "record_baseline", "note what is ready now"
    yield "back_up", "back up Canal's objects and Calico's resources"
    yield "remove_stale_cilium", "remove what an earlier Cilium left of its installation"
    yield "allow_cni_migration", "label the Cluster so that KKP lets its network be changed"
    yield "switch_cni", f"set the Cluster's CNI to {wanted.cni}"
    yield "open_closed_nodes", "uncordon what was closed" if opens_nodes(survey, request) else "nothing: none is closed"
    yield "wait_for_cilium", "wait until Cilium runs on every node beside Canal"
    yield "restore_policies", _restore(request)
    yield "restart_pods", "restart every pod of the pod network onto Cilium"
    yield "verify_pods_on_cilium", "compare each pod with its CiliumEndpoint"
    yield "remove_canal", "remove Canal" + (" and its CustomResourceDefinitions" if request.remove_crds else "")
    yield from _mode(survey, request)
    yield from _nodes(request)


def _cilium_to_canal(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[tuple[str, str]]:
    wanted = target(survey, request)
    mode = f" and kube-proxy mode {wanted.proxy_mode}" if changes_mode(survey, request) else ""
    with_nodes = moves_pods_with_nodes(survey, request)
    yield "record_baseline", "note what is ready now"
    yield "back_up", "back up what Cilium was installed from, and Cilium's resources"
    yield (
        "prepare_cilium_removal",
        "move Cilium's tunnel off Canal's port, and have its agents take their CNI file along",
    )
    yield "allow_cni_migration", "label the Cluster so that KKP lets its network be changed"
    yield "switch_cni", f"set the Cluster to {wanted.cni}{mode}, in one patch"
    yield "wait_for_canal", "wait until Canal runs on every node beside Cilium"
    yield "wait_for_proxy_mode", "wait until kube-proxy runs in its mode" if mode else "nothing: the proxy mode stays"
    yield "restore_policies", _restore(request)
    yield "remove_cilium", "have Cilium uninstalled, and sweep what stays"
    yield "restart_pods", "nothing: pods move with their nodes" if with_nodes else "restart every pod onto Canal"
    if request.remove_crds:
        yield "remove_cilium_definitions", "remove Cilium's CustomResourceDefinitions, backed up anew"
    yield "close_old_nodes", "cordon the nodes where new pods can't start" if with_nodes else "nothing: none is closed"
    yield from _nodes(request)


def _change_proxy_mode(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[tuple[str, str]]:
    yield "record_baseline", "note what is ready now"
    yield "allow_cni_migration", "label the Cluster so that KKP lets its network be changed"
    yield from _mode(survey, request)
    yield from _nodes(request)


def _restore(request: MigrationRequest) -> str:
    return (
        "restore the policies that were backed up then" if request.reverts else "nothing: there is nothing to restore"
    )


def _mode(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[tuple[str, str]]:
    before, after = survey.cluster.proxy_mode, target(survey, request).proxy_mode
    changes = before != after
    yield (
        "switch_proxy_mode",
        f"change the kube-proxy mode from {before} to {after}" if changes else "nothing: it stays",
    )
    yield "wait_for_proxy_mode", "wait until every node runs with it" if changes else "nothing: it stays"


def _nodes(request: MigrationRequest) -> Iterator[tuple[str, str]]:
    what = "replace every node, one MachineDeployment at a time; wait for those that people reboot"
    yield "replace_nodes", what if request.rotate_nodes else "nothing: nodes stay"
