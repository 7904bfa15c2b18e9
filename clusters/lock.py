"""One migration per cluster: a Lease in the user cluster, renewed while its holder works.

A dead holder's lease expires after `DURATION_SECONDS`. A holder that lost its lease is told by LockLost, before its
next change; it never takes it back silently, for somebody else may have worked on the cluster meanwhile. Kubernetes
takes no fencing token with a request, so the fence is on the holder's side: no change is sent more than
`CONFIRM_SECONDS` after the lease was last seen to be ours, and a lease lives longer than any request does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from clusters.api import KubeApi
from clusters.kinds import LEASES
from migration.errors import AlreadyExists, Conflict, LockHeld, LockLost, Transient
from migration.journal import NAME, NAMESPACE

DURATION_SECONDS: Final = 60
RENEW_SECONDS: Final = 15
TAKE_TRIES: Final = 4
RELEASE_TRIES: Final = 4
CONFIRM_SECONDS: Final = 2.0
NOBODY: Final = "nobody"


class LockFence:
    """Lets changes through for as long as `holder` has the cluster's lock, which it prolongs in passing.

    A process that was stopped, or a machine that was suspended, asks again when it wakes: the clock counts both.
    """

    def __init__(self, user_cluster: KubeApi, holder: str) -> None:
        self._user_cluster, self._holder = user_cluster, holder
        self._confirmed_at = self._renewed_at = float("-inf")
        self._confirming = asyncio.Lock()

    async def __call__(self) -> None:
        """Return if the lock was ours a moment ago. Raises LockLost, and Transient if that can't be found out."""
        if _now() - self._confirmed_at < CONFIRM_SECONDS:
            return
        async with self._confirming:
            asked_at = _now()
            if asked_at - self._confirmed_at < CONFIRM_SECONDS:
                return
            if asked_at - self._renewed_at > RENEW_SECONDS:
                await renew_lock(self._user_cluster, self._holder)
                self._renewed_at = asked_at
            else:
                await confirm_lock(self._user_cluster, self._holder)
            self._confirmed_at = asked_at


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def try_lock(user_cluster: KubeApi, holder: str) -> str | None:
    """Hold the cluster's lock as `holder` unless another one does, which is returned.

    Raises Conflict if the lease changes faster than it can be taken, though nobody keeps it.
    """
    for _ in range(TAKE_TRIES):
        other = await _try(user_cluster, holder, may_take=True)
        if other != NOBODY:
            return other
    raise Conflict(f"the lock of {user_cluster.where} could not be taken in {TAKE_TRIES} tries, though nobody has it")


def still_held(where: object, other: str, *, waited: timedelta) -> LockHeld:
    """Return what to raise when another run did not end in time."""
    return LockHeld(
        f"{other} has the lock of {where} and didn't end within {waited}. Nothing was changed. "
        f"If that run is dead, its lease expires {DURATION_SECONDS} s after its last sign of life: try again"
    )


async def who_holds(user_cluster: KubeApi) -> str | None:
    """Return who has the cluster's lock, None if it is free or has expired."""
    found = await user_cluster.find(LEASES, NAME, namespace=NAMESPACE)
    holder = _holder_of(found)
    is_free = found is None or not holder or _has_expired(found["spec"], datetime.now(UTC))
    return None if is_free else _run(holder)


async def renew_lock(user_cluster: KubeApi, holder: str) -> None:
    """Prolong the lock. Raises LockLost if `holder` doesn't have it any more."""
    other = await _try(user_cluster, holder, may_take=False)
    if other is not None:
        raise _lost(user_cluster, other)


async def confirm_lock(user_cluster: KubeApi, holder: str) -> None:
    """Look whether `holder` has the lock. Raises LockLost if it doesn't any more."""
    current = _holder_of(await user_cluster.find(LEASES, NAME, namespace=NAMESPACE))
    if current != holder:
        raise _lost(user_cluster, _run(current))


async def release_lock(user_cluster: KubeApi, holder: str) -> None:
    """Free the lock if `holder` has it. Raises Conflict if the lease changes faster than it can be freed."""
    for attempt in range(RELEASE_TRIES):
        found = await user_cluster.find(LEASES, NAME, namespace=NAMESPACE)
        if found is None or _holder_of(found) != holder:
            return
        patch = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "spec": {"holderIdentity": ""}}
        try:
            await user_cluster.patch(LEASES, NAME, patch, namespace=NAMESPACE)
        except Conflict:
            # Taken over since it was read, or prolonged by a renewal that was broken off: reading again tells.
            if attempt == RELEASE_TRIES - 1:
                raise
        else:
            return


async def _try(user_cluster: KubeApi, holder: str, *, may_take: bool) -> str | None:
    """Prolong the lease, or take it if that is allowed and nobody else has it; returns who holds it instead."""
    found = await user_cluster.find(LEASES, NAME, namespace=NAMESPACE)
    now = datetime.now(UTC)
    if not may_take and _holder_of(found) != holder:
        return _run(_holder_of(found))
    try:
        if found is None:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": NAME, "namespace": NAMESPACE},
                "spec": _spec(holder, now, transitions=0),
            }
            await user_cluster.create(LEASES, body, namespace=NAMESPACE)
            return None
        spec = found["spec"]
        current = _holder_of(found)
        if current not in ("", holder) and not _has_expired(spec, now):
            return _run(current)
        transitions = int(spec.get("leaseTransitions") or 0) + (current != holder)
        update = {**found, "spec": {**spec, **_spec(holder, now, transitions=transitions)}}
        if current == holder:
            update["spec"]["acquireTime"] = spec.get("acquireTime") or update["spec"]["acquireTime"]
        await user_cluster.replace(LEASES, update, namespace=NAMESPACE)
    except (AlreadyExists, Transient):
        # Lost a race, or the answer: whoever reads next sees who holds it now.
        current = _holder_of(await user_cluster.find(LEASES, NAME, namespace=NAMESPACE))
        return None if current == holder else _run(current)
    return None


def _lost(user_cluster: KubeApi, other: str) -> LockLost:
    return LockLost(
        f"{other} holds the lock of {user_cluster.where}, which this run had: it stops before its next change"
    )


def _holder_of(found: Mapping[str, Any] | None) -> str:
    return str(((found or {}).get("spec") or {}).get("holderIdentity") or "")


def _run(holder: str) -> str:
    return f"run {holder}" if holder else NOBODY


def _spec(holder: str, now: datetime, *, transitions: int) -> dict[str, Any]:
    moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": DURATION_SECONDS,
        "acquireTime": moment,
        "renewTime": moment,
        "leaseTransitions": transitions,
    }


def _has_expired(spec: Mapping[str, Any], now: datetime) -> bool:
    renewed = spec.get("renewTime")
    if not renewed:
        return True
    last = datetime.fromisoformat(str(renewed))
    return now - last > timedelta(seconds=int(spec.get("leaseDurationSeconds") or DURATION_SECONDS))
