"""What a step changes on the seed and in the user cluster, noted as it happens. Every changing request passes here.

The recorder reads nothing by itself: what was there before is what the step had read of the object last. It neither
stores (`clusters.evidence` does) nor decides: it lets every answer and every error through as it is.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Protocol

from clusters.kinds import CILIUM_ENDPOINTS, CLUSTERS, CONFIG_MAPS, ENDPOINT_SLICES, LEASES, PODS, SECRETS, Kind
from migration.changes import (
    MOST_DIFFERENCES,
    Difference,
    Outcome,
    RecordedChange,
    Verb,
    differences,
    is_named,
    redacted,
    whole,
    without_server_fields,
)
from migration.errors import Conflict, LockLost, Permanent, Throttled
from migration.journal import NAME, NAMESPACE

MOST_CHANGES: Final = 30_000
"""Of one step; beyond it they are counted only."""
MOST_REMEMBERED: Final = 20_000
LONGEST_MESSAGE: Final = 300
_NOT_REMEMBERED: Final = (PODS, CILIUM_ENDPOINTS, ENDPOINT_SLICES, LEASES)
"""Kinds of which there are as many as workloads: their changes are lines without content."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A changing request that is about to be sent; `before` may name what it changes, if whoever sends it knows."""

    where: str
    verb: Verb
    kind: Kind
    namespace: str = ""
    name: str
    uid: str = ""
    before: Mapping[str, Any] | None = None
    patch: Mapping[str, Any] | None = None
    """The merge patch, to tell what was asked for from what the server or others did besides."""

    @property
    def is_weighty(self) -> bool:
        """Whether it is written down before it is sent, which costs a request: KKP acts on it at once."""
        return self.kind == CLUSTERS


class Answered:
    """Takes the answer to a changing request: the object as it is now, None if there was nothing left to change."""

    def __init__(self) -> None:
        self.after: Mapping[str, Any] | None = {}


class Recorder(Protocol):
    """What a way into a cluster tells of what it reads and changes."""

    def saw(self, where: str, kind: Kind, found: Mapping[str, Any]) -> None:
        """Remember an object as it was read."""

    def changing(self, asked: Asked) -> AbstractAsyncContextManager[Answered]:
        """Return what is entered before the request is sent, takes its answer, and is left afterwards."""


