"""What a controller has done and not yet seen in its mirror, so that it never acts twice on an old view.

The same idea as UIDTrackingControllerExpectations in Kubernetes (pkg/controller/controller_utils.go). Refuses to act.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lab.objects import is_being_deleted, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.platform.runtime import Change

PATIENCE_SECONDS = 5.0
"""Real seconds after which something expected counts as lost."""


@dataclass(frozen=True)
class _Expected:
    owner: str
    what: Literal["creation", "deletion"]
    deadline: float


class Expectations:
    """Creations and deletions under way, by the key of the object and by the key of its owner."""

    def __init__(self) -> None:
        self._items: dict[str, _Expected] = {}
        self._by_owner: dict[str, set[str]] = defaultdict(set)

    def expect(self, owner: str, what: Literal["creation", "deletion"], items: Iterable[str]) -> None:
        """Make the owner unmet until each of these keys has been seen, or `forget` or the patience drops it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for item in items:
            self._items[item] = _Expected(owner, what, deadline)
            self._by_owner[owner].add(item)

    def are_met(self, owner: str) -> bool:
        """Tell whether the mirror shows all that was done for this owner."""
        awaited = self._by_owner.get(owner)
        if not awaited:
            return True
        now = time.monotonic()
        for item in [item for item in awaited if self._items[item].deadline < now]:
            self.forget(item)
        return owner not in self._by_owner

    def observe(self, change: Change) -> None:
        """Take what the change fulfils off the list."""
        if not self._items:
            return
        key = key_of(change.object)
        expected = self._items.get(key)
        if expected is None:
            return
        if expected.what == "creation" or change.type == "DELETED" or is_being_deleted(change.object):
            self.forget(key)

    def forget(self, item: str) -> None:
        """Expect nothing of this key any more."""
        expected = self._items.pop(item, None)
        if expected is not None:
            awaited = self._by_owner[expected.owner]
            awaited.discard(item)
            if not awaited:
                del self._by_owner[expected.owner]
