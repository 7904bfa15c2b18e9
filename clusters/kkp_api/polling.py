"""A Cluster that is followed by asking for it now and then: the REST API has nothing to watch.

Made to look like what `clusters.watching` watches. A few requests a minute, at uneven intervals, so that a hundred runs
don't ask at the same moment.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from clusters.kinds import Kind

POLL_SECONDS: Final = 15.0
FOLLOW_SECONDS: Final = 290.0
"""After which it is read anew, as a watch is: what was missed for whatever reason shows then."""

Look = Callable[[], Awaitable[dict[str, Any] | None]]
"""Returns the Cluster object, None if there is none."""


class PolledCluster:
    """One Cluster, as a list of it and a watch on it."""

    def __init__(self, name: str, look: Look) -> None:
        self._name, self._look = name, look

    async def pages(
        self, _kind: Kind, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[list[Any], str]]:
        """Yield the Cluster, or nothing of it, with what stands for its version."""
        del namespace, labels, fields
        found = await self._look()
        yield ([] if found is None else [found]), _version(found)

    async def watch(
        self, _kind: Kind, *, resource_version: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Any]]:
        """Yield an event whenever another look shows another Cluster, and a bookmark if it shows the same."""
        del namespace, labels, fields
        ends, known = time.monotonic() + FOLLOW_SECONDS, resource_version
        while time.monotonic() < ends:
            await asyncio.sleep(POLL_SECONDS * random.uniform(0.7, 1.3))  # noqa: S311
            found = await self._look()
            if found is None:
                yield "DELETED", {"metadata": {"name": self._name, "resourceVersion": ""}}
            else:
                yield ("BOOKMARK" if _version(found) == known else "MODIFIED"), found
            known = _version(found)


def _version(found: dict[str, Any] | None) -> str:
    return "" if found is None else str(found["metadata"]["resourceVersion"])
