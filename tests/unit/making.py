"""Pods, surveys and requests for the tests of pure rules: a default for everything that a test doesn't care about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from migration.facts import ClusterFacts, MachineDeploymentFacts, NodeFacts
from migration.journal import Migration
from migration.models import ClusterRef, Cni, CniType, MigrationRequest, Owner, Pod
from migration.survey import ClusterSurvey

CANAL = Cni(type=CniType.CANAL, version="v3.30")
CILIUM = Cni(type=CniType.CILIUM, version="1.19.4")


def make_pod(key: str = "shop/web-1", **changes: Any) -> Pod:
    namespace, name = key.split("/")
    labels = changes.pop("labels", {})
    fields = {
        "uid": f"uid-{key}",
        "node": "node-1",
        "owner": Owner(kind="Deployment", name="web"),
        "host_network": False,
        "mirror": False,
        "phase": "Running",
        "ready": True,
        "deleting": False,
        "addresses": ("172.25.0.7",),
        "labels": tuple(sorted(labels.items())),
    }
    return Pod(namespace=namespace, name=name, **{**fields, **changes})


def make_node(name: str = "node-1", **changes: Any) -> NodeFacts:
    fields: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "ready": True,
        "cordoned": False,
        "internal_address": "192.168.0.1",
        "kernel": "6.8.0-45-generic",
        "architecture": "amd64",
        "owned_by_machine": True,
    }
    return NodeFacts(**{**fields, **changes})


def make_machine_deployment(**changes: Any) -> MachineDeploymentFacts:
    fields: dict[str, Any] = {
        "name": "workers",
        "namespace": "kube-system",
        "replicas": 3,
        "paused": False,
        "generation": 2,
        "observed_generation": 2,
        "status_replicas": 3,
        "updated": 3,
        "available": 3,
    }
    return MachineDeploymentFacts(**{**fields, **changes})


def make_cluster(**changes: Any) -> ClusterFacts:
    fields: dict[str, Any] = {
        "name": "hv2c7xk9tl",
        "human_readable_name": "payments-stage",
        "resource_version": "1",
        "cni": CANAL,
        "proxy_mode": "iptables",
        "kubernetes_version": "1.34.11",
        "namespace": "cluster-hv2c7xk9tl",
        "phase": "Running",
        "paused": False,
        "deleting": False,
        "worker_name": "",
        "labels": frozenset({"project-id"}),
        "health": (("apiserver", "HealthStatusUp"), ("controller", "HealthStatusUp")),
        "update_reason": "UpToDate",
    }
    return ClusterFacts(**{**fields, **changes})


def make_survey(**changes: Any) -> ClusterSurvey:
    fields: dict[str, Any] = {
        "cluster": make_cluster(),
        "offered_versions": ("1.18.10", "1.19.4"),
        "nodes": (make_node(),),
        "machine_deployments": (make_machine_deployment(),),
    }
    return ClusterSurvey(**{**fields, **changes})


def make_request(**changes: Any) -> MigrationRequest:
    fields: dict[str, Any] = {"cluster": ClusterRef(seed="lab", name="hv2c7xk9tl"), "desired_cni": CILIUM}
    return MigrationRequest(**{**fields, **changes})


def make_migration(migration_id: str = "m1", **changes: Any) -> Migration:
    fields: dict[str, Any] = {
        "started_at": datetime(2026, 8, 21, 8, tzinfo=UTC),
        "started_by": "a run",
        "previous_cni": CANAL,
        "desired_cni": CILIUM,
        "previous_proxy_mode": "iptables",
        "label_was_there": False,
        "tunnel_port": 8473,
    }
    return Migration(id=migration_id, **{**fields, **changes})
