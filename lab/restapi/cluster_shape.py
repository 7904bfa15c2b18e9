"""A Cluster as the REST API shows it, and what of a changed one goes back into the stored object.

Source: D pkg/handler/common/cluster.go, ConvertInternalClusterToExternal and PatchEndpoint (docs/platform.md 8.4).
Refuses to store or check anything.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.patches.merge import copied
from lab.objects import Object, labels_of
from lab.platform.kkp.admission import PROJECT_ID
from lab.restapi.answers import metadata, without_empty

PROTECTED_LABELS = frozenset(("worker-name", PROJECT_ID, "is-credential-preset"))
"""Not shown (D pkg/handler/v1/label/label.go); a patch can still set them."""

PATCHABLE = (
    *("cloud", "machineNetworks", "version", "oidc", "updateWindow", "auditLogging", "opaIntegration"),
    *("usePodSecurityPolicyAdmissionPlugin", "usePodNodeSelectorAdmissionPlugin", "useEventRateLimitAdmissionPlugin"),
    *("admissionPlugins", "podNodeSelectorAdmissionPluginConfig", "eventRateLimitConfig", "serviceAccount", "mla"),
    *("containerRuntime", "cniPlugin", "exposeStrategy", "backupConfig", "kubernetesDashboard"),
    *("apiServerAllowedIPRanges", "kubelb", "disableCsiDriver", "kyverno", "encryptionConfiguration"),
)
PATCHABLE_NETWORK = ("konnectivityEnabled", "proxyMode")
_SHOWN = (*PATCHABLE, "clusterNetwork", "enableUserSSHKeyAgent", "features")
_PRIVATE_CLOUD = frozenset(("credentialsReference",))


def shown(cluster: Object) -> Object:
    """Return a Cluster as answers hold it: without protected labels and without what leads to credentials."""
    found = _converted(cluster)
    labels = {key: value for key, value in found.pop("labels", {}).items() if key not in PROTECTED_LABELS}
    cloud = {key: _without_private(value) for key, value in found["spec"].get("cloud", {}).items()}
    return {**found, **without_empty({"labels": labels}), "spec": {**found["spec"], "cloud": cloud}}


def to_patch(cluster: Object) -> Object:
    """Return a Cluster as patches are applied to it: whole, as far as the API knows it."""
    return _converted(cluster)


def taken_over(cluster: Object, patched: Object) -> Object:
    """Return a Cluster with what may come from a patched one; all else in the patch is passed over in silence."""
    new: Object = copied(cluster)
    spec, wanted = new["spec"], patched.get("spec") or {}
    spec["humanReadableName"] = patched.get("name") or ""
    new["metadata"]["labels"] = {**(patched.get("labels") or {}), PROJECT_ID: labels_of(cluster)[PROJECT_ID]}
    new["metadata"]["annotations"] = patched.get("annotations") or {}
    for field in PATCHABLE:
        _take(spec, wanted, field)
    for field in PATCHABLE_NETWORK:
        _take(spec["clusterNetwork"], wanted.get("clusterNetwork") or {}, field)
    return new


def _take(held: Object, wanted: Object, field: str) -> None:
    if wanted.get(field) is None:
        held.pop(field, None)
    else:
        held[field] = wanted[field]


def _converted(cluster: Object) -> Object:
    spec, status = cluster["spec"], cluster.get("status") or {}
    return {
        **metadata(cluster, name=spec.get("humanReadableName", "")),
        **without_empty({"labels": labels_of(cluster), "inheritedLabels": status.get("inheritedLabels")}),
        "type": "kubernetes",
        "spec": {name: copied(spec[name]) for name in _SHOWN if name in spec},
        "status": {
            "version": (status.get("versions") or {}).get("controlPlane", ""),
            "url": (status.get("address") or {}).get("url", ""),
            "externalCCMMigration": "NotNeeded",
        },
    }


def _without_private(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return {key: value for key, value in part.items() if key not in _PRIVATE_CLOUD}
