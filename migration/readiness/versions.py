"""The version of the CNI that is asked for: whether this KKP knows it, and can install it."""

from __future__ import annotations

from collections.abc import Iterable

from migration.asking import new_cni
from migration.models import CniType, Finding, MigrationRequest
from migration.readiness.codes import blocker, info
from migration.survey import ClusterSurvey
from migration.versions import (
    addon_cilium_versions,
    canal_versions,
    is_before_applications,
    is_installable_cilium,
    is_version,
    newest,
    parse_version,
)

# KKP 2.31, pkg/validation/cluster.go.
FIRST_CANAL_WITH_DUAL_STACK = (3, 22, 0)


def version(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find a version that would be refused, or accepted and never installed (docs/platform.md 2, 11.1)."""
    if request.desired_cni is None or new_cni(request) is None:
        return
    wanted = request.desired_cni.version
    if not is_version(wanted):
        yield blocker(
            "version-invalid",
            f"{request.desired_cni.type} {wanted}",
            "that is no CNI version",
            f"Choose one of {_choices(survey, request)}.",
        )
    elif request.desired_cni.type is CniType.CANAL:
        yield from _canal(survey, request, wanted)
    elif survey.offered_versions is None and _is_addon(survey):
        yield from _addon(survey, request, wanted)
    else:
        yield from _application(survey, request, wanted)


def _application(survey: ClusterSurvey, request: MigrationRequest, wanted: str) -> Iterable[Finding]:
    subject, choices = f"Cilium {wanted}", _choices(survey, request)
    if not is_installable_cilium(wanted):
        yield blocker(
            "version-not-installable",
            subject,
            "KKP accepts this version but has had no installer for Cilium before 1.13 since it became an application",
            f"Choose one of {choices}.",
        )
    elif survey.offered_versions is None:
        yield blocker(
            "no-application-definition",
            subject,
            "the seed has no ApplicationDefinition named cilium",
            "This KKP can't install Cilium as an application: check the KKP installation.",
        )
    elif wanted not in survey.offered_versions:
        yield blocker(
            "version-not-offered",
            subject,
            f"the seed's ApplicationDefinition offers {len(survey.offered_versions)} versions, this one not among them",
            f"Choose one of {choices}.",
        )


def _addon(survey: ClusterSurvey, request: MigrationRequest, wanted: str) -> Iterable[Finding]:
    if wanted not in addon_cilium_versions(survey.cluster.kubermatic_version):
        yield blocker(
            "version-not-offered",
            f"Cilium {wanted}",
            f"KKP {survey.cluster.kubermatic_version} has Cilium as an addon, and not in this version",
            f"Choose one of {_choices(survey, request)}.",
        )


def _canal(survey: ClusterSurvey, request: MigrationRequest, wanted: str) -> Iterable[Finding]:
    known, subject = canal_versions(survey.cluster.kubermatic_version), f"Canal {wanted}"
    if wanted in known.deprecated:
        yield info(
            "version-deprecated",
            subject,
            "KKP accepts it, but doesn't offer it any more",
            f"Better choose one of {_choices(survey, request)}.",
        )
    elif wanted not in known.offered:
        yield blocker(
            "version-not-offered",
            subject,
            "KKP doesn't know this version",
            f"Choose one of {_choices(survey, request)}.",
        )
    families = {":" in cidr for cidr in survey.cluster.pod_cidrs}
    if len(families) > 1 and parse_version(wanted) < FIRST_CANAL_WITH_DUAL_STACK:
        yield blocker(
            "canal-without-dual-stack",
            subject,
            "the cluster has addresses of both families, which KKP allows from Canal v3.22 on",
            f"Choose one of {_choices(survey, request)}.",
        )


def _is_addon(survey: ClusterSurvey) -> bool:
    return is_before_applications(survey.cluster.kubermatic_version)


def _choices(survey: ClusterSurvey, request: MigrationRequest) -> str:
    if request.desired_cni is not None and request.desired_cni.type is CniType.CANAL:
        return ", ".join(newest(canal_versions(survey.cluster.kubermatic_version).offered))
    offered = survey.offered_versions or addon_cilium_versions(survey.cluster.kubermatic_version)
    return ", ".join(newest(offered)) or "the versions that the KKP dashboard offers"


RULES = (version,)
