"""Helm as KKP drives it: install or upgrade with --atomic --wait, and uninstall.

Source: KKP main, August 2026, pkg/applications/helmclient/client.go; Helm 3 pkg/action (docs/platform.md 4.1 to 4.6).
Refuses to compare anything with the live cluster when it decides whether there is something to do, as Helm does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lab.errors import ApiError
from lab.objects import Object, annotations_of, draft, is_being_deleted, labels_of, name_of, namespace_of
from lab.platform.client import Client
from lab.platform.kkp.applying import bring_about, delete_all, find
from lab.platform.kkp.cilium_chart import Chart
from lab.platform.kkp.context import Context
from lab.platform.kkp.helm_readiness import WAITED_FOR, job_outcome, why_not_ready
from lab.platform.kkp.helm_releases import Release, forget_release, now, store_release, stored_releases
from lab.platform.kkp.rendering import resource_of

_FORBIDDEN = 403
_LEAST_POLL_SECONDS = 0.02
_LEAST_WAIT_SECONDS = 5.0
"""Real seconds. However fast the lab's clock is, its own work takes real time, which no Helm timeout may fall below."""
_TIMED_OUT = "timed out waiting for the condition"


class HelmFailed(Exception):
    """An attempt that failed; the message is Helm's. `release` is what Helm returns beside it."""

    def __init__(self, message: str, release: Release | None = None) -> None:
        super().__init__(message)
        self.release = release


@dataclass(frozen=True)
class Desired:
    """What should be installed: a rendered chart under a release name."""

    release: str
    namespace: str
    application: str
    chart: str
    chart_version: str
    values: dict[str, Any]
    rendered: Chart


