"""Clusters by the REST API: listing them, reading one, patching one (D pkg/handler/v2/cluster, pkg/handler/common)."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.apiserver.patches.merge import merge_patch
from lab.errors import ApiError
from lab.objects import Object, name_of
from lab.platform.kkp.admission import PROJECT_ID, defaulted_and_refused
from lab.platform.kkp.versions import parse_version
from lab.resources import CLUSTERS, MACHINE_DEPLOYMENTS, MACHINES
from lab.restapi.answers import RestError, of_kubernetes, wrapped
from lab.restapi.cluster_shape import shown, taken_over, to_patch
from lab.restapi.decoding import wrong_type
from lab.restapi.installation import Call

_UNREACHED = "Failed to fetch data for one or more seeds. Please contact an administrator."
_OLDEST_KUBELET = 3
"""Minors that a kubelet may be behind its control plane (K pkg/validation/nodeupdate)."""


async def list_clusters(call: Call) -> Object:
    """Return the clusters of a project, and in the same breath that some of them are missing.

    A project that does not exist or is somebody else's fails only where each seed is asked, so it too is an answer
    with HTTP 200 that has no clusters and an errorMessage. A seed whose provider cannot be made at all is left out
    without a word (D pkg/handler/v2/cluster/cluster.go ListEndpoint).
    """
    try:
        await call.project()
    except (ApiError, RestError):
        return {"clusters": [], "errorMessage": _error_message(call)}
    found, _ = await call.kkp.seed.list(CLUSTERS, label_selector=f"{PROJECT_ID}={call.project_id}")
    missing = {name_of(item) for item in found if call.kkp.meets("seed-unreachable", name_of(item))}
    unsaid = {name_of(item) for item in found if call.kkp.is_left_out(name_of(item))}
    there = [shown(item) for item in found if name_of(item) not in missing | unsaid]
    if call.asks_for("show_dm_count"):
        there = await asyncio.gather(*(_with_count(call, item) for item in there))
    return {"clusters": there, **({"errorMessage": _error_message(call)} if missing else {})}


def _error_message(call: Call) -> str:
    if call.person.is_admin:
        return f"Failed to fetch data for following seeds: {call.kkp.seed_name}."
    return _UNREACHED


async def _with_count(call: Call, cluster: Object) -> Object:
    client = call.kkp.user_cluster(cluster["id"])
    found, _ = await client.list(MACHINE_DEPLOYMENTS, namespace="kube-system")
    return {**cluster, "machineDeploymentCount": len(found)}


async def get_cluster(call: Call) -> Object:
    """Return one cluster."""
    return shown(await call.cluster())


async def patch_cluster(call: Call) -> Object:
    """Return a cluster after a merge patch of what the API shows; what it cannot change is passed over in silence."""
    patch = await call.body("cannot patch cluster: Invalid JSON Patch")
    old = await call.cluster()
    patched = _patched(old, patch)
    new = taken_over(old, patched)
    if not call.asks_for("skip_kubelet_version_validation"):
        await _check_kubelets(call, new)
    refusal = defaulted_and_refused(new, old, call.kkp.profile)
    if refusal:
        raise RestError(400, f"invalid cluster: {refusal}")
    call.check_may_write("clusters", call.cluster_id, group="kubermatic.k8c.io", scope="at the cluster scope")
    try:
        return shown(await call.kkp.seed.update(CLUSTERS, new))
    except ApiError as error:
        raise of_kubernetes(error) from error


def _patched(cluster: Object, patch: Any) -> Object:
    patched = merge_patch(to_patch(cluster), patch)
    wrong = wrong_type(patched)
    if wrong:
        raise RestError(400, f"cannot decode patched cluster: json: cannot unmarshal {wrong} into its Go type")
    return dict(patched)


async def _check_kubelets(call: Call, cluster: Object) -> None:
    """Raise the 400 for nodes that the control plane would be too new or too old for; asks the user cluster.

    Source: D pkg/handler/v1/common/version_skew.go.
    """
    client = call.user_cluster(cluster)
    try:
        machines, _ = await client.list(MACHINES)
        deployments, _ = await client.list(MACHINE_DEPLOYMENTS)
    except ApiError as error:
        raise wrapped("failed to check existing nodes' version skew", error) from error
    lonely = [item["spec"] for item in machines if not item["metadata"].get("ownerReferences")]
    specs = lonely + [item["spec"]["template"]["spec"] for item in deployments]
    kubelets = {str((spec.get("versions") or {}).get("kubelet", "")) for spec in specs}
    wrong = sorted(kubelet for kubelet in kubelets if not _fits(kubelet, str(cluster["spec"].get("version"))))
    if wrong:
        found = f"Cluster contains nodes running the following incompatible kubelet versions: [{' '.join(wrong)}]"
        raise RestError(400, f"{found}. Upgrade your nodes before you upgrade the cluster.")


def _fits(kubelet: str, control_plane: str) -> bool:
    ours, theirs = parse_version(control_plane), parse_version(kubelet)
    if ours is None or theirs is None:
        return True
    return theirs[0] == ours[0] and 0 <= ours[1] - theirs[1] <= _OLDEST_KUBELET
