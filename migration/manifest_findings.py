"""What a readiness check has to say of an old CNI that KKP didn't label, and of the manifest that names its objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migration.models import CniType, Finding, Severity
from migration.text import listing

UNLABELLED = "old-cni-unlabelled"
UNUSABLE = "manifest-unusable"
OF_ANOTHER = "manifest-of-another-owner"
REMOVES = "manifest-removes"
MATCHES_NOTHING = "manifest-matches-nothing"


@dataclass(frozen=True, kw_only=True)
class ManifestFacts:
    """What a manifest would have removed in this cluster."""

    source: str
    """How it is called in messages."""
    objects: tuple[str, ...] = ()
    """What is there and would be removed, as `Kind namespace/name`, in this order."""
    left: tuple[Finding, ...] = ()
    """What it names and what stays."""
    workloads_left: tuple[str, ...] = ()
    """Agents and operators among that, with the reason: they keep the step from removing anything."""
    problem: str = ""
    """Why it can't be used; empty if it can."""


@dataclass(frozen=True, kw_only=True)
class OldCniFacts:
    """How the CNI that is to go was installed."""

    old_cni: CniType
    unlabelled: tuple[str, ...] = ()
    """Its workloads that neither KKP's label nor KKP's Helm release tells to be its own, as `Kind namespace/name`."""
    manifest: ManifestFacts | None = None


def manifest_findings(facts: OldCniFacts) -> tuple[Finding, ...]:
    """Return every finding; none for a CNI that KKP installed and a request without a manifest."""
    found = list(_unlabelled(facts))
    if facts.manifest is not None:
        found += [*_manifest(facts, facts.manifest), *facts.manifest.left]
    return tuple(found)


def _unlabelled(facts: OldCniFacts) -> Iterator[Finding]:
    named = facts.manifest.objects if facts.manifest is not None else ()
    if missing := [workload for workload in facts.unlabelled if workload not in named]:
        yield Finding(
            code=UNLABELLED,
            severity=Severity.BLOCKER,
            subject=listing(missing),
            seen=f"it carries no mark of KKP's ({facts.old_cni} was installed by hand), so it would not be removed",
            advice=f"Name the manifest that {facts.old_cni} was installed from in the parameter `manifest`: a file or "
            "an address, such as a canal.yaml or what `helm template --namespace kube-system` renders.",
        )


def _manifest(facts: OldCniFacts, manifest: ManifestFacts) -> Iterator[Finding]:
    subject = f"manifest {manifest.source}"
    if manifest.problem:
        advice = "Nothing is changed before it can be used."
        yield Finding(code=UNUSABLE, severity=Severity.BLOCKER, subject=subject, seen=manifest.problem, advice=advice)
        return
    for workload in manifest.workloads_left:
        yield Finding(
            code=OF_ANOTHER,
            severity=Severity.BLOCKER,
            subject=subject,
            seen=f"it names {workload}, which is therefore not removed",
            advice="Remove it in the way in which it was installed, or leave it out of the manifest.",
        )
    if manifest.objects:
        seen = f"{len(manifest.objects)} objects of it are there and go: {', '.join(manifest.objects)}"
        advice = "They are backed up before; kubectl alone restores them."
        yield Finding(code=REMOVES, severity=Severity.INFO, subject=subject, seen=seen, advice=advice)
    elif not manifest.workloads_left:
        yield Finding(
            code=MATCHES_NOTHING,
            severity=Severity.WARNING,
            subject=subject,
            seen="nothing that it names and that may be removed is there",
            advice=f"Check version and namespace: it has to be the one that {facts.old_cni} was installed from.",
        )
