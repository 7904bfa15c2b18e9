"""Whether a Cilium installation by KKP has come up, and if not, what it waits for (docs/platform.md 3.4 to 4.5)."""

from __future__ import annotations

from dataclasses import dataclass

from migration.errors import PlatformFailed

# KKP 2.31, application-installation-controller: maxRetries = 5, so the sixth failure is the last.
HELM_ATTEMPTS = 6
RETRIES_EXCEEDED = "InstallationFailedRetriesExceeded"


@dataclass(frozen=True, kw_only=True)
class ApplicationFacts:
    """The ApplicationInstallation kube-system/cilium."""

    generation: int
    version: str
    ready: str
    ready_reason: str
    ready_message: str
    ready_generation: int
    helm_status: str
    failures: int
    deleting: bool = False


@dataclass(frozen=True, kw_only=True)
class RolloutFacts:
    """A DaemonSet or Deployment: what its controller reports of the newest generation."""

    generation: int
    observed_generation: int
    desired: int
    updated: int
    ready: int

    @property
    def is_rolled_out(self) -> bool:
        """Whether every pod is updated and ready."""
        return (
            self.observed_generation >= self.generation and self.updated >= self.desired and self.ready >= self.desired
        )


@dataclass(frozen=True, kw_only=True)
class CiliumFacts:
    """Everything that decides whether Cilium has taken its place beside Canal."""

    desired_version: str
    unhealthy: tuple[str, ...]
    """`component=status` of the control plane, from the Cluster's extendedHealth."""
    application: ApplicationFacts | None
    agents: RolloutFacts | None
    operator: RolloutFacts | None
    nodes: frozenset[str]
    cilium_nodes: frozenset[str]
    crashing: tuple[str, ...]
    """`pod on node: reason, message` of agents, operators and Hubble's pods that don't start."""
    is_addon: bool = False
    """Whether KKP installs Cilium as an addon, as it did before 2.22: then there is no ApplicationInstallation."""
    running_version: str = ""
    """Tag of the agents' image, which tells an addon's version."""


def waits_for(facts: CiliumFacts) -> str | None:
    """Return what Cilium still waits for, None once it serves every node. Raises PlatformFailed when KKP gave up."""
    application = facts.application
    if facts.is_addon:
        return _addon_progress(facts)
    if application is None:
        return _gate(facts)
    if application.deleting:
        return "the ApplicationInstallation kube-system/cilium, which is being deleted, to be created anew"
    _refuse_given_up(application)
    if application.version != facts.desired_version:
        return f"KKP to set the ApplicationInstallation to {facts.desired_version} (it says {application.version})"
    if not is_deployed(application):
        return _helm_progress(application, facts)
    return _rollout_progress(facts)


def _addon_progress(facts: CiliumFacts) -> str | None:
    """Compare major and minor, which is all that the names of addon versions have."""
    if facts.agents is None:
        return "KKP to apply the addon cilium, which may take it five minutes"
    wanted = facts.desired_version.removeprefix("v")
    if not f"{facts.running_version.removeprefix('v')}.".startswith(f"{wanted}."):
        return f"KKP to set Cilium to {facts.desired_version} (its agents run {facts.running_version or 'nothing'})"
    return _rollout_progress(facts)


def _gate(facts: CiliumFacts) -> str:
    if facts.unhealthy:
        return f"the control plane to be healthy before KKP installs Cilium ({', '.join(facts.unhealthy)})"
    return "KKP to create the ApplicationInstallation kube-system/cilium"


def has_given_up(application: ApplicationFacts) -> bool:
    """Tell whether KKP has stopped trying to install this generation."""
    current = application.ready_generation >= application.generation
    return current and application.ready == "False" and application.ready_reason == RETRIES_EXCEEDED


def _refuse_given_up(application: ApplicationFacts) -> None:
    if has_given_up(application):
        raise PlatformFailed(
            f"KKP gave up installing Cilium {application.version} after {application.failures} attempts. "
            f"KKP's message: {application.ready_message.strip()!r}. Canal still carries the pods. "
            "Mend the cause and start this flow again: it makes KKP try anew and goes on from here."
        )


def is_deployed(application: ApplicationFacts) -> bool:
    """Tell whether Helm has installed this generation."""
    return (
        application.ready == "True"
        and application.ready_generation >= application.generation
        and application.helm_status == "deployed"
    )


def is_installed(application: ApplicationFacts) -> bool:
    """Tell whether Helm has installed some generation, though it may be at work on the next."""
    return application.helm_status == "deployed" and application.ready != "False"


def _helm_progress(application: ApplicationFacts, facts: CiliumFacts) -> str:
    attempt = min(application.failures + 1, HELM_ATTEMPTS)
    is_trying = application.ready == "Unknown"
    # While an attempt is under way the release still shows how the one before ended.
    is_old = is_trying and application.helm_status == "failed"
    state = ("" if is_old else application.helm_status) or application.ready_reason or "not started"
    text = f"Helm, attempt {attempt} of {HELM_ATTEMPTS} ({state})"
    if application.failures and not is_trying and application.ready_message.strip():
        text += f"; last failure: {_first_line(application.ready_message)}"
    if facts.agents is not None:
        text += f"; {facts.agents.ready} of {facts.agents.desired} agents ready"
    return text + _crashes(facts)


def _rollout_progress(facts: CiliumFacts) -> str | None:
    if facts.agents is None or not facts.agents.is_rolled_out or facts.agents.desired < len(facts.nodes):
        ready = facts.agents.ready if facts.agents else 0
        return f"the cilium DaemonSet: {ready} of {len(facts.nodes)} agents ready" + _crashes(facts)
    if facts.operator is None or not facts.operator.is_rolled_out:
        return "the Deployment cilium-operator to be available" + _crashes(facts)
    missing = sorted(facts.nodes - facts.cilium_nodes)
    if missing:
        return f"a CiliumNode for {', '.join(missing[:3])}" + (
            f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        )
    return None


def _crashes(facts: CiliumFacts) -> str:
    if not facts.crashing:
        return ""
    more = f" (and {len(facts.crashing) - 1} more)" if len(facts.crashing) > 1 else ""
    return f"; not starting: {facts.crashing[0]}{more}"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200]
