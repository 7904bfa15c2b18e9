"""Evicts pods as far as their PodDisruptionBudgets allow. Refuses to count healthy pods: that is a controller's work.

Follows pkg/registry/core/pod/storage/eviction.go of Kubernetes v1.35.
"""

from __future__ import annotations

from dataclasses import replace

from lab.apiserver.admission import Caller
from lab.apiserver.deletion import DeleteOptions, check_preconditions
from lab.apiserver.lists.selectors import matches_selector
from lab.apiserver.metadata import now
from lab.apiserver.problems import forbidden
from lab.apiserver.registry import Registry
from lab.errors import ApiError
from lab.objects import Object, is_being_deleted, is_pod_ready, labels_of, name_of
from lab.resources import POD_DISRUPTION_BUDGETS, PODS

PROCESSING_RETRY_SECONDS = 10


def evict(registry: Registry, name: str, *, namespace: str, by: Caller, options: DeleteOptions | None = None) -> None:
    """Delete a pod, spending one disruption of its budget. 429 while the budget has none, 500 for several budgets."""
    options = options or DeleteOptions()
    pod = registry.get(PODS, name, namespace=namespace).object
    if _is_budgeted(pod):
        budgets = _budgets_of(registry, pod, namespace)
        if len(budgets) > 1:
            raise ApiError(
                500,
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                reason="",
            )
        if budgets and _costs_a_disruption(pod, budgets[0]):
            _spend(registry, budgets[0], name, by)
    check_preconditions(PODS, pod, options)
    marked = registry.change(PODS, name, _disrupted, by=by, namespace=namespace, subresource="status")
    if options.resource_version and not by.dry_run:
        options = replace(options, resource_version=marked.object["metadata"]["resourceVersion"])
    registry.delete(PODS, name, namespace=namespace, by=by, options=options)


def _disrupted(pod: Object) -> Object:
    """Return the pod with the condition that says why it ends."""
    held = pod["status"].get("conditions") or []
    if any(c["type"] == "DisruptionTarget" and c["status"] == "True" for c in held):
        return pod
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now(),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    others = [c for c in held if c["type"] != "DisruptionTarget"]
    return {**pod, "status": {**pod["status"], "conditions": [*others, condition]}}


def _is_budgeted(pod: Object) -> bool:
    """Pods that have not started, have finished or are on their way out are nobody's loss."""
    return not is_being_deleted(pod) and pod["status"].get("phase") not in ("Pending", "Succeeded", "Failed")


def _budgets_of(registry: Registry, pod: Object, namespace: str) -> list[Object]:
    labels = labels_of(pod)
    budgets = (stored.object for stored in registry.shelf(POD_DISRUPTION_BUDGETS).range(namespace))
    return [budget for budget in budgets if matches_selector(budget["spec"].get("selector"), labels)]


def _costs_a_disruption(pod: Object, budget: Object) -> bool:
    if is_pod_ready(pod):
        return True
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    status = budget.get("status") or {}
    return not 0 < status.get("desiredHealthy", 0) <= status.get("currentHealthy", 0)


def _spend(registry: Registry, budget: Object, pod_name: str, by: Caller) -> None:
    status = budget.get("status") or {}
    name = name_of(budget)
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise _too_many(why, retry_after_seconds=PROCESSING_RETRY_SECONDS)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise forbidden(POD_DISRUPTION_BUDGETS, name, "pdb disruptions allowed is negative")
    if allowed == 0:
        needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _too_many(f"The disruption budget {name} needs {needs} healthy pods and has {has} currently")
    spent = {
        **status,
        "disruptionsAllowed": allowed - 1,
        "disruptedPods": {**(status.get("disruptedPods") or {}), pod_name: now()},
    }

    def less(held: Object) -> Object:
        return {**held, "status": spent}

    where = budget["metadata"]["namespace"]
    registry.change(POD_DISRUPTION_BUDGETS, name, less, by=by, namespace=where, subresource="status")


def _too_many(cause: str, *, retry_after_seconds: int | None = None) -> ApiError:
    details: dict[str, object] = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    if retry_after_seconds is not None:
        details["retryAfterSeconds"] = retry_after_seconds
    return ApiError(
        429,
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details=details,
        retry_after_seconds=retry_after_seconds,
    )
