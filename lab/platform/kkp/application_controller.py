"""Installs, upgrades and uninstalls applications in the user cluster, as its ApplicationInstallations say.

Source: KKP main, August 2026, pkg/controller/user-cluster-controller-manager/application-installation-controller
(docs/platform.md 4.1 and 4.3). Refuses to write ApplicationInstallations, but for their finalizer and status.
"""

from __future__ import annotations

from typing import Any, ClassVar

from lab.errors import ApiError
from lab.objects import Object, annotations_of, is_being_deleted, key_of, name_of, namespace_of, split_key
from lab.platform.kkp.applications import (
    MAX_RETRIES,
    RETRIES_EXCEEDED,
    RETRIES_EXCEEDED_PREFIX,
    condition,
    conditions_of,
    desired_release,
    release_name,
    release_status,
    seconds_of,
    without_prefix,
)
from lab.platform.kkp.context import NOT_FOUND, Context
from lab.platform.kkp.helm import Helm, HelmFailed
from lab.platform.kkp.recording import record_event
from lab.platform.runtime import Change, Controller, ignoring
from lab.resources import APPLICATION_DEFINITIONS, APPLICATION_INSTALLATIONS, CLUSTERS, NODES, Resource

FINALIZER = "kubermatic.k8c.io/cleanup-application-installation"
_NO_NODES_LOOK = 10.0


