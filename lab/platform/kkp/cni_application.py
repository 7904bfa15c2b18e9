"""The CNI that KKP installs as an application: keeps ApplicationInstallation kube-system/cilium as the Cluster says.

Source: KKP main, August 2026, pkg/controller/seed-controller-manager/cni-application-installation-controller
(docs/platform.md 3.4 and 4). Refuses to install anything itself, to look at Canal, and to delete the
ApplicationInstallation when the CNI is another one (docs/platform.md 4.6).
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import yaml

from lab.errors import ApiError
from lab.objects import Object, annotations_of, draft
from lab.platform.kkp.application_admission import APPLICATION_TYPE, MANAGED_BY
from lab.platform.kkp.context import CONFLICT, NOT_FOUND, KkpController, ReconcilingError, is_healthy
from lab.platform.kkp.values import Values, as_block, enforced_cilium_values, merged, values_of
from lab.platform.kkp.versions import is_app_managed
from lab.platform.runtime import Change, ignoring
from lab.resources import ADDONS, APPLICATION_DEFINITIONS, APPLICATION_INSTALLATIONS, CLUSTERS, Resource

INITIAL_VALUES = "kubermatic.io/initial-cni-values-request"
SYSTEM_NAMESPACE = "kube-system"
ENFORCE_SECONDS = 300.0
"""--system-app-enforce-interval of the seed-controller-manager (docs/platform.md 9)."""

_LEGACY_ADDON_LOOK = 5.0
_CONTROL_PLANE_LOOK = 0.2
_GATE = (
    *("apiserver", "etcd", "controller", "scheduler"),
    *("cloudProviderInfrastructure", "userClusterControllerManager", "applicationController"),
)
"""ApplicationControllerHealthy; machineController counts too, but may be empty (docs/platform.md 3.4)."""


class CniApplicationController(KkpController):
    """Writes the ApplicationInstallation of an app-managed CNI once the control plane is healthy."""

    name: ClassVar[str] = "kkp-cni-application-installation-controller"
    condition: ClassVar[str] = "CNIControllerReconciledSuccessfully"
    seed_follows: ClassVar[tuple[Resource, ...]] = (CLUSTERS, APPLICATION_DEFINITIONS)

    def wire(self) -> None:
        """Look when the CNI, the network settings or the address of a cluster with an app-managed CNI change."""
        self.mirror.subscribe(CLUSTERS, self._on_cluster)

    def _on_cluster(self, change: Change) -> None:
        if self.concerns(change) and _is_app_managed(change.object):
            before = change.before
            if before is None or _watched(before) != _watched(change.object):
                self.enqueue(self.context.cluster)

    async def act(self, key: str, cluster: Object) -> float | None:
        """Leave the ApplicationInstallation as the Cluster says; looks again every five minutes."""
        del key
        cluster = await self.client.get(CLUSTERS, self.context.cluster)
        if not _is_app_managed(cluster):
            return None
        # On a real seed both controllers see the change at once; the lab lets the control plane always go first, so
        # that its rollout is what the gate below waits for.
        if self.context.control_plane_generation < cluster["metadata"].get("generation", 1):
            return _CONTROL_PLANE_LOOK
        if not is_application_controller_healthy(cluster):
            return self.context.delays.cni_controller_requeue
        if await self._remove_legacy_addons():
            return _LEGACY_ADDON_LOOK
        requested = _requested_values(cluster)
        await self._write(cluster, requested or self._default_values(cluster))
        if requested:
            with ignoring(NOT_FOUND):
                patch = {"metadata": {"annotations": {INITIAL_VALUES: None}}}
                await self.client.patch(CLUSTERS, self.context.cluster, patch)
        return self.context.enforced_after(ENFORCE_SECONDS)

    async def _remove_legacy_addons(self) -> bool:
        is_there = False
        for addon in ("cilium", "hubble"):
            with ignoring(NOT_FOUND):
                await self.client.delete(ADDONS, addon, namespace=self.context.namespace)
                is_there = True
        return is_there

    def _default_values(self, cluster: Object) -> Values:
        definition = self.mirror.get(APPLICATION_DEFINITIONS, cluster["spec"]["cniPlugin"]["type"])
        return yaml.safe_load(definition["spec"].get("defaultValuesBlock") or "{}") if definition else {}

    async def _write(self, cluster: Object, initial: Values) -> None:
        client, name = self.context.user.client, cluster["spec"]["cniPlugin"]["type"]
        try:
            live = await client.get(APPLICATION_INSTALLATIONS, name, namespace=SYSTEM_NAMESPACE)
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
            with ignoring(CONFLICT):
                await client.create(APPLICATION_INSTALLATIONS, _filled(_empty(name), cluster, initial))
            return
        wanted = _filled(draft(live), cluster, initial)
        if wanted != live:
            await client.update(APPLICATION_INSTALLATIONS, wanted)


def is_application_controller_healthy(cluster: Object) -> bool:
    """Tell whether the gate for writing the CNI's ApplicationInstallation is open."""
    machines = ((cluster.get("status") or {}).get("extendedHealth") or {}).get("machineController", "")
    return is_healthy(cluster, *_GATE) and machines in ("HealthStatusUp", "")


def _is_app_managed(cluster: Object) -> bool:
    cni = cluster["spec"].get("cniPlugin") or {}
    return is_app_managed(cni.get("type", ""), cni.get("version", ""))


def _watched(cluster: Object) -> tuple[Any, Any, Any]:
    spec = cluster["spec"]
    return spec.get("cniPlugin"), spec.get("clusterNetwork"), (cluster.get("status") or {}).get("address")


def _requested_values(cluster: Object) -> Values:
    text = annotations_of(cluster).get(INITIAL_VALUES, "")
    try:
        return dict(json.loads(text)) if text else {}
    except (TypeError, ValueError) as error:
        raise ReconcilingError(f"cannot unmarshal initial CNI values annotation: {error}") from error


def _empty(name: str) -> Object:
    return {
        "apiVersion": APPLICATION_INSTALLATIONS.api_version,
        "kind": APPLICATION_INSTALLATIONS.kind,
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE},
        "spec": {},
    }


def _filled(installation: Object, cluster: Object, initial: Values) -> Object:
    """Return the object as KKP wants it: present values win over initial ones, enforced ones over both."""
    cni = cluster["spec"]["cniPlugin"]
    values = values_of(installation) or initial
    values = merged(values, enforced_cilium_values(cluster, values))
    installation["metadata"]["labels"] = {MANAGED_BY: "kkp", APPLICATION_TYPE: "cni"}
    installation["spec"] = {
        **installation["spec"],
        "applicationRef": {"name": cni["type"], "version": cni["version"]},
        "namespace": {"name": SYSTEM_NAMESPACE, "create": False},
        "deployOptions": {"helm": {"atomic": True, "wait": True, "timeout": "10m0s"}},
        "reconciliationInterval": "1h0m0s",
        "valuesBlock": as_block(values),
        "values": {},
    }
    return installation
