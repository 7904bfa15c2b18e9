"""What speaks against a migration from Canal to Cilium, all of it at once. Pure functions over a survey.

Each finding has a code by which an operator can accept a blocker for one run. Unknown means blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from migration.facts import ClusterSurvey
from migration.models import BarePodChoice, CniType, Finding, JobChoice, MigrationRequest, RestartStrategy, Severity
from migration.restart import is_bare, needs_network
from migration.versions import DEFAULT_TUNNEL_PORT, FLANNEL_VXLAN_PORT, is_installable_cilium, is_version, newest

NOT_ON_CANAL = "not-on-canal"
# A rolling controller-manager, a rotation in progress: codes of findings that an interrupted migration leaves behind.
_CAUSED_BY_A_MIGRATION = frozenset({"cluster-unhealthy", "node-not-ready", "machine-deployment-unfinished"})

Rule = Callable[[ClusterSurvey, MigrationRequest], Iterable[Finding]]


def findings(survey: ClusterSurvey, request: MigrationRequest) -> tuple[Finding, ...]:
    """Return every finding, blockers first."""
    found = [finding for rule in _RULES for finding in rule(survey, request)]
    if _resumes(survey, request):
        found = [_softened(finding) for finding in found]
    order = {Severity.BLOCKER: 0, Severity.WARNING: 1, Severity.INFO: 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def blockers(found: Sequence[Finding], accepted: Iterable[str]) -> tuple[Finding, ...]:
    """Return the blockers whose code was not accepted."""
    codes = set(accepted)
    return tuple(finding for finding in found if finding.severity is Severity.BLOCKER and finding.code not in codes)


def nothing_to_do(survey: ClusterSurvey, request: MigrationRequest) -> str | None:
    """Return why there is nothing to do: this project brought the cluster to where it shall be. None if there is."""
    last = survey.last_migration
    if survey.open_migration is not None or last is None or survey.cluster.cni != request.desired_cni:
        return None
    if last.desired_cni != request.desired_cni:
        return None
    return f"{survey.cluster.name} runs {request.desired_cni} since migration {last.id}: nothing to do"


def _resumes(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    return survey.open_migration is not None and survey.open_migration.desired_cni == request.desired_cni


def _softened(finding: Finding) -> Finding:
    """A migration under way causes these by itself: they must not keep it from going on."""
    if finding.severity is Severity.BLOCKER and finding.code in _CAUSED_BY_A_MIGRATION:
        return finding.model_copy(update={"severity": Severity.WARNING})
    return finding


def _cluster_state(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    cluster, subject = survey.cluster, f"Cluster {survey.cluster.name}"
    if cluster.deleting:
        yield _blocker(
            "cluster-deleted", subject, "it is being deleted", f"There is nothing to migrate to {request.desired_cni}."
        )
    if cluster.paused:
        yield _blocker("cluster-paused", subject, "spec.pause is set: KKP changes nothing", "Unpause it first.")
    if cluster.worker_name:
        yield _blocker(
            "worker-name",
            subject,
            f"label worker-name={cluster.worker_name}: KKP's controllers pass it over",
            "Remove the label.",
        )
    if unhealthy := cluster.unhealthy():
        yield _blocker(
            "cluster-unhealthy",
            subject,
            f"{', '.join(unhealthy)}",
            "KKP installs Cilium only on a healthy control plane: wait or mend it.",
        )
    if cluster.phase == "Updating" or cluster.update_reason not in ("", "UpToDate"):
        yield _blocker("cluster-updating", subject, "a Kubernetes upgrade is in progress", "Let it finish first.")


def _current_cni(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    cluster, unfinished = survey.cluster, survey.open_migration
    if unfinished is not None and unfinished.desired_cni != request.desired_cni:
        yield _blocker(
            "other-migration",
            f"migration {unfinished.id}",
            f"it was begun by {unfinished.started_by or 'somebody'} towards {unfinished.desired_cni} and is unfinished",
            "Finish it first, by starting this flow with that version.",
        )
    elif cluster.cni.type is not CniType.CANAL and unfinished is None:
        yield _blocker(
            NOT_ON_CANAL,
            f"Cluster {cluster.name}",
            f"it already runs {cluster.cni}",
            "This flow migrates from Canal; the version of a CNI is changed in KKP. If a migration lost its journal "
            f"on the way, accept {NOT_ON_CANAL} to finish it.",
        )
    if cluster.proxy_mode == "ipvs":
        # KKP 2.21 to 2.23 known issues; kubermatic#8767, cilium#18610.
        yield _warning(
            "ipvs-with-cilium",
            f"Cluster {cluster.name}",
            "kube-proxy runs in ipvs mode, with which NodePorts to remote backends fail on Cilium",
            "Change the kube-proxy mode after the migration.",
        )


def _version(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    version, subject = request.cilium_version, f"Cilium {request.cilium_version}"
    if not is_version(version):
        yield _blocker("version-invalid", subject, "that is no CNI version", f"Choose one of {_choices(survey)}.")
    elif not is_installable_cilium(version):
        yield _blocker(
            "version-not-installable",
            subject,
            "KKP accepts this version but has had no installer for Cilium before 1.13 since it became an application",
            f"Choose one of {_choices(survey)}.",
        )
    elif survey.offered_versions is None:
        yield _blocker(
            "no-application-definition",
            subject,
            "the seed has no ApplicationDefinition named cilium",
            "This KKP can't install Cilium as an application: check the KKP installation.",
        )
    elif version not in survey.offered_versions:
        yield _blocker(
            "version-not-offered",
            subject,
            f"the seed's ApplicationDefinition offers {len(survey.offered_versions)} versions, this one not among them",
            f"Choose one of {_choices(survey)}.",
        )


def _tunnel_port(_survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    if request.tunnel_port == FLANNEL_VXLAN_PORT:
        # cilium/cilium#8990: the agent crashes next to flannel.1 on the same port.
        yield _blocker(
            "tunnel-port-clash",
            f"tunnel port {request.tunnel_port}",
            "Canal's flannel uses the same VXLAN port on every node",
            "Leave the tunnel port on automatic, or choose another one and open it between the nodes.",
        )
    else:
        yield _info(
            "tunnel-port",
            f"UDP port {request.tunnel_port or DEFAULT_TUNNEL_PORT}",
            "Cilium's tunnel uses it between the nodes, and no API tells whether a firewall lets it through",
            "Make sure that security groups and firewalls allow it from node to node.",
        )


def _nodes(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    if not survey.nodes:
        yield _blocker("no-nodes", "the user cluster", "it has no node", "KKP installs no application without a node.")
    for node in survey.nodes:
        if not node.ready:
            yield _blocker(
                "node-not-ready", f"Node {node.name}", "it is not Ready", "Cilium can't start there: mend or remove it."
            )
        if node.architecture not in ("amd64", "arm64"):
            yield _blocker(
                "node-architecture",
                f"Node {node.name}",
                f"architecture {node.architecture}",
                "Cilium has no image for it.",
            )
        if node.cordoned:
            yield _warning(
                "node-cordoned", f"Node {node.name}", "it is cordoned", "Its pods move to other nodes if there is room."
            )
        if request.rotate_nodes and not node.owned_by_machine:
            yield _warning(
                "node-without-machine",
                f"Node {node.name}",
                "no MachineDeployment owns it, so it can't be replaced",
                "Reboot it after the migration to clear what Canal left in its kernel.",
            )


def _machine_deployments(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    if not request.rotate_nodes:
        return
    for deployment in survey.machine_deployments:
        subject = f"MachineDeployment {deployment.namespace}/{deployment.name}"
        if deployment.paused:
            yield _blocker(
                "machine-deployment-paused", subject, "it is paused", "Unpause it, or run with rotate_nodes off."
            )
        elif not deployment.is_complete:
            yield _blocker(
                "machine-deployment-unfinished",
                subject,
                f"{deployment.available} of {deployment.replicas} machines available, {deployment.updated} up to date",
                "Let its rollout finish first, or run with rotate_nodes off.",
            )


def _way_in(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    told, reached = survey.cluster.api_url, survey.reached_url
    if told and reached and _place(told) != _place(reached):
        yield _blocker(
            "another-api-server",
            f"Cluster {survey.cluster.name}",
            f"its API server is {told}, but the kubeconfig made for migrations leads to {reached}",
            "Make that kubeconfig anew from this cluster's own; accept the code only if both are the same server.",
        )


def _place(url: str) -> tuple[str | None, int, str]:
    """Return what tells API servers apart in their URLs."""
    parts = urlsplit(url)
    return parts.hostname, parts.port or 443, parts.path.rstrip("/")


def _permissions(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    for denied in survey.denied:
        yield missing_permission(denied)


def missing_permission(denied: str) -> Finding:
    """Return the finding of a right that is missing, as `verb resource on where`."""
    advice = "Grant it to the account of this project: deployments/rbac has the roles."
    return _blocker("permission-missing", denied, "the credentials don't allow it", advice)


def _pods(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    for pod in survey.pods:
        if not needs_network(pod):
            if request.rotate_nodes and is_bare(pod) and not pod.finished and not pod.deleting:
                yield _info(
                    "bare-pod",
                    f"Pod {pod.key}",
                    "no controller would bring it back",
                    "It follows when nodes are replaced.",
                )
        elif pod.deleting:
            yield _info("pod-terminating", f"Pod {pod.key}", "it is being deleted", "It is left to its end.")
        elif is_bare(pod):
            yield _bare_pod(pod.key, request)
    if request.pods.jobs is not JobChoice.SKIP:
        for job in sorted(survey.unfinished_jobs):
            yield _info(
                "running-job", f"Job {job}", "it still runs", f"Its pods are handled as asked: {request.pods.jobs}."
            )


def _bare_pod(key: str, request: MigrationRequest) -> Finding:
    choice = request.pods.bare_pods
    if choice is BarePodChoice.FAIL:
        return _blocker(
            "bare-pod", f"Pod {key}", "no controller would bring it back", "Remove it, or choose to recreate or skip."
        )
    if choice is BarePodChoice.SKIP:
        return _warning(
            "bare-pod", f"Pod {key}", "no controller would bring it back", "Skipped: it loses its network with Canal."
        )
    return _info("bare-pod", f"Pod {key}", "no controller would bring it back", "It is recreated from its backup.")


def _disruption_budgets(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    evicts = request.pods.strategy is RestartStrategy.EVICT
    for budget in survey.blocked_budgets:
        if evicts or request.rotate_nodes:
            yield _warning(
                "budget-blocks",
                f"PodDisruptionBudget {budget}",
                "it allows no disruption now",
                "Evictions and drains wait for it (machine-controller gives up after 2 h): relax it meanwhile.",
            )


def _calico_policies(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    if survey.calico_policies:
        names = ", ".join(survey.calico_policies[:5])
        yield _warning(
            "calico-policies",
            f"{len(survey.calico_policies)} Calico policies",
            f"Cilium does not read them ({names})",
            "They are backed up and stay in the cluster, but are not enforced: translate those that matter.",
        )


_RULES: tuple[Rule, ...] = (
    _cluster_state,
    _way_in,
    _current_cni,
    _version,
    _tunnel_port,
    _nodes,
    _machine_deployments,
    _permissions,
    _pods,
    _disruption_budgets,
    _calico_policies,
)


def _choices(survey: ClusterSurvey) -> str:
    return ", ".join(newest(survey.offered_versions or ())) or "the versions that the KKP dashboard offers"


def _blocker(code: str, subject: str, seen: str, advice: str) -> Finding:
    return Finding(code=code, severity=Severity.BLOCKER, subject=subject, seen=seen, advice=advice)


def _warning(code: str, subject: str, seen: str, advice: str) -> Finding:
    return Finding(code=code, severity=Severity.WARNING, subject=subject, seen=seen, advice=advice)


def _info(code: str, subject: str, seen: str, advice: str) -> Finding:
    return Finding(code=code, severity=Severity.INFO, subject=subject, seen=seen, advice=advice)
