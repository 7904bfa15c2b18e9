"""Taints, tolerations and node selection."""

from __future__ import annotations

import pytest

from lab.objects import Object
from lab.platform.nodes.placement import condition_taints, tolerates, why_not

READY = [{"type": "Ready", "status": "True"}]


def node(
    name: str = "a", *, labels: dict[str, str] | None = None, conditions: list[Object] | None = None, **spec: object
) -> Object:
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": {"conditions": READY if conditions is None else conditions},
    }


def pod(**spec: object) -> Object:
    return {"metadata": {"name": "p"}, "spec": spec}


def required(**term: object) -> Object:
    terms = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@pytest.mark.parametrize(
    ("toleration", "covers"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"value": "v"}, False),
    ],
)
def test_toleration_covers_taint(toleration: Object, *, covers: bool) -> None:
    assert tolerates([toleration], {"key": "k", "value": "v", "effect": "NoSchedule"}) is covers


def test_node_that_never_reported_takes_only_pods_that_tolerate_it() -> None:
    silent = node(conditions=[])
    everything = [{"operator": "Exists"}]
    assert why_not(pod(), silent) == "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"
    assert why_not(pod(tolerations=everything), silent) is None


def test_cordoned_node_takes_no_ordinary_pod() -> None:
    assert why_not(pod(), node(unschedulable=True)) == "node(s) were unschedulable"


def test_taint_of_lesser_effect_repels_nobody() -> None:
    assert why_not(pod(), node(taints=[{"key": "k", "effect": "PreferNoSchedule"}])) is None


def test_outdated_condition_taint_repels_nobody() -> None:
    stale = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert why_not(pod(), node(taints=stale)) is None


def test_network_unavailable_is_tainted() -> None:
    unavailable = [*READY, {"type": "NetworkUnavailable", "status": "True"}]
    assert condition_taints(node(conditions=unavailable)) == ["node.kubernetes.io/network-unavailable"]


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, True),
        ({"nodeSelector": {"disk": "hdd"}}, False),
        ({"affinity": required(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["a"]}])}, True),
        ({"affinity": required(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["b"]}])}, False),
        ({"affinity": required(matchExpressions=[{"key": "disk", "operator": "Exists"}])}, True),
        ({"affinity": required(matchExpressions=[{"key": "disk", "operator": "DoesNotExist"}])}, False),
        ({"affinity": required(matchExpressions=[{"key": "disk", "operator": "NotIn", "values": ["ssd"]}])}, False),
        ({"affinity": required(matchExpressions=[{"key": "size", "operator": "Gt", "values": ["3"]}])}, True),
        ({"affinity": required(matchExpressions=[{"key": "size", "operator": "Lt", "values": ["3"]}])}, False),
    ],
)
def test_pod_chooses_nodes_by_labels_and_name(spec: Object, *, fits: bool) -> None:
    assert (why_not(pod(**spec), node(labels={"disk": "ssd", "size": "4"})) is None) is fits
