"""Clusters, plans and runs of roll-outs for the tests of their rules: a default for what a test doesn't care about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from migration.facts import ListedCluster
from migration.fleet.looks import Look, Need
from migration.fleet.models import FleetOrder, Waves
from migration.fleet.runs import ClusterRun
from migration.fleet.states import ClusterState, ClusterStatus
from migration.fleet.waves import FleetPlan, plan_waves
from migration.models import ClusterRef, Cni, CniType, Runbook

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def ref(name: str, seed: str = "europe") -> ClusterRef:
    return ClusterRef(seed=seed, name=name)


def make_listed(name: str = "c1", *, seed: str = "europe", cni: str = "canal v3.30", **changes: Any) -> ListedCluster:
    kind, _, version = cni.partition(" ")
    fields: dict[str, Any] = {
        "ref": ref(name, seed),
        "human_readable_name": f"cluster {name}",
        "project": "p1",
        "datacenter": "dc1",
        "provider": "openstack",
        "labels": (),
        "kubernetes_version": "1.34.3",
        "cni": Cni(type=CniType(kind), version=version),
        "proxy_mode": "ipvs",
        "phase": "Running",
        "paused": False,
        "deleting": False,
    }
    fields["labels"] = tuple(changes.pop("labels", {}).items())
    return ListedCluster(**{**fields, **changes})


def make_look(need: Need = Need.MIGRATION, **changes: Any) -> Look:
    return Look(**{"need": need, "nodes": 3, **changes})


def make_order(**changes: Any) -> FleetOrder:
    return FleetOrder(**{"seeds": ("europe",), "runbook": Runbook.CANAL_TO_CILIUM, "run_id": "fleet-1", **changes})


def make_plan(count: int, **waves: Any) -> FleetPlan:
    clusters = [make_listed(f"c{number:03}") for number in range(count)]
    return plan_waves(clusters, {cluster.ref: make_look() for cluster in clusters}, Waves(**waves))


def make_run(cluster: ClusterRef, state: str = "RUNNING", *, minutes: float = 0, **changes: Any) -> ClusterRun:
    fields = {
        "id": f"run-{cluster.name}",
        "name": f"canal-to-cilium {cluster}",
        "cluster": cluster,
        "state_type": state,
        "state_name": state.capitalize(),
        "since": NOW + timedelta(minutes=minutes),
        "started_at": NOW,
    }
    return ClusterRun(**{**fields, **changes})


def make_status(cluster: ClusterRef, state: ClusterState, *, minutes: float | None = None) -> ClusterStatus:
    ended = None if minutes is None else NOW + timedelta(minutes=minutes)
    has_none = state in (ClusterState.PENDING, ClusterState.ALREADY, ClusterState.LEFT_OUT)
    run = "" if has_none else f"run-{cluster.name}"
    return ClusterStatus(ref=cluster, state=state, ended_at=ended, run_id=run)
