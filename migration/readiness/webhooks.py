"""What the API server calls: admission webhooks and aggregated APIs, which it reaches through the pod network."""

from __future__ import annotations

from collections.abc import Iterable

from migration.asking import new_cni
from migration.models import Finding, MigrationRequest
from migration.readiness.codes import blocker, warning
from migration.survey import ClusterSurvey
from migration.text import listing


def webhooks(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find webhooks without which no pod can be created, and that are down or go down on the way."""
    for webhook in survey.webhooks:
        if not webhook.called_for_pods:
            continue
        if not webhook.ready_endpoints:
            yield blocker(
                "webhook-down",
                webhook.name,
                f"it fails closed, and its Service {webhook.service} has no ready endpoint: no pod can be created",
                "Mend it, set failurePolicy to Ignore for the time being, or remove it.",
            )
        elif webhook.backends and new_cni(request) is not None:
            yield warning(
                "webhook-on-pod-network",
                webhook.name,
                f"it fails closed for pods and runs on the pod network ({listing(sorted(webhook.backends))})",
                "While its own pods are restarted no other pod can be created. They go before the rest; better set "
                "failurePolicy to Ignore for the time of the migration.",
            )


def apis(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    """Find aggregated APIs that don't answer."""
    for api in survey.unavailable_apis:
        yield warning(
            "api-unavailable",
            f"APIService {api.partition(': ')[0]}",
            api.partition(": ")[2] or "it is not available",
            "Mend or remove it: namespaces can't be deleted meanwhile, and Helm may stumble over it.",
        )


RULES = (webhooks, apis)
