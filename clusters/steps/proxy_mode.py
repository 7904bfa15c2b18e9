"""Seeing a new kube-proxy mode through: what KKP configures must run on every node, restarted where KKP does not.

Source: docs/platform.md 4.7, 5.4, 5.5. Refuses to touch nodes: rules of the old mode stay in their kernels.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Final

from clusters import narrowing
from clusters.kinds import APPLICATION_INSTALLATIONS, CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, Kind
from clusters.seed import OpenedCluster
from clusters.steps.cilium import APPLICATION, NAMESPACE
from clusters.steps.marks import (
    AGENTS,
    CHECKSUM,
    KUBE_PROXY,
    OPERATOR,
    PROXY_MODE,
    has_rolled_since,
    restart_workload,
)
from clusters.steps.result import StepResult, already, confirmed
from clusters.watching import Live, watching, with_faults
from migration.cilium import is_deployed
from migration.journal import Migration
from migration.models import CniType, ProxyMode
from migration.proxy_mode import configured_mode, replaces_kube_proxy

CILIUM_CONFIG: Final = "cilium-config"
ROLL_PATIENCE_SECONDS: Final = 30.0
"""How long KKP, which writes kube-proxy's configuration and DaemonSet one after the other, has for the second."""


async def wait_for_proxy_mode(opened: OpenedCluster, migration: Migration, *, deadline: timedelta) -> StepResult:
    """Return once kube-proxy and Cilium run in the desired mode on every node.

    Whoever is to keep the rules of Services comes first: kube-proxy before Cilium lets go of them, Cilium's agents
    before anybody looks whether kube-proxy is gone.
    """
    mode = migration.desired.proxy_mode
    if not migration.changes_proxy_mode:
        return already(f"kube-proxy mode {mode} stays")
    ends = time.monotonic() + deadline.total_seconds()
    waiting = _ModeWatch(opened, migration, ends=ends)
    on_cilium = migration.desired_cni.type is CniType.CILIUM
    if mode == ProxyMode.EBPF:
        await waiting.until_cilium_runs_with_it()
        await waiting.until_kube_proxy_is_gone()
    else:
        await waiting.until_kube_proxy_runs_with_it()
        if on_cilium and migration.previous_proxy_mode == ProxyMode.EBPF:
            await waiting.until_cilium_runs_with_it()
    return confirmed(f"kube-proxy mode {mode} is in effect on every node")