class Helm:
    """Installs into one user cluster."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client: Client = context.user.client

    async def install_or_upgrade(self, desired: Desired) -> Release:
        """Leave the release deployed; raises HelmFailed. Nothing happens if the stored one is the same already."""
        stored = await self._settled(desired)
        if stored is None:
            return await self._install(desired)
        if stored.is_same_as(desired.chart_version, desired.values, desired.rendered.objects):
            return stored
        return await self._upgrade(desired, stored)

    async def uninstall(self, name: str, namespace: str) -> None:
        """Begin to delete the release's objects and forget it; what hooks made stays. Waits for nothing."""
        stored = await stored_releases(self._client, name, namespace)
        if not stored:
            raise HelmFailed(f"uninstall: Release not loaded: {name}: release: not found")
        await delete_all(self._client, reversed(stored[-1].manifest))
        for release in stored:
            await forget_release(self._client, release)

    async def _settled(self, desired: Desired) -> Release | None:
        """Return the deployed revision, after what an interrupted attempt left behind has been taken away."""
        stored = await stored_releases(self._client, desired.release, desired.namespace)
        for release in [found for found in stored if found.status != "deployed"]:
            if release is stored[0]:
                await self._remove(release.manifest)
            await forget_release(self._client, release)
        deployed = [found for found in stored if found.status == "deployed"]
        return deployed[-1] if deployed else None

    async def _install(self, desired: Desired) -> Release:
        await self._check_ownership(desired)
        release = self._revision(desired, 1, "pending-install")
        await store_release(self._client, release)
        try:
            await self._bring_about(desired, {})
        except HelmFailed as failure:
            await self._remove(release.manifest)
            await forget_release(self._client, release)
            text = f"release {desired.release} failed, and has been uninstalled due to atomic being set: {failure}"
            failed = release.turned("failed", f'Release "{desired.release}" failed: {failure}')
            raise HelmFailed(text, failed) from failure
        deployed = release.turned("deployed", "Install complete")
        await store_release(self._client, deployed)
        return deployed

    async def _upgrade(self, desired: Desired, stored: Release) -> Release:
        release = self._revision(desired, stored.revision + 1, "pending-upgrade", stored.first_deployed)
        await store_release(self._client, release)
        before = {_identity(found): found for found in stored.manifest}
        wanted = {_identity(found) for found in release.manifest}
        try:
            await self._bring_about(desired, before)
        except HelmFailed as failure:
            await self._roll_back(stored, release)
            text = f"release {desired.release} failed, and has been rolled back due to atomic being set: {failure}"
            failed = release.turned("failed", f'Upgrade "{desired.release}" failed: {failure}')
            raise HelmFailed(text, failed) from failure
        await delete_all(self._client, [found for key, found in before.items() if key not in wanted])
        deployed = release.turned("deployed", "Upgrade complete")
        await store_release(self._client, deployed)
        await forget_release(self._client, stored)  # KKP keeps a history of one.
        return deployed

    async def _roll_back(self, stored: Release, failed: Release) -> None:
        after = {_identity(found): found for found in failed.manifest}
        for found in stored.manifest:
            await bring_about(self._client, found, previous=after.pop(_identity(found), None))
        await delete_all(self._client, after.values())
        again = replace(stored, revision=failed.revision + 1, last_deployed=now())
        await store_release(self._client, again.turned("deployed", f"Rollback to {stored.revision}"))
        for release in (stored, failed):
            await forget_release(self._client, release)

    def _revision(self, desired: Desired, revision: int, status: str, first_deployed: str = "") -> Release:
        moment = now()
        return Release(
            name=desired.release,
            namespace=desired.namespace,
            revision=revision,
            status=status,
            chart=desired.chart,
            chart_version=desired.chart_version,
            values=desired.values,
            manifest=desired.rendered.objects,
            first_deployed=first_deployed or moment,
            last_deployed=moment,
        )

    async def _check_ownership(self, desired: Desired) -> None:
        """Refuse to take over objects that are there and not marked as this release's."""
        for wanted in desired.rendered.objects:
            live = await find(self._client, wanted)
            if live is not None and not is_being_deleted(live) and not _is_owned(live, desired):
                where = f' in namespace "{namespace_of(live)}"' if namespace_of(live) else ""
                raise HelmFailed(
                    f'Unable to continue with install: {live["kind"]} "{name_of(live)}"{where} exists and cannot be '
                    "imported into the current release: invalid ownership metadata; label validation error: missing "
                    'key "app.kubernetes.io/managed-by": must be set to "Helm"'
                )

    async def _bring_about(self, desired: Desired, before: dict[str, Object]) -> None:
        deadline = self._deadline()
        for found in desired.rendered.objects:
            await self._write(found, before.get(_identity(found)), deadline)
        fault = self._context.faults.for_platform(
            "helm-failure", cluster=self._context.cluster, subject=desired.application
        )
        if fault is not None:
            raise HelmFailed(fault.message or "context deadline exceeded")
        await self._wait(desired.rendered.objects, deadline)
        for hook in desired.rendered.hooks:
            await self._run_hook(hook, self._deadline(), "post-upgrade" if before else "post-install")

    async def _write(self, wanted: Object, previous: Object | None, deadline: float) -> None:
        """Leave the object; one that is still being deleted, or whose namespace is, gets time to be gone.

        Helm would fail at once. With the lab's clock running fast, six such failures take no time at all.
        """
        while True:
            try:
                live = await find(self._client, wanted)
                if live is None or not is_being_deleted(live):
                    await bring_about(self._client, wanted, previous=previous)
                    return
            except ApiError as error:
                if error.code != _FORBIDDEN or "terminat" not in error.message:
                    raise HelmFailed(error.message) from error
            if _time() > deadline:
                raise HelmFailed(f'{wanted["kind"]} "{name_of(wanted)}" is being terminated')
            await self._pause()

    async def _wait(self, objects: Iterable[Object], deadline: float) -> None:
        waiting = [found for found in objects if found["kind"] in WAITED_FOR]
        while waiting:
            live = [(found, await find(self._client, found)) for found in waiting]
            waiting = [found for found, now_live in live if now_live is None or why_not_ready(now_live)]
            if not waiting:
                return
            if _time() > deadline:
                raise HelmFailed("context deadline exceeded")
            await self._pause()

    async def _run_hook(self, job: Object, deadline: float, event: str) -> None:
        await delete_all(self._client, [job])  # hook-delete-policy before-hook-creation, Helm's default
        await self._write(draft(job), None, deadline)
        while True:
            live = await find(self._client, job)
            outcome = job_outcome(live) if live is not None else "complete"
            if outcome == "complete":
                return
            if outcome == "failed" or _time() > deadline:
                cause = f"job {name_of(job)} failed: BackoffLimitExceeded" if outcome else _TIMED_OUT
                raise HelmFailed(f"failed {event}: 1 error occurred:\n\t* {cause}\n\n")
            await self._pause()

    async def _remove(self, objects: list[Object]) -> None:
        """Delete what a failed attempt made and see it gone, the time allowing."""
        await delete_all(self._client, reversed(objects))
        deadline = _time() + _LEAST_WAIT_SECONDS
        left = objects
        while left and _time() < deadline:
            left = [found for found in left if await find(self._client, found) is not None]
            if left:
                await self._pause()

    def _deadline(self) -> float:
        allowed = self._context.clock.real_seconds(self._context.delays.helm_timeout)
        return _time() + max(allowed, _LEAST_WAIT_SECONDS)

    async def _pause(self) -> None:
        poll = self._context.clock.real_seconds(self._context.delays.helm_poll)
        await asyncio.sleep(max(poll, _LEAST_POLL_SECONDS))


def _time() -> float:
    return asyncio.get_running_loop().time()


def _identity(found: Object) -> str:
    return f"{resource_of(found).group_resource} {namespace_of(found)}/{name_of(found)}"


def _is_owned(live: Object, desired: Desired) -> bool:
    return (
        labels_of(live).get("app.kubernetes.io/managed-by") == "Helm"
        and annotations_of(live).get("meta.helm.sh/release-name") == desired.release
        and annotations_of(live).get("meta.helm.sh/release-namespace") == desired.namespace
    )