class ChangeRecorder:
    """The changes of one try of a step, in order."""

    def __init__(self, migration_id: str, *, step: str, run: str = "") -> None:
        self.migration_id, self.step, self.run = migration_id, step, run
        self.changes: list[RecordedChange] = []
        self.not_listed = 0
        self.version = 0
        """Grows with every change that is noted, so that whoever stores them knows whether there is news."""
        self.write_ahead: Callable[[], Awaitable[None]] | None = None
        self._seen: dict[tuple[str, str, str, str], Mapping[str, Any]] = {}

    def saw(self, where: str, kind: Kind, found: Mapping[str, Any]) -> None:
        """Remember an object as it was read, as what was there before a change of it."""
        if kind in _NOT_REMEMBERED or len(self._seen) >= MOST_REMEMBERED:
            return
        metadata = found.get("metadata") or {}
        place = (where, kind.group_resource, metadata.get("namespace", ""), metadata.get("name", ""))
        self._seen[place] = {**without_server_fields(found), "version": metadata.get("resourceVersion", "")}

    @asynccontextmanager
    async def changing(self, asked: Asked) -> AsyncIterator[Answered]:
        """Note what comes of the request inside of the block."""
        answered = Answered()
        if _is_bookkeeping(asked):
            yield answered
            return
        at, began = datetime.now(UTC), time.monotonic()
        index = await self._announce(asked, at) if asked.is_weighty else None
        outcome: Outcome | None = "unknown"
        message = "the run ended before the answer"
        try:
            yield answered
            outcome, message = "done" if answered.after is not None else "gone", ""
        except (Conflict, Throttled, LockLost) as error:
            # Nothing was done, and whoever asked asks again: a budget may refuse one eviction a thousand times.
            outcome, message = None if index is None else "refused", str(error)[:LONGEST_MESSAGE]
            raise
        except Permanent as error:
            outcome, message = "refused", str(error)[:LONGEST_MESSAGE]
            raise
        except Exception as error:
            message = str(error)[:LONGEST_MESSAGE]
            raise
        finally:
            if outcome is not None:
                known = self._recorded(asked, at, outcome, message, answered.after)
                self._note(known.model_copy(update={"seconds": round(time.monotonic() - began, 3)}), index)

    async def _announce(self, asked: Asked, at: datetime) -> int | None:
        index = self._note(self._recorded(asked, at, "asked", "", {}), None)
        if index is not None and self.write_ahead is not None:
            await self.write_ahead()
        return index

    def _note(self, change: RecordedChange, index: int | None) -> int | None:
        self.version += 1
        if index is not None:
            self.changes[index] = change
        elif len(self.changes) >= MOST_CHANGES:
            self.not_listed += 1
            return None
        else:
            self.changes.append(change)
        return len(self.changes) - 1

    def _recorded(
        self, asked: Asked, at: datetime, outcome: Outcome, message: str, after: Mapping[str, Any] | None
    ) -> RecordedChange:
        seen = self._seen.get((asked.where, asked.kind.group_resource, asked.namespace, asked.name), {})
        before = asked.before or {key: value for key, value in seen.items() if key != "version"}
        found = self._differences(asked, before, after) if outcome == "done" else ()
        metadata = (after or {}).get("metadata") or {}
        if after and asked.verb in ("patch", "replace") and outcome == "done":
            self.saw(asked.where, asked.kind, {**after, "metadata": {**metadata, "name": asked.name}})
        return RecordedChange(
            at=at,
            step=self.step,
            run=self.run,
            where=asked.where,
            verb=asked.verb,
            kind=asked.kind.group_resource,
            namespace=asked.namespace,
            name=asked.name,
            uid=asked.uid or str(metadata.get("uid", "")),
            outcome=outcome,
            message=message,
            before_version=str(seen.get("version", "")),
            after_version=str(metadata.get("resourceVersion", "")) if asked.verb != "delete" else "",
            differences=tuple(found[:MOST_DIFFERENCES]),
            left_out=max(0, len(found) - MOST_DIFFERENCES),
            note="" if before or asked.verb in ("create", "evict") or asked.kind == PODS else "not read before",
        )

    def _differences(
        self, asked: Asked, before: Mapping[str, Any], after: Mapping[str, Any] | None
    ) -> tuple[Difference, ...]:
        if asked.kind == PODS:
            return ()
        is_secret = asked.kind == SECRETS
        old = redacted(before, is_secret=is_secret)
        if asked.verb == "delete":
            return (whole(old, "remove"),) if before else ()
        new = redacted(without_server_fields(after or {}), is_secret=is_secret)
        if asked.verb == "create":
            return (whole(new, "add"),)
        if not before:
            return (whole(new, "add"),)
        found = tuple(islice(differences(old, new), 10 * MOST_DIFFERENCES))
        patch = asked.patch
        return found if patch is None else tuple(sorted((_told(one, patch) for one in found), key=_besides))


def _told(found: Difference, patch: Mapping[str, Any]) -> Difference:
    return found.model_copy(update={"was_asked": is_named(patch, found.path)})


def _besides(found: Difference) -> bool:
    return not found.was_asked


def _is_bookkeeping(asked: Asked) -> bool:
    """Tell whether it is the project's own: the journal and what it names are evidence themselves."""
    if asked.kind in (CONFIG_MAPS, LEASES):
        return asked.namespace == NAMESPACE and asked.name == NAME
    return asked.kind == SECRETS and asked.name.startswith(f"{NAME}-")
