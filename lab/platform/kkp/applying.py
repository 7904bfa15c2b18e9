"""Making live objects look like desired ones, as `kubectl apply` and Helm do. Refuses to know what they are for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from lab.errors import ApiError
from lab.objects import Object, draft, name_of, namespace_of
from lab.platform.client import Client
from lab.platform.kkp.rendering import resource_of
from lab.platform.runtime import ignoring

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NOT_FOUND = 404


async def find(client: Client, wanted: Object) -> Object | None:
    """Return the live object with the type and name of `wanted`, if there is one."""
    try:
        return await client.get(resource_of(wanted), name_of(wanted), namespace=namespace_of(wanted))
    except ApiError as error:
        if error.code == _NOT_FOUND:
            return None
        raise


async def bring_about(client: Client, desired: Object, *, previous: Object | None = None) -> bool:
    """Leave an object that has all of `desired`, without what only `previous` had; tells whether it wrote anything."""
    live = await find(client, desired)
    if live is None:
        await client.create(resource_of(desired), draft(desired))
        return True
    wanted = overlaid(live, desired, previous)
    if wanted == live:
        return False
    await client.update(resource_of(desired), wanted)
    return True


class KubectlApply:
    """Applies objects one by one as kubectl does, their configuration kept in an annotation.

    It remembers in which version an object was as it is to be: a routine look at a hundred clusters costs little.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._as_wanted: dict[tuple[str, str, str], tuple[str, str]] = {}

    async def __call__(self, objects: Iterable[Object]) -> None:
        """Leave these objects as they are to be."""
        for plain in objects:
            await self._apply(plain, orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode() + "\n")

    async def _apply(self, plain: Object, text: str) -> None:
        key = plain["kind"], namespace_of(plain), name_of(plain)
        live = await find(self._client, plain)
        if live is not None and self._as_wanted.get(key) == (live["metadata"]["resourceVersion"], text):
            return
        desired = overlaid(plain, {"metadata": {"annotations": {LAST_APPLIED: text}}})
        held = ((live or {}).get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
        if not await bring_about(self._client, desired, previous=orjson.loads(held) if held else None) and live:
            self._as_wanted[key] = live["metadata"]["resourceVersion"], text


async def delete_all(client: Client, objects: Iterable[Object]) -> None:
    """Begin to delete these objects; those that are gone already are passed over."""
    for found in objects:
        with ignoring(_NOT_FOUND):
            await client.delete(resource_of(found), name_of(found), namespace=namespace_of(found))


def overlaid(live: Any, desired: Any, previous: Any = None) -> Any:
    """Return `live` with `desired` on top: a three-way merge.

    Mappings are merged key by key and lose the keys that `previous` had and `desired` has not. Lists of the same
    length are merged item by item, so that the server's defaults in them stay; others are replaced.
    """
    if isinstance(live, dict) and isinstance(desired, dict):
        before = previous if isinstance(previous, dict) else {}
        kept = {key: value for key, value in live.items() if key in desired or key not in before}
        return kept | {key: overlaid(live.get(key), value, before.get(key)) for key, value in desired.items()}
    if isinstance(live, list) and isinstance(desired, list) and len(live) == len(desired):
        return [overlaid(one, other) for one, other in zip(live, desired, strict=True)]
    return desired
