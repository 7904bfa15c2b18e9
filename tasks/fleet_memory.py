"""What a roll-out keeps beside its run, where it goes when the run's record goes, and not before: as its inputs."""

from __future__ import annotations

from uuid import UUID

import httpx
from prefect.client.orchestration import get_client

from tasks.patience import patiently


async def recalled(run_id: str, key: str) -> str | None:
    """Return what a run keeps under this key; None if it keeps nothing."""

    async def ask() -> str | None:
        async with get_client() as client:
            try:
                return await client.read_flow_run_input(UUID(run_id), key)
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.NOT_FOUND:
                    return None
                raise

    return await patiently(ask)


async def keep(run_id: str, key: str, text: str) -> bool:
    """Leave a text kept under this key; False if there is one already, which stays.

    So it is as well if an answer was lost on its way here, or if the run's former process lives on.
    """

    async def tell() -> None:
        async with get_client() as client:
            await client.create_flow_run_input(UUID(run_id), key, text)

    try:
        await patiently(tell)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.CONFLICT:
            raise
        return False
    return True


async def keep_instead(run_id: str, key: str, text: str) -> None:
    """Leave a text kept under this key, in the place of what there was."""

    async def forget() -> None:
        async with get_client() as client:
            try:
                await client.delete_flow_run_input(UUID(run_id), key)
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.NOT_FOUND:
                    raise

    await patiently(forget)
    await keep(run_id, key, text)
