"""The merge patches that a migration sends: the same ones that the dry run shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from migration.facts import ClusterFacts
from migration.models import Network
from migration.versions import DEFAULT_TUNNEL_PORT, FLANNEL_VXLAN_PORT

Patch = dict[str, Any]

# KKP 2.31, pkg/validation/cluster.go: the key's presence is what counts.
UNSAFE_CNI_MIGRATION: Final = "unsafe-cni-migration"
# KKP 2.31, sdk/apis/kubermatic/v1/common.go: JSON Helm values, consumed when the ApplicationInstallation is created.
INITIAL_VALUES: Final = "kubermatic.io/initial-cni-values-request"
# KKP 2.31, sdk ForceRestartAnnotation: in the template it makes machine-controller roll every machine.
FORCE_RESTART: Final = "forceRestart"


def label_patch(*, present: bool) -> Patch:
    """Return what leaves a Cluster with or without the label that unlocks changes of its network."""
    return {"metadata": {"labels": {UNSAFE_CNI_MIGRATION: "true" if present else None}}}


def network_patch(cluster: ClusterFacts, desired: Network, helm_values: Mapping[str, Any] | None) -> Patch:
    """Return what takes a Cluster from what it has to what it shall have, against the version that was read."""
    metadata: dict[str, Any] = {"resourceVersion": cluster.resource_version}
    spec: dict[str, Any] = {}
    if cluster.cni != desired.cni:
        spec["cniPlugin"] = {"type": str(desired.cni.type), "version": desired.cni.version}
        # One that was never consumed would be, by the next installation.
        values = None if helm_values is None else json.dumps(dict(helm_values), sort_keys=True)
        metadata["annotations"] = {INITIAL_VALUES: values}
    if cluster.proxy_mode != desired.proxy_mode:
        spec["clusterNetwork"] = {"proxyMode": str(desired.proxy_mode)}
    return {"metadata": metadata, "spec": spec}


def restart_patch(value: str) -> Patch:
    """Return what makes machine-controller replace every machine of a MachineDeployment."""
    return {"spec": {"template": {"metadata": {"annotations": {FORCE_RESTART: value}}}}}


def tunnel_port(values: Mapping[str, Any]) -> int:
    """Return the port of Cilium's tunnel by its Helm values; 0 stands for the default, which is flannel's as well."""
    return int(values.get("tunnelPort") or FLANNEL_VXLAN_PORT)


def removal_values(values: Mapping[str, Any], *, uninstall: bool) -> dict[str, Any]:
    """Return Helm values with which Canal can come up beside Cilium: its tunnel on another port than flannel's.

    With `uninstall`, the agents take their CNI configuration along when they go (docs/platform.md 5.2).
    """
    port = tunnel_port(values)
    found = {**values, "tunnelPort": DEFAULT_TUNNEL_PORT if port == FLANNEL_VXLAN_PORT else port}
    return {**found, "cni": {**(values.get("cni") or {}), "uninstall": True}} if uninstall else found


def values_spec(values: Mapping[str, Any], *, in_block: bool) -> Patch:
    """Return the part of an ApplicationInstallation's spec that holds its values, by the key that it uses."""
    # KKP refuses both at once.
    return {"valuesBlock": yaml.safe_dump(dict(values), sort_keys=True)} if in_block else {"values": dict(values)}
