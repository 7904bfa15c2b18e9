"""Events, written so that a repeated one is counted up instead of piling up. Refuses to decide what is worth one."""

from __future__ import annotations

import hashlib

from lab.errors import ApiError
from lab.objects import Object, name_of, namespace_of, timestamp, uid_of
from lab.platform.client import Client
from lab.resources import EVENTS

_CONFLICT = 409


async def record_event(client: Client, about: Object, *, source: str, reason: str, message: str) -> None:
    """Leave a Warning about an object; a cluster-scoped object's lies in namespace default."""
    namespace = namespace_of(about) or "default"
    digest = hashlib.sha256(f"{uid_of(about)}{reason}{message}".encode()).hexdigest()[:16]
    name = f"{name_of(about)}.{digest}"
    event = _event(about, source, reason, message)
    try:
        await client.create(EVENTS, {"metadata": {"name": name, "namespace": namespace}, **event})
    except ApiError as error:
        if error.code != _CONFLICT:
            return  # An event is best effort: losing one must not stop a reconcile.
        held = await client.get(EVENTS, name, namespace=namespace)
        patch = {"count": held.get("count", 1) + 1, "lastTimestamp": timestamp()}
        await client.patch(EVENTS, name, patch, namespace=namespace)


def _event(about: Object, source: str, reason: str, message: str) -> Object:
    now = timestamp()
    involved = {"apiVersion": about["apiVersion"], "kind": about["kind"], "name": name_of(about), "uid": uid_of(about)}
    if namespace_of(about):
        involved["namespace"] = namespace_of(about)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": involved,
        "type": "Warning",
        "reason": reason,
        "message": message,
        "action": "Reconciling",
        "source": {"component": source},
        "reportingComponent": source,
        "reportingInstance": source,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
