"""Which pods count, for which workload."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from lab.network.census import Census, Recount, first_of, workload_of
from lab.network.reachability import Cni, Place
from lab.platform.runtime import Change

HERE = Place("n1", Cni.CANAL)


def pod(
    uid: str = "u1", *, kind: str = "ReplicaSet", owner: str = "cart-5d4f8", ready: bool = True, **extra: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"pod-{uid}",
            "namespace": "shop",
            "uid": uid,
            "labels": {"pod-template-hash": "5d4f8"},
            "ownerReferences": [{"kind": kind, "name": owner, "uid": "o", "controller": True}],
            **extra,
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def census(place: Place | None = HERE) -> Census:
    moments = itertools.count(1)
    return Census(place_of=lambda _pod: place, next_moment=lambda: next(moments))


@pytest.mark.parametrize(
    ("kind", "owner", "expected"),
    [
        ("ReplicaSet", "cart-5d4f8", "shop/cart"),
        ("StatefulSet", "store", "shop/store"),
        ("DaemonSet", "log-shipper", "shop/log-shipper"),
        ("Job", "nightly", None),
    ],
)
def test_the_owner_names_the_workload(kind: str, owner: str, expected: str | None) -> None:
    assert workload_of(pod(kind=kind, owner=owner)) == expected


def test_a_bare_pod_belongs_to_none() -> None:
    assert workload_of(pod(ownerReferences=[])) is None


def test_a_pod_counts_once_while_it_is_ready() -> None:
    counted = census()

    recounts = [counted.note(Change("MODIFIED", pod(ready=ready), None)) for ready in (False, True, True, False)]

    turn = Recount("shop/cart", is_turn=True)
    assert recounts == [None, turn, None, turn]
    assert counted.pods("shop/cart") == {}


@pytest.mark.parametrize(
    "change",
    [
        Change("DELETED", pod(), None),
        Change("MODIFIED", pod(deletionTimestamp="2026-08-21T10:00:00Z"), None),
        Change("MODIFIED", {**pod(), "status": {"phase": "Failed"}}, None),
    ],
)
def test_a_pod_on_its_way_out_counts_no_more(change: Change) -> None:
    counted = census()
    counted.note(Change("ADDED", pod(), None))

    assert counted.note(change) == Recount("shop/cart", is_turn=True)
    assert counted.pods("shop/cart") == {}
    assert counted.ready_since("u1") is None


def test_pods_are_kept_by_place_the_earliest_in_front() -> None:
    counted = census()
    recounts = [counted.note(Change("ADDED", pod(uid), None)) for uid in ("u1", "u2", "u3")]
    counted.note(Change("DELETED", pod("u1"), None))

    assert first_of(counted.pods("shop/cart")[HERE]).since == 2
    assert [recount is not None and recount.is_turn for recount in recounts] == [True, False, False]


def test_a_pod_without_a_sandbox_is_nowhere() -> None:
    counted = census(place=None)

    assert counted.note(Change("ADDED", pod(), None)) is None
