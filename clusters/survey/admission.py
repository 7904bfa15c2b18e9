"""What the API server calls in the cluster: admission webhooks that fail closed, and aggregated APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from clusters.api import KubeApi
from clusters.kinds import API_SERVICES, ENDPOINT_SLICES, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from clusters.steps.survey import SERVICE_NAME_LABEL
from migration.models import Pod
from migration.restart import needs_network
from migration.survey import WebhookFacts

_KINDS: Final = (
    (VALIDATING_WEBHOOKS, "ValidatingWebhookConfiguration"),
    (MUTATING_WEBHOOKS, "MutatingWebhookConfiguration"),
)
Backends = tuple[int, frozenset[str]]
"""How many endpoints of a Service are ready, and the uids of the pods behind it."""
Webhooks = tuple[tuple[WebhookFacts, frozenset[str]], ...]
"""Webhooks, each with the uids of the pods behind it."""


async def list_webhooks(api: KubeApi) -> Webhooks:
    """Return the webhooks that fail closed and that a Service of the cluster answers, with the uids of its pods."""
    listed = await asyncio.gather(*(api.list(kind) for kind, _ in _KINDS))
    found = [
        (f"{name} {item['metadata']['name']} ({webhook['name']})", webhook)
        for (_, name), items in zip(_KINDS, listed, strict=True)
        for item in items
        for webhook in item.get("webhooks") or ()
        if _fails_closed(webhook)
    ]
    if not found:
        return ()
    services = sorted({_service(webhook) for _, webhook in found})
    slices = await asyncio.gather(*(_backends(api, service) for service in services))
    behind: dict[tuple[str, str], Backends] = dict(zip(services, slices, strict=True))
    return tuple(_facts(name, webhook, behind) for name, webhook in found)


def with_backends(webhooks: Webhooks, pods: Iterable[Pod]) -> tuple[WebhookFacts, ...]:
    """Return the webhooks with the workloads of the pod network behind them."""
    workloads = {pod.uid: pod.workload for pod in pods if needs_network(pod)} if webhooks else {}
    return tuple(
        replace(webhook, backends=frozenset(workloads[uid] for uid in uids if uid in workloads))
        for webhook, uids in webhooks
    )


async def unavailable_apis(api: KubeApi) -> tuple[str, ...]:
    """Return the aggregated APIs that don't answer, as `name: reason, message`."""
    return tuple(sorted(_unavailable(await api.list(API_SERVICES))))


def _facts(name: str, webhook: Any, behind: Mapping[tuple[str, str], Backends]) -> tuple[WebhookFacts, frozenset[str]]:
    service = _service(webhook)
    ready, uids = behind[service]
    facts = WebhookFacts(
        name=name,
        service="/".join(service),
        ready_endpoints=ready,
        called_for_pods=any(_is_for_pods(rule) for rule in webhook.get("rules") or ()),
    )
    return facts, uids


def _fails_closed(webhook: Any) -> bool:
    has_service = bool((webhook.get("clientConfig") or {}).get("service"))
    return has_service and webhook.get("failurePolicy", "Fail") == "Fail"


def _service(webhook: Any) -> tuple[str, str]:
    service = webhook["clientConfig"]["service"]
    return service["namespace"], service["name"]


def _is_for_pods(rule: Any) -> bool:
    """Whether a rule matches the creation of a pod (Kubernetes, admissionregistration/v1 RuleWithOperations)."""
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    operations = rule.get("operations") or ()
    return (
        bool({"", "*"} & set(groups))
        and bool({"pods", "*", "*/*"} & set(resources))
        and bool({"CREATE", "*"} & set(operations))
    )


async def _backends(api: KubeApi, service: tuple[str, str]) -> Backends:
    namespace, name = service
    ready, uids = 0, set()
    for found in await api.list(ENDPOINT_SLICES, namespace=namespace, labels=f"{SERVICE_NAME_LABEL}={name}"):
        for entry in found.get("endpoints") or ():
            ready += (entry.get("conditions") or {}).get("ready", True) is not False
            if uid := (entry.get("targetRef") or {}).get("uid"):
                uids.add(uid)
    return ready, frozenset(uids)


def _unavailable(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        if not item["spec"].get("service"):
            continue  # one of the API server's own
        conditions = (item.get("status") or {}).get("conditions") or ()
        found: Mapping[str, Any] = next((one for one in conditions if one["type"] == "Available"), {})
        if found.get("status") != "True":
            said = ", ".join(part for part in (found.get("reason", ""), str(found.get("message", ""))[:200]) if part)
            yield f"{item['metadata']['name']}: {said or 'it was never reached'}"
