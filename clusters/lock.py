"""One migration per cluster: a Lease in the user cluster, renewed while its holder works.

A dead holder's lease expires after `DURATION_SECONDS`. A holder that lost its lease is told by LockLost, before its
next change; it never takes it back silently, for somebody else may have worked on the cluster meanwhile. Kubernetes
takes no fencing token with a request, so the fence is on the holder's side: no change is sent unless the lease was just
seen to be ours, and was prolonged so lately that it outlives the request. Only the server's word is a renewal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from clusters.api import REQUEST_SECONDS, KubeApi
from clusters.kinds import LEASES
from migration.errors import AlreadyExists, Conflict, LockHeld, LockLost, Transient
from migration.journal import NAME, NAMESPACE

DURATION_SECONDS: Final = 60
RENEW_SECONDS: Final = 15
RENEW_TRIES: Final = 3
TAKE_TRIES: Final = 4
RELEASE_TRIES: Final = 4
CONFIRM_SECONDS: Final = 2.0
CONFIRM_TRIES: Final = 3
SAFE_SECONDS: Final = DURATION_SECONDS - REQUEST_SECONDS
"""For how long after a renewal a change may be sent: the request has ended before the lease does."""
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
        """Return if the lock was just seen to be ours, and stays ours for longer than a request lives.

        Raises LockLost, and Transient if that can't be found out or the lease can't be prolonged.
        """
        if self._is_confirmed():
            return
        async with self._confirming:
            for _ in range(CONFIRM_TRIES):
                if self._is_confirmed():
                    return
                await self._confirm()
                # The answer may have taken long, or the machine was suspended meanwhile: only the clock tells.
                if self._outlives_a_request():
                    return
        raise Transient(
            f"{self._user_cluster.where} answers too slowly: nothing is changed before its lock is known to last"
        )

    def _is_confirmed(self) -> bool:
        return _now() - self._confirmed_at < CONFIRM_SECONDS and self._outlives_a_request()

    def _outlives_a_request(self) -> bool:
        return _now() - self._renewed_at < SAFE_SECONDS

    async def _confirm(self) -> None:
        asked_at = _now()
        if asked_at - self._renewed_at > RENEW_SECONDS:
            self._renewed_at = await renew_lock(self._user_cluster, self._holder)
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
        other = await _try(user_cluster, holder)
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


async def renew_lock(user_cluster: KubeApi, holder: str) -> float:
    """Prolong the lock; returns since when it lasts, by the clock of the fence and not by that of the Lease.

    Raises LockLost if `holder` doesn't have it any more, and Transient unless the server says that it was prolonged.
    """
    trouble: Transient | None = None
    for _ in range(RENEW_TRIES):
        found = await user_cluster.find(LEASES, NAME, namespace=NAMESPACE)
        if found is None or _holder_of(found) != holder:
            raise _lost(user_cluster, _run(_holder_of(found)))
        began_at = _now()
        try:
            await user_cluster.replace(LEASES, _held(found, holder, datetime.now(UTC)), namespace=NAMESPACE)
        except Transient as error:
            # A race was lost, or the answer: that the lease names us doesn't say that it was prolonged.
            trouble = error
        else:
            return began_at
    raise Transient(
        f"the lock of {user_cluster.where} could not be renewed in {RENEW_TRIES} tries: {trouble}"
    ) from trouble


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


async def _try(user_cluster: KubeApi, holder: str) -> str | None:
    """Take the lease unless another one has it, or prolong it; returns who holds it instead."""
    found = await user_cluster.find(LEASES, NAME, namespace=NAMESPACE)
    now = datetime.now(UTC)
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
        current = _holder_of(found)
        if current not in ("", holder) and not _has_expired(found["spec"], now):
            return _run(current)
        await user_cluster.replace(LEASES, _held(found, holder, now), namespace=NAMESPACE)
    except (AlreadyExists, Transient):
        # Lost a race, or the answer: whoever reads next sees who holds it now, and since when.
        left = await user_cluster.find(LEASES, NAME, namespace=NAMESPACE)
        if left is None or _holder_of(left) != holder:
            return _run(_holder_of(left))
        if left["spec"].get("renewTime") != _moment(now):
            raise
    return None


def _lost(user_cluster: KubeApi, other: str) -> LockLost:
    return LockLost(
        f"{other} holds the lock of {user_cluster.where}, which this run had: it stops before its next change"
    )


def _holder_of(found: Mapping[str, Any] | None) -> str:
    return str(((found or {}).get("spec") or {}).get("holderIdentity") or "")


def _run(holder: str) -> str:
    return f"run {holder}" if holder else NOBODY


def _held(found: Mapping[str, Any], holder: str, now: datetime) -> dict[str, Any]:
    """Return the lease as `holder` has it from now on."""
    spec, current = found["spec"], _holder_of(found)
    transitions = int(spec.get("leaseTransitions") or 0) + (current != holder)
    mine = _spec(holder, now, transitions=transitions)
    if current == holder:
        mine["acquireTime"] = spec.get("acquireTime") or mine["acquireTime"]
    return {**found, "spec": {**spec, **mine}}


def _moment(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _spec(holder: str, now: datetime, *, transitions: int) -> dict[str, Any]:
    moment = _moment(now)
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
