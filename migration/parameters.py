"""The parameters that several flows share, each said once: its type, its rule, and what Prefect's form shows of it.

A flow's signature names them. Prefect 3.8.8 titles a parameter by its name, and describes it by the docstring's `Args`
or not at all, whatever an annotation says (`_internal/pydantic/v2_schema.py: process_v2_params`); only the extra JSON
schema of an annotation has the last word. So that is where both stand, and docstrings of flows have no `Args`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from migration.entries import (
    CLUSTER_CHARACTERS,
    CONNECTION_CHARACTERS,
    HIGHEST_PORT,
    NO_SPACES,
    VERSION_CHARACTERS,
    VERSION_OR_NOTHING,
    cluster_id,
    connection_name,
    without_spaces,
)
from migration.models import ProxyMode, Runbook, Severity
from migration.options import Deadlines, OnFailure, ProbeOptions, RestartOptions
from migration.readiness import VERIFICATION
from migration.readiness.codes import SEVERITIES
from migration.targets import MODE_ALREADY_SET
from migration.versions import DEFAULT_CANAL, DEFAULT_CILIUM
from migration.windows import Maintenance

BLOCKERS: Final = {code for code, found in SEVERITIES.items() if Severity.BLOCKER in found}
ACCEPTABLE: Final = sorted(BLOCKERS | {VERIFICATION, MODE_ALREADY_SET})
AUTOMATIC_PORT: Final = 0


def shown(title: str, description: str, *, pattern: str = "", **rules: Any) -> Any:
    """Return a field that a form shows with this title and description, also as a flow's parameter.

    The title must differ from the type's own, or pydantic leaves it out. The form refuses what doesn't match the
    pattern; the words for it are the flow's: those of a validator, or of a finding (`version-invalid`).
    """
    extra: dict[str, Any] = {"title": title, "description": description, **({"pattern": pattern} if pattern else {})}
    return Field(title=title, description=description, json_schema_extra=extra, **rules)


class ProxyModeChoice(StrEnum):
    """A kube-proxy mode to change to, or none."""

    KEEP = "keep"
    IPVS = "ipvs"
    IPTABLES = "iptables"
    NFTABLES = "nftables"
    EBPF = "ebpf"

    @property
    def wanted(self) -> ProxyMode | None:
        """The mode to change to; None if none."""
        return None if self is ProxyModeChoice.KEEP else ProxyMode(self.value)


SeedName = Annotated[
    str,
    AfterValidator(connection_name),
    shown(
        "Connection",
        "Name of the connection that leads to the cluster, as your platform team configured it: to its seed or to "
        "KKP's API. Credentials belong to the connection and are never entered here.",
        pattern=CONNECTION_CHARACTERS,
    ),
]
ClusterId = Annotated[
    str,
    AfterValidator(cluster_id),
    shown(
        "Cluster ID",
        "ID of the user cluster, as hv2c7xk9tl: KKP's dashboard shows it on the cluster's page, and it is the name of "
        "the Cluster object on the seed. It is not the human-readable name.",
        pattern=CLUSTER_CHARACTERS,
    ),
]
CiliumVersion = Annotated[
    str,
    shown(
        "Cilium version",
        "Version to migrate to, as KKP writes it: 1.19.4. If the seed doesn't offer it, the readiness check stops the "
        "run and names those that it offers.",
        pattern=VERSION_CHARACTERS,
    ),
]
CanalVersion = Annotated[
    str,
    shown(
        "Canal version",
        "Version to migrate to, as KKP writes it: v3.31. If KKP doesn't know it, the readiness check stops the run and "
        "names those that it knows.",
        pattern=VERSION_CHARACTERS,
    ),
]
CniVersion = Annotated[
    str,
    shown(
        "CNI version",
        f"Version to migrate to, as KKP writes it. Empty: {DEFAULT_CILIUM} of Cilium, {DEFAULT_CANAL} of Canal. A "
        "change of the kube-proxy mode keeps the CNI: leave it empty then.",
        pattern=VERSION_OR_NOTHING,
    ),
]
RunbookChoice = Annotated[
    Runbook,
    shown("What to check", "What would be run: a migration to the other CNI, or only a change of the kube-proxy mode."),
]
OptionalProxyMode = Annotated[
    ProxyModeChoice,
    shown(
        "kube-proxy mode",
        "Mode to change to on the way. keep: it stays; only on the way to Canal, a cluster on ebpf goes back to the "
        "mode that it had before. ebpf: Cilium takes kube-proxy's place.",
    ),
]
NewProxyMode = Annotated[
    ProxyMode,
    shown("kube-proxy mode", "Mode to change to. ebpf, which needs Cilium: Cilium takes kube-proxy's place."),
]
TunnelPort = Annotated[
    int,
    shown(
        "Cilium's tunnel port",
        "UDP port that has to be open between the nodes. 0: one that Canal doesn't use is chosen. Change it only if a "
        "firewall leaves you another one.",
        ge=AUTOMATIC_PORT,
        le=HIGHEST_PORT,
    ),
]
RotateNodes = Annotated[
    bool,
    shown(
        "Replace nodes",
        "Replace every node at the end, one MachineDeployment at a time, because kernels keep rules of the old CNI and "
        "mode. On the way to Canal that is necessary: without it, accept nodes-keep-cilium as well.",
    ),
]
RemoveDefinitions = Annotated[
    bool,
    shown(
        "Remove CustomResourceDefinitions",
        "Delete the old CNI's definitions as well, and with them all policies that only it reads. They are backed up. "
        "Leave it off if you may go back.",
    ),
]
Manifest = Annotated[
    str,
    AfterValidator(without_spaces),
    shown(
        "Manifest of the old CNI",
        "Only if the old CNI was not installed by KKP: path on the worker, or https address, of the manifest that it "
        "was installed from. Empty: KKP knows.",
        pattern=NO_SPACES,
    ),
]
Pods = Annotated[RestartOptions, shown("Pods", "How pods are moved to the new CNI: all of them are restarted.")]
Probes = Annotated[
    ProbeOptions,
    shown("Network probes", "Short-lived pods that try the network before and after."),
]
AllDeadlines = Annotated[
    Deadlines,
    shown(
        "Deadlines (minutes)",
        "Minutes after which a wait fails its step. Nothing is undone by that: Retry goes on from there.",
    ),
]
AcceptedCode = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "enum": ACCEPTABLE,
            "title": "Code",
            "description": "Code of a blocker. verification: close the run although something is worse than before. "
            "mode-already-set: replace the nodes of a cluster that has the mode.",
        }
    ),
]
AcceptedBlockers = Annotated[
    tuple[AcceptedCode, ...],
    shown(
        "Accepted blockers",
        "Blockers of the readiness check in spite of which this run goes on. Run check-readiness first, and accept "
        "only what you know to be harmless here; the report names them.",
    ),
]
FailureChoice = Annotated[
    OnFailure,
    shown(
        "On failure",
        "stop: leave everything where a step failed; the report says how to go on. revert: take back what was done, if "
        "that is possible there.",
    ),
]
MaintenanceWindows = Annotated[
    Maintenance,
    shown(
        "Maintenance windows",
        "When this run may work on the cluster. Outside of them nothing disruptive begins: the run waits, and goes on "
        "by itself. Nothing given: it may work at any time.",
    ),
]
IgnoreWindow = Annotated[
    bool,
    shown("Ignore the windows", "Go on although no window is open. For emergencies; the report says so."),
]
AskForApproval = Annotated[
    bool,
    shown(
        "Ask for approval",
        "Suspend after the readiness check, until a person has read the report and presses Resume. Nothing is changed "
        "before.",
    ),
]
StopAtSafePoint = Annotated[
    bool,
    shown(
        "Stop at the next safe point",
        "Do one stretch of the migration, end where the cluster is fine as it is, and leave the rest to a later run.",
    ),
]
