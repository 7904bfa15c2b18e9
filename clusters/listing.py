"""From the raw JSON of a Cluster object to what clusters are chosen by. Refuses none for an odd CNI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from migration.facts import ListedCluster
from migration.models import ClusterRef, Cni, CniType

# KKP 2.31, sdk/apis/kubermatic/v1/cluster.go CloudSpec: what lies beside the one key that belongs to the provider.
_NO_PROVIDER: Final = ("dc", "providerName")
# KKP 2.31, sdk/apis/kubermatic/v1: ProjectIDLabelKey.
PROJECT: Final = "project-id"


def listed_cluster(found: Any, *, seed: str) -> ListedCluster:
    """Narrow a Cluster object of a list; one without a known CNI has type `none`."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    labels, cloud = metadata.get("labels") or {}, spec.get("cloud") or {}
    return ListedCluster(
        ref=ClusterRef(seed=seed, name=metadata["name"]),
        uid=str(metadata.get("uid") or ""),
        human_readable_name=str(spec.get("humanReadableName", "")),
        project=str(labels.get(PROJECT, "")),
        datacenter=str(cloud.get("dc", "")),
        provider=_provider(cloud),
        labels=tuple(sorted((str(key), str(value)) for key, value in labels.items())),
        kubernetes_version=str(spec.get("version", "")),
        cni=_cni(spec.get("cniPlugin") or {}),
        proxy_mode=str((spec.get("clusterNetwork") or {}).get("proxyMode", "")),
        phase=str(status.get("phase", "")),
        paused=bool(spec.get("pause")),
        deleting="deletionTimestamp" in metadata,
    )


def _provider(cloud: Mapping[str, Any]) -> str:
    named = next((key for key in sorted(cloud) if key not in _NO_PROVIDER), "")
    return str(cloud.get("providerName") or named)


def _cni(plugin: Mapping[str, Any]) -> Cni:
    kind = plugin.get("type")
    if kind not in set(CniType):
        return Cni(type=CniType.NONE, version="")
    return Cni(type=CniType(str(kind)), version=str(plugin.get("version") or ""))
