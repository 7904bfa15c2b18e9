"""The way into the clusters: whether it leads to the right one, allows enough, and lasts."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from migration.estimate import estimate
from migration.models import Finding, MigrationRequest
from migration.readiness.codes import blocker, warning
from migration.survey import ClusterSurvey


def way_in(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    """Find a kubeconfig that leads to another API server than the Cluster's own."""
    told, reached = survey.cluster.api_url, survey.reached_url
    if told and reached and _place(told) != _place(reached):
        yield blocker(
            "another-api-server",
            f"Cluster {survey.cluster.name}",
            f"its API server is {told}, but the kubeconfig made for migrations leads to {reached}",
            "Make that kubeconfig anew from this cluster's own; accept the code only if both are the same server.",
        )


def expiry(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find credentials that end before the run is expected to."""
    expected = estimate(survey, request)
    for credential in survey.credentials:
        left = (credential.expires_at - survey.seen_at).total_seconds()
        if left < expected.longest_seconds:
            yield (blocker if left < expected.seconds else warning)(
                "kubeconfig-expires",
                credential.source,
                f"its credentials end at {credential.expires_at:%Y-%m-%d %H:%M} UTC, and the run takes about "
                f"{expected.seconds / 3600:.1f} h, at worst {expected.longest_seconds / 3600:.1f} h",
                "Renew it before: a run that loses its way in stops where it is, and goes on when it is started anew.",
            )


def permissions(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    """Find rights that are missing."""
    for denied in survey.denied:
        yield missing_permission(denied)
    for unseen in survey.unseen:
        yield warning(
            "view-dimmed",
            unseen,
            "the credentials don't allow it, so a part of this check is blind",
            "Grant it to the account of this project (deployments/rbac has the roles), or check by hand.",
        )


def platform(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    """Find that KKP's REST API tells less than a seed: a blocker would rule out this way in altogether."""
    if unseen := survey.cluster.unseen:
        yield warning(
            "platform-unseen",
            f"Cluster {survey.cluster.name}",
            f"KKP's REST API doesn't show {', '.join(unseen[:-1])}{' and ' if unseen[:-1] else ''}{unseen[-1]}",
            f"Look on its seed, or ask who can: `kubectl get cluster {survey.cluster.name} -o yaml`; KKP changes "
            "nothing on a paused cluster, nor on one with a worker-name.",
        )


def missing_permission(denied: str) -> Finding:
    """Return the finding of a right that is missing, as `verb resource on where`."""
    advice = "Grant it to the account of this project: deployments/rbac has the roles."
    return blocker("permission-missing", denied, "the credentials don't allow it", advice)


def _place(url: str) -> tuple[str | None, int, str]:
    """Return what tells API servers apart in their URLs."""
    parts = urlsplit(url)
    return parts.hostname, parts.port or 443, parts.path.rstrip("/")


RULES = (way_in, expiry, permissions, platform)
