"""What Helm owned of Cilium and should have uninstalled: waited for, and removed by hand if it stays.

KKP lets the ApplicationInstallation go even when Helm failed to uninstall (docs/platform.md 4.6).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from clusters.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    SERVICES,
    Kind,
)
from clusters.seed import OpenedCluster
from clusters.steps.cilium import NAMESPACE, RELEASE
from clusters.watching import Live, watching, with_faults
from migration.errors import Conflict
from migration.text import listing

# Chart 1.19.4. What is in the namespace of secrets goes with it.
OWNED_KINDS: Final = (
    DAEMON_SETS,
    DEPLOYMENTS,
    CRON_JOBS,
    JOBS,
    SERVICES,
    CONFIG_MAPS,
    ROLE_BINDINGS,
    ROLES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    SERVICE_ACCOUNTS,
    NAMESPACES,
)
HELM: Final = "app.kubernetes.io/managed-by=Helm"
# Chart value tlsInterception.secretsNamespace, 1.14 and newer; the operator keeps copies of Secrets there.
SECRETS_NAMESPACE: Final = "cilium-secrets"
# Hooks belong to no release: Helm forgets them (docs/platform.md 6.3).
HOOK_JOB: Final = "hubble-generate-certs"
_CILIUM_PODS: Final = "app.kubernetes.io/part-of=cilium"
PATIENCE_SECONDS: Final = 60.0
"""How long Helm's deletions, which nobody waits for, may need to begin."""


@dataclass(frozen=True)
class _Owned:
    """An object, as far as it matters here: whether it is the release's, and already about to go."""

    name: str
    uid: str
    is_ours: bool
    deleting: bool


async def remove_leftovers(opened: OpenedCluster, *, deadline: timedelta) -> int:
    """Leave no object of Cilium's Helm release, and none of its pods; returns how many had to be removed here."""
    lives = [_live(opened, kind) for kind in OWNED_KINDS]
    pods = Live(opened.api, PODS, lambda item: item["metadata"]["name"], namespace=NAMESPACE, labels=_CILIUM_PODS)
    started, removed = time.monotonic(), 0

    def of_helm() -> list[str]:
        return [f"{live.kind.plural} {item.name}" for live in lives for item in live.values() if item.is_ours]

    def uninstalling() -> str | None:
        left = of_helm()
        begun = not any(item.is_ours and not item.deleting for live in lives for item in live.values())
        if begun or not left or time.monotonic() - started > PATIENCE_SECONDS:
            return None
        return with_faults(f"Helm to delete {listing(left)}", *lives)

    def going() -> str | None:
        left = [*of_helm(), *(f"pod {name}" for name in pods.values())]
        return with_faults(f"{len(left)} objects of Cilium to go ({listing(left)})", *lives, pods) if left else None

    async with watching(*lives, pods) as view:
        await view.until(
            uninstalling, what="Helm's uninstallation", deadline=deadline, tell=opened.tell, rejudge_seconds=5
        )
        for live in lives:
            removed += await _remove(opened, live.kind, live.values())
        await view.until(
            going,
            what="Cilium's objects to go",
            deadline=deadline,
            tell=opened.tell,
            advice="Something keeps or re-creates them: look at their finalizers and at the cluster's applications.",
        )
    return removed


def _live(opened: OpenedCluster, kind: Kind) -> Live[_Owned]:
    # The hook's Job carries no label of Helm's.
    labels = "" if kind is JOBS else HELM
    fields = f"metadata.name={SECRETS_NAMESPACE}" if kind is NAMESPACES else ""
    namespace = NAMESPACE if kind.namespaced else ""
    return Live(opened.api, kind, _owned, namespace=namespace, labels=labels, fields=fields)


def _owned(found: Any) -> _Owned:
    metadata = found["metadata"]
    release = (metadata.get("annotations") or {}).get("meta.helm.sh/release-name")
    is_hook = metadata["name"] == HOOK_JOB and metadata.get("namespace") == NAMESPACE
    return _Owned(metadata["name"], metadata["uid"], release == RELEASE or is_hook, "deletionTimestamp" in metadata)


async def _remove(opened: OpenedCluster, kind: Kind, items: Iterable[_Owned]) -> int:
    removed = 0
    for item in items:
        if not item.is_ours or item.deleting:
            continue
        try:
            namespace = NAMESPACE if kind.namespaced else ""
            removed += await opened.api.delete(kind, item.name, namespace=namespace, uid=item.uid)
        except Conflict:
            continue  # replaced by somebody since: the wait that follows shows whether that is Cilium again
    return removed
