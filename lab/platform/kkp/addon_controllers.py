"""The default addons of one user cluster: which Addon objects there are, and what they leave in the user cluster.

Source: KKP main, August 2026, pkg/controller/seed-controller-manager/{addoninstaller,addon}
(docs/platform.md 3.1 and 3.3). Refuses to know what an addon consists of.
"""

from __future__ import annotations

import json
from typing import ClassVar

from lab.objects import (
    Object,
    annotations_of,
    draft,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from lab.platform.kkp.addons import ADDON_LABEL, addon_objects
from lab.platform.kkp.applying import LAST_APPLIED, KubectlApply, delete_all
from lab.platform.kkp.context import CONFLICT, NOT_FOUND, Context, KkpController, ReconcilingError, is_healthy
from lab.platform.kkp.versions import is_app_managed, minor_of
from lab.platform.runtime import Change, Controller, ignoring
from lab.resources import ADDONS, CLUSTERS, CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, Resource

ENSURE_LABEL = "addons.kubermatic.io/ensure"
FINALIZER = "cleanup-manifests"
ENFORCE_SECONDS = 300.0
"""--addon-enforce-interval of the seed-controller-manager (docs/platform.md 9)."""

_ADDON_CONDITIONS = ("AddonResourcesCreatedSuccessfully", "AddonReconciledSuccessfully")
_CNI_ADDONS = {"canal": "cilium", "cilium": "canal"}
"""The addons of CNIs, and the type of CNI with which each of them goes."""
_PRUNED = (CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS)
"""Of the kinds that `kubectl apply --prune` looks at by default, those that the lab's addons use."""


def is_skipped(addon: str, cluster: Object) -> bool:
    """Tell whether the installer leaves this default addon out, and removes it if there (docs/platform.md 3.1)."""
    cni = cluster["spec"].get("cniPlugin") or {}
    if addon in _CNI_ADDONS:
        other = _CNI_ADDONS[addon]
        return cni.get("type") == other or is_app_managed(cni.get("type", ""), cni.get("version", ""))
    return addon == "kube-proxy" and cluster["spec"]["clusterNetwork"]["proxyMode"] == "ebpf"


class AddonInstaller(KkpController):
    """Creates the default Addons that the cluster should have and deletes those that it should not."""

    name: ClassVar[str] = "kkp-addoninstaller-controller"
    condition: ClassVar[str] = "AddonInstallerControllerReconciledSuccessfully"
    seed_follows: ClassVar[tuple[Resource, ...]] = (CLUSTERS, ADDONS)

    def wire(self) -> None:
        """Look when something else is asked of the Cluster, and when one of its Addons changes."""
        self.mirror.subscribe(CLUSTERS, self._on_cluster)
        self.mirror.subscribe(ADDONS, self._on_addon)

    def _on_cluster(self, change: Change) -> None:
        if self.concerns(change) and _is_asked_anew(change):
            # At its start a controller looks at everything at once.
            self.enqueue_after(self.context.cluster, self.context.addon_delay if change.before else 0.0)

    def _on_addon(self, change: Change) -> None:
        if namespace_of(change.object) == self.context.namespace:
            # Not at once where addons take their time: news of an addon must not bring a change of the Cluster forward.
            self.enqueue_after(self.context.cluster, self.context.addon_delay)

    async def act(self, key: str, cluster: Object) -> float | None:
        """Leave the right default Addons; those that users added are never deleted."""
        del key
        if not is_healthy(cluster, "apiserver"):
            return 1.0
        for addon in self.context.profile.default_addons:
            held = self.mirror.get(ADDONS, addon, namespace=self.context.namespace)
            if not is_skipped(addon, cluster):
                await self._ensure(addon, cluster, held)
            elif held is not None and held["spec"].get("isDefault") and not is_being_deleted(held):
                with ignoring(NOT_FOUND):
                    await self.client.delete(ADDONS, addon, namespace=self.context.namespace)
        return None

    async def _ensure(self, addon: str, cluster: Object, held: Object | None) -> None:
        if held is not None:
            return
        reference = {"apiVersion": cluster["apiVersion"], "kind": "Cluster", "name": name_of(cluster)}
        body = {
            "apiVersion": ADDONS.api_version,
            "kind": ADDONS.kind,
            "metadata": {
                "name": addon,
                "namespace": self.context.namespace,
                "labels": {ENSURE_LABEL: "true"},
                "ownerReferences": [owner_reference(cluster)],
            },
            "spec": {"name": addon, "cluster": reference, "isDefault": True},
        }
        with ignoring(CONFLICT):
            await self.client.create(ADDONS, body)


class AddonController(KkpController):
    """Applies an Addon's manifest to the user cluster, and deletes what the manifest says when the Addon goes."""

    name: ClassVar[str] = "kkp-addon-controller"
    condition: ClassVar[str] = "AddonControllerReconciledSuccessfully"
    seed_follows: ClassVar[tuple[Resource, ...]] = (CLUSTERS, ADDONS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rendered_for = ""
        self._rendered: dict[str, tuple[str, list[Object]]] = {}
        self._kubectl_apply = KubectlApply(context.user.client)

    def wire(self) -> None:
        """Look when an Addon's generation changes, and at all when what they are rendered from does."""
        self.mirror.subscribe(ADDONS, self._on_addon)
        self.mirror.subscribe(CLUSTERS, self._on_cluster)

    def _on_addon(self, change: Change) -> None:
        if namespace_of(change.object) != self.context.namespace or change.type == "DELETED":
            return
        before = change.before
        if before is None or _generation(before) != _generation(change.object) or is_being_deleted(change.object):
            self.enqueue(name_of(change.object))

    def _on_cluster(self, change: Change) -> None:
        if not self.concerns(change) or (data := _template_data(change.object)) == self._rendered_for:
            return
        self._rendered_for = data
        for addon in self.mirror.all(ADDONS, namespace=self.context.namespace):
            self.enqueue_after(name_of(addon), self.context.addon_delay)

    def describe(self, key: str, error: Exception) -> str:
        """Return the text of the event for an addon that could not be reconciled."""
        return f'failed to reconcile Addon "{key}": {error}'

    async def act(self, key: str, cluster: Object) -> float | None:
        """Leave the addon's objects as its template renders them for the cluster now."""
        addon = self.mirror.get(ADDONS, key, namespace=self.context.namespace)
        if addon is None:
            return None
        if not is_healthy(cluster, "apiserver"):
            return 3.0
        self._check_kubectl(cluster)
        await self.clock.sleep(self.context.delays.addon_reconcile)
        if is_being_deleted(addon):
            await self._clean_up(addon)
            return None
        await self._apply(addon, self.context.mirrored() or cluster)
        if ENSURE_LABEL in labels_of(addon):
            self.enqueue_after(key, self.context.enforced_after(ENFORCE_SECONDS))
        return None

    async def _clean_up(self, addon: Object) -> None:
        """Delete what the template renders *now*: nothing for Canal once the CNI is another (docs/platform.md 3.2)."""
        cluster = self.context.mirrored()
        if cluster is not None:
            await delete_all(self.context.user.client, self._objects(addon, cluster))
        kept = [name for name in addon["metadata"].get("finalizers") or () if name != FINALIZER]
        patch = {"metadata": {"finalizers": kept, "resourceVersion": addon["metadata"]["resourceVersion"]}}
        with ignoring(NOT_FOUND):
            await self.client.patch(ADDONS, name_of(addon), patch, namespace=self.context.namespace)

    async def _apply(self, addon: Object, cluster: Object) -> None:
        if FINALIZER not in (addon["metadata"].get("finalizers") or ()):
            changed = draft(addon)
            changed["metadata"]["finalizers"] = [*(addon["metadata"].get("finalizers") or ()), FINALIZER]
            addon = await self.client.update(ADDONS, changed)
        objects = self._objects(addon, cluster)
        if objects:  # An empty manifest is not applied at all, so nothing is pruned either.
            await self._kubectl_apply(objects)
            await self._prune(addon["spec"]["name"], objects)
        await self._report(addon)

    def _objects(self, addon: Object, cluster: Object) -> list[Object]:
        """Return an addon's objects, rendered anew only for other data; nobody changes them."""
        name, data = addon["spec"]["name"], _template_data(cluster)
        rendered_for, objects = self._rendered.get(name, ("", []))
        if rendered_for != data:
            objects = addon_objects(name, cluster, profile=self.context.profile)
            self._rendered[name] = data, objects
        return objects

    def _check_kubectl(self, cluster: Object) -> None:
        version = ((cluster.get("status") or {}).get("versions") or {}).get("controlPlane", "")
        if minor_of(version) not in self.context.profile.kubectl_minors:
            raise ReconcilingError(f'failed to get kubectl binary: unsupported Kubernetes version "{version}"')

    async def _prune(self, addon: str, objects: list[Object]) -> None:
        wanted = {(found["kind"], name_of(found), namespace_of(found)) for found in objects}
        client = self.context.user.client
        for resource in _PRUNED:
            labelled, _ = await client.list(resource, label_selector=f"{ADDON_LABEL}={addon}")
            extra = [{**found, "apiVersion": resource.api_version, "kind": resource.kind} for found in labelled]
            extra = [found for found in extra if (found["kind"], name_of(found), namespace_of(found)) not in wanted]
            await delete_all(client, [found for found in extra if LAST_APPLIED in annotations_of(found)])

    async def _report(self, addon: Object) -> None:
        if (addon.get("status") or {}).get("phase") == "Healthy":
            return
        status = {"phase": "Healthy", "conditions": {name: {"status": "True"} for name in _ADDON_CONDITIONS}}
        with ignoring(NOT_FOUND):
            await self.client.patch(
                ADDONS, name_of(addon), {"status": status}, namespace=self.context.namespace, subresource="status"
            )


def _is_asked_anew(change: Change) -> bool:
    before, after = change.before, change.object
    return before is None or before["spec"] != after["spec"] or labels_of(before) != labels_of(after)


def _template_data(cluster: Object) -> str:
    """Return what templates are rendered from; labels and annotations are part of it (docs/platform.md 3.3)."""
    metadata, status = cluster["metadata"], cluster.get("status") or {}
    from_metadata, from_status = ("labels", "annotations"), ("address", "versions")
    data = [cluster["spec"], *map(metadata.get, from_metadata), *map(status.get, from_status)]
    return json.dumps(data, sort_keys=True)


def _generation(found: Object) -> int:
    return int(found["metadata"].get("generation", 1))


def addon_controllers(context: Context) -> list[Controller]:
    """Return the controllers that keep the addons of one cluster."""
    return [AddonInstaller(context), AddonController(context)]