class ApplicationController(Controller):
    """The application-installation controller of one user cluster."""

    name: ClassVar[str] = "kkp-app-installation-controller"
    follows: ClassVar[tuple[Resource, ...]] = (APPLICATION_INSTALLATIONS, NODES)

    def __init__(self, context: Context) -> None:
        super().__init__(client=context.user.client, mirror=context.user.mirror, clock=context.clock)
        self._context = context
        self._helm = Helm(context)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await self._context.seed.mirror.follow(CLUSTERS, APPLICATION_DEFINITIONS)
        await super().run()

    def wire(self) -> None:
        """Look when an installation's generation or annotations change, and when its definition does."""
        self.mirror.subscribe(APPLICATION_INSTALLATIONS, self._on_installation)
        self._context.seed.mirror.subscribe(APPLICATION_DEFINITIONS, self._on_definition)

    def _on_installation(self, change: Change) -> None:
        new, before = change.object, change.before
        if change.type == "DELETED":
            return
        if before is None or _watched(before) != _watched(new):
            self.enqueue(key_of(new))

    def _on_definition(self, change: Change) -> None:
        for installation in self.mirror.all(APPLICATION_INSTALLATIONS):
            if installation["spec"]["applicationRef"]["name"] == name_of(change.object):
                self.enqueue(key_of(installation))

    async def reconcile(self, key: str) -> float | None:
        """Make an installation true; a paused cluster's are left alone, and nothing is planned for it either."""
        cluster = self._context.mirrored()
        if cluster is None or cluster["spec"].get("pause"):
            return None
        if not self.mirror.all(NODES):
            return _NO_NODES_LOOK
        namespace, name = split_key(key)
        try:
            installation = await self.client.get(APPLICATION_INSTALLATIONS, name, namespace=namespace)
        except ApiError as error:
            if error.code == NOT_FOUND:
                return None
            raise
        if is_being_deleted(installation):
            await self._uninstall(installation)
            return None
        return await self._install(installation)

    async def _install(self, installation: Object) -> float | None:
        installation = await self._with_finalizer(installation)
        offered = await self._offered_version(installation)
        if offered is None:
            return None
        installation = await self._accepted(installation, offered)
        failures = (installation.get("status") or {}).get("failures", 0)
        if failures > MAX_RETRIES and _is_atomic(installation):
            last = without_prefix((conditions_of(installation).get("Ready") or {}).get("message", ""))
            text = RETRIES_EXCEEDED_PREFIX + last
            exceeded = condition(installation, "Ready", "False", reason=RETRIES_EXCEEDED, message=text)
            await self._patch_status(installation, exceeded)
        elif not await self._attempt(installation, offered, failures):
            return self._context.delays.helm_backoff
        interval = seconds_of(installation["spec"].get("reconciliationInterval", "0s"))
        return self._context.enforced_after(interval) if interval else None

    async def _with_finalizer(self, installation: Object) -> Object:
        held = installation["metadata"].get("finalizers") or []
        if FINALIZER in held:
            return installation
        version = installation["metadata"]["resourceVersion"]
        return await self._patch(
            installation, {"metadata": {"finalizers": [*held, FINALIZER], "resourceVersion": version}}
        )

    async def _offered_version(self, installation: Object) -> Object | None:
        """Return the version's entry in its definition; without one an installed application is deleted."""
        reference = installation["spec"]["applicationRef"]
        definition = self._context.seed.mirror.get(APPLICATION_DEFINITIONS, reference["name"])
        versions = definition["spec"]["versions"] if definition else ()
        offered = next((dict(entry) for entry in versions if entry["version"] == reference["version"]), None)
        if offered is not None:
            return offered
        missing = f"ApplicationDefinition '{reference['name']}'"
        missing = missing if definition is None else f"applicationVersion: '{reference['version']}'"
        if "applicationVersion" not in (installation.get("status") or {}):
            await self._warn(installation, f"{missing} does not exist. can not install application")
            return None
        await self._warn(installation, f"{missing} has been deleted. removing Application")
        with ignoring(NOT_FOUND):
            await self.client.delete(
                APPLICATION_INSTALLATIONS, name_of(installation), namespace=namespace_of(installation)
            )
        return None

    async def _accepted(self, installation: Object, offered: Object) -> Object:
        """Leave the version in the status before anything is installed, and no failures of another generation."""
        held = installation.get("status") or {}
        status: dict[str, Any] = {}
        if held.get("applicationVersion") != offered or held.get("method") != "helm":
            status = {"applicationVersion": offered, "method": "helm"}
        observed = (conditions_of(installation).get("Ready") or {}).get("observedGeneration", 0)
        if held.get("failures") and observed != installation["metadata"].get("generation", 1):
            status["failures"] = 0
        return await self._patch_status(installation, status) if status else installation

    async def _attempt(self, installation: Object, offered: Object, failures: int) -> bool:
        """Download and have Helm install or upgrade; tells whether that went well."""
        await self.clock.sleep(self._context.delays.chart_download)
        installation = await self._patch_status(installation, _in_progress(installation))
        try:
            release = await self._helm.install_or_upgrade(desired_release(installation, offered))
        except HelmFailed as failure:
            failed = condition(installation, "Ready", "False", reason="InstallationFailed", message=str(failure))
            outcome = release_status(failure.release) if failure.release else {}
            counted = {"failures": failures + 1} if _is_atomic(installation) else {}
            await self._patch_status(installation, failed | outcome | counted)
            await self._warn(installation, f"handling installation of application installation: {failure}")
            return False
        done = "application successfully installed or upgraded"
        ready = condition(installation, "Ready", "True", reason="InstallationSuccessful", message=done)
        await self._patch_status(installation, ready | release_status(release) | {"failures": 0})
        return True

    async def _uninstall(self, installation: Object) -> None:
        """Have Helm uninstall the application; the finalizer goes whether that worked or not (docs/platform.md 4.6)."""
        held = installation["metadata"].get("finalizers") or []
        if FINALIZER not in held:
            return
        try:
            await self._helm.uninstall(release_name(installation), installation["spec"]["namespace"]["name"])
        except (HelmFailed, ApiError) as error:
            failed = condition(installation, "Ready", "False", reason="UninstallFailed", message=str(error))
            await self._patch_status(installation, failed)
        with ignoring(NOT_FOUND):
            await self._patch(installation, {"metadata": {"finalizers": [item for item in held if item != FINALIZER]}})

    async def _warn(self, installation: Object, message: str) -> None:
        reason = "ApplicationInstallationReconcileFailed"
        await record_event(self.client, installation, source=self.name, reason=reason, message=message)

    async def _patch(self, installation: Object, patch: dict[str, Any]) -> Object:
        return await self.client.patch(
            APPLICATION_INSTALLATIONS, name_of(installation), patch, namespace=namespace_of(installation)
        )

    async def _patch_status(self, installation: Object, status: dict[str, Any]) -> Object:
        """Merge into the status; an object that was deleted meanwhile is returned as it was."""
        name, namespace = name_of(installation), namespace_of(installation)
        patch = {"status": status}
        try:
            return await self.client.patch(
                APPLICATION_INSTALLATIONS, name, patch, namespace=namespace, subresource="status"
            )
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
            return installation


def _in_progress(installation: Object) -> dict[str, Any]:
    retrieved, running = "application's source successfully downloaded", "application is installing or upgrading"
    status = condition(installation, "ManifestsRetrieved", "True", reason="DownloadSourceSuccessful", message=retrieved)
    ready = condition(installation, "Ready", "Unknown", reason="InstallationInProgress", message=running)
    status["conditions"] |= ready["conditions"]
    return status


def _is_atomic(installation: Object) -> bool:
    helm = (installation["spec"].get("deployOptions") or {}).get("helm") or {}
    return bool(helm.get("atomic"))


def _watched(installation: Object) -> tuple[Any, Any, bool]:
    generation = installation["metadata"].get("generation", 1)
    return generation, annotations_of(installation), is_being_deleted(installation)