class _ModeWatch:
    """The waits of one change of mode, each until its own sentence is no longer true."""

    def __init__(self, opened: OpenedCluster, migration: Migration, *, ends: float) -> None:
        self._opened, self._migration, self._ends = opened, migration, ends
        self._mode = migration.desired.proxy_mode

    async def until_kube_proxy_runs_with_it(self) -> None:
        """Return once every kube-proxy has been started with the mode in its configuration."""
        config, proxies = self._raw(CONFIG_MAPS, KUBE_PROXY), self._raw(DAEMON_SETS, KUBE_PROXY)

        def unconfigured() -> str | None:
            found = config.get(KUBE_PROXY, namespace=NAMESPACE)
            mode = "none" if found is None else configured_mode((found.get("data") or {}).get("config.conf", ""))
            if mode == self._mode and proxies.objects:
                return None
            return with_faults(f"KKP to set kube-proxy's mode to {self._mode} (its ConfigMap says {mode})", config)

        await self._wait(unconfigured, config, proxies, what=f"kube-proxy to be configured for {self._mode}")
        await self._have_rolled(DAEMON_SETS, KUBE_PROXY, patience_seconds=await self._patience())

    async def until_kube_proxy_is_gone(self) -> None:
        """Return once KKP has removed kube-proxy, which ebpf needs no more."""
        config, proxies = self._raw(CONFIG_MAPS, KUBE_PROXY), self._raw(DAEMON_SETS, KUBE_PROXY)

        def there() -> str | None:
            left = [live.kind.plural for live in (config, proxies) if live.objects]
            return with_faults(f"KKP to remove kube-proxy ({', '.join(left)})", config, proxies) if left else None

        await self._wait(there, config, proxies, what="kube-proxy to go")

    async def until_cilium_runs_with_it(self) -> None:
        """Return once Cilium's agents and operator were started after their configuration had the mode."""
        config, application = self._raw(CONFIG_MAPS, CILIUM_CONFIG), self._raw(APPLICATION_INSTALLATIONS, APPLICATION)
        wanted = self._mode == ProxyMode.EBPF

        def unconfigured() -> str | None:
            found = config.get(CILIUM_CONFIG, namespace=NAMESPACE)
            value = str(((found or {}).get("data") or {}).get("kube-proxy-replacement", ""))
            if found is None or replaces_kube_proxy(value) is not wanted:
                says = value or "nothing"
                return with_faults(f"ConfigMap {CILIUM_CONFIG} to follow (kube-proxy-replacement is {says})", config)
            installed = application.get(APPLICATION, namespace=NAMESPACE)
            is_settled = installed is None or is_deployed(narrowing.application(installed))
            return None if is_settled else with_faults("Helm to end the upgrade of Cilium", application)

        await self._wait(unconfigured, config, application, what=f"Cilium to be configured for {self._mode}")
        await self._have_rolled(DAEMON_SETS, AGENTS)
        await self._have_rolled(DEPLOYMENTS, OPERATOR)

    async def _patience(self) -> float:
        """Return how long to wait for KKP to roll kube-proxy: before 2.30 it doesn't, and nothing in it tells."""
        found = await self._opened.api.find(DAEMON_SETS, KUBE_PROXY, namespace=NAMESPACE)
        template = ((found or {}).get("spec") or {}).get("template") or {}
        annotations = (template.get("metadata") or {}).get("annotations") or {}
        return ROLL_PATIENCE_SECONDS if CHECKSUM in annotations else 0.0

    async def _have_rolled(self, kind: Kind, name: str, *, patience_seconds: float = 0.0) -> None:
        """Return once pods of a newer template than before the change run; makes them roll if nobody does."""
        live = self._raw(kind, name)
        asked_at = time.monotonic()

        def unmoved() -> str | None:
            found = live.get(name, namespace=NAMESPACE)
            is_due = time.monotonic() - asked_at >= patience_seconds
            moved = found is not None and has_rolled_since(found, self._migration, PROXY_MODE)
            return None if moved or is_due else with_faults(f"KKP to roll {kind.plural} {name}", live)

        await self._wait(unmoved, live, what=f"{name} to be rolled", rejudge_seconds=1.0)
        found = live.get(name, namespace=NAMESPACE)
        if found is None or not has_rolled_since(found, self._migration, PROXY_MODE):
            await restart_workload(self._opened.api, kind, name, self._migration.id, reason=PROXY_MODE)
        rollout = Live(self._opened.api, kind, narrowing.rollout, namespace=NAMESPACE, fields=f"metadata.name={name}")

        def rolling() -> str | None:
            now = rollout.get(name, namespace=NAMESPACE)
            if now is not None and now.is_rolled_out:
                return None
            progress = "absent" if now is None else f"{now.updated} of {now.desired} pods are new, {now.ready} ready"
            return with_faults(f"the rollout of {kind.plural} {name}: {progress}", rollout)

        await self._wait(rolling, rollout, what=f"{name} to be rolled out")

    def _raw(self, kind: Kind, name: str) -> Live[Any]:
        fields = f"metadata.name={name}"
        return Live(self._opened.api, kind, lambda found: found, namespace=NAMESPACE, fields=fields)

    async def _wait(self, missing: Any, *lives: Live[Any], what: str, rejudge_seconds: float | None = None) -> None:
        left = timedelta(seconds=max(0.0, self._ends - time.monotonic()))
        async with watching(*lives) as view:
            await view.until(
                missing,
                what=what,
                deadline=left,
                tell=self._opened.tell,
                advice="Nothing is undone by this: mend the cause and start the flow again, it goes on from here.",
                rejudge_seconds=rejudge_seconds,
            )
