"""From the REST API's Cluster to the Cluster object that it stands for, and back for a patch. Makes no request.

Source: D pkg/handler/common/cluster.go, as docs/platform.md 8.4 tells. What the API leaves out is left out here too,
and named in `UNSEEN`: the readiness check says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from clusters import listing, narrowing
from migration.errors import ServerFault
from migration.facts import ClusterFacts, ListedCluster
from migration.patches import Patch

UNSEEN: Final = (
    "whether the Cluster is paused (spec.pause)",
    "its label worker-name",
    "its conditions and phase",
    "which rights the token has",
)
"""What neither the Cluster of the API nor its health says."""
_SPEC_AS_IS: Final = ("version", "cloud", "cniPlugin", "clusterNetwork", "features", "updateWindow")


def cluster_object(found: Any, health: Any, *, project: str, where: str) -> dict[str, Any]:
    """Return the Cluster object that an answer stands for. Raises ServerFault for an answer that is no Cluster."""
    if not isinstance(found, Mapping) or not found.get("id") or not isinstance(found.get("spec"), Mapping):
        raise ServerFault(f"{where} answered with something that is no Cluster")
    spec, status = found["spec"], found.get("status") or {}
    return {
        "metadata": {
            "name": found["id"],
            "resourceVersion": _digest(found, health),
            "labels": {**(found.get("labels") or {}), listing.PROJECT: project},
            "annotations": dict(found.get("annotations") or {}),
            **({"deletionTimestamp": found["deletionTimestamp"]} if found.get("deletionTimestamp") else {}),
        },
        "spec": {
            "humanReadableName": found.get("name", ""),
            **{key: spec[key] for key in _SPEC_AS_IS if spec.get(key) is not None},
        },
        "status": {
            "namespaceName": f"cluster-{found['id']}",
            "address": {"url": status.get("url", "")},
            "extendedHealth": dict(health) if isinstance(health, Mapping) else {},
            "phase": "Updating" if _is_updating(spec, status) else "",
        },
    }


def cluster_facts(found: Any, *, kubermatic_version: str) -> ClusterFacts:
    """Narrow such a Cluster object, with what can't be known of it."""
    return replace(narrowing.cluster_facts(found), kubermatic_version=kubermatic_version, unseen=UNSEEN)


def listed_cluster(found: Any, *, project: str, seed: str, where: str) -> ListedCluster:
    """Narrow a Cluster of a list."""
    return listing.listed_cluster(cluster_object(found, {}, project=project, where=where), seed=seed)


def api_patch(patch: Patch) -> Patch:
    """Return a patch of a Cluster object as the API takes it: labels and annotations lie at the top, no version."""
    metadata, rest = patch.get("metadata") or {}, {key: value for key, value in patch.items() if key != "metadata"}
    return {**{key: metadata[key] for key in ("labels", "annotations") if key in metadata}, **rest}


def not_taken(patch: Patch, found: Any, *, path: str = "") -> tuple[str, ...]:
    """Return which fields of a merge patch an object doesn't have, as paths: the API passes over some in silence."""
    missing: list[str] = []
    for key, wanted in patch.items():
        held, here = (found or {}).get(key), f"{path}.{key}".removeprefix(".")
        if isinstance(wanted, Mapping):
            missing += not_taken(dict(wanted), held, path=here)
        elif held != wanted:
            missing.append(here)
    return tuple(missing)


def _is_updating(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Tell whether the control plane has another version than it shall have."""
    wanted, there = str(spec.get("version") or ""), str(status.get("version") or "")
    return bool(wanted and there) and wanted.removeprefix("v") != there.removeprefix("v")


def _digest(found: Any, health: Any) -> str:
    """Return what differs whenever the Cluster does: the API shows no resourceVersion."""
    text = json.dumps([found, health], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
