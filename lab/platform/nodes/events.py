"""Events as the kubelet writes them: one object per thing that goes wrong, counting how often."""

from __future__ import annotations

from lab.objects import Object, name_of, namespace_of, timestamp, uid_of
from lab.platform.client import Client
from lab.platform.runtime import ignoring
from lab.resources import EVENTS


class PodTrouble:
    """Warnings about one pod. A repeated one counts in the same Event.

    Counts are written at powers of two only, which stands for the spam filter of client-go's recorder.
    """

    def __init__(self, client: Client, pod: Object, *, host: str) -> None:
        self._client = client
        self._pod = pod
        self._host = host
        self._counts: dict[tuple[str, str], int] = {}

    async def warn(self, reason: str, message: str) -> None:
        """Have an Event of type Warning tell it. Passes over a namespace that is gone or going."""
        count = self._counts[reason, message] = self._counts.get((reason, message), 0) + 1
        if count & (count - 1):
            return
        number = list(self._counts).index((reason, message))
        name = f"{name_of(self._pod)}.{uid_of(self._pod).replace('-', '')[:12]}{number:04x}"
        namespace = namespace_of(self._pod)
        with ignoring(403, 404, 409):
            if count == 1:
                await self._client.create(EVENTS, self._first(name, reason, message), namespace=namespace)
            else:
                again = {"count": count, "lastTimestamp": timestamp()}
                await self._client.patch(EVENTS, name, again, namespace=namespace)

    def _first(self, name: str, reason: str, message: str) -> Object:
        now = timestamp()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace_of(self._pod)},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": name_of(self._pod),
                "namespace": namespace_of(self._pod),
                "uid": uid_of(self._pod),
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "eventTime": None,
            "source": {"component": "kubelet", "host": self._host},
            "reportingComponent": "kubelet",
            "reportingInstance": self._host,
        }
