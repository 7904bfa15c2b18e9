"""The types of block that connections are made of, and the block that says where results lie, on the Prefect server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from prefect.blocks.core import Block
from prefect.exceptions import ObjectNotFound
from prefect.filesystems import RemoteFileSystem

from deployments.outcomes import NotApplied, Outcome, What
from tasks.blocks import KkpApi, KkpSeed

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

CONNECTIONS: Final[tuple[type[Block], ...]] = (KkpSeed, KkpApi)
"""The types of block that name a seed or a KKP API."""

RESULTS: Final = "cni-migration-results"
RESULTS_SLUG: Final = f"remote-file-system/{RESULTS}"
"""What PREFECT_DEFAULT_RESULT_STORAGE_BLOCK of the workers has to be."""


async def ensure_type(client: PrefectClient, wanted: type[Block]) -> Outcome:
    """Leave this type of block, with the fields that it has here, on the server."""
    name = wanted.get_block_type_slug()
    before = await _type_on(client, wanted)
    await cast("Any", wanted.register_type_and_schema(client=client))
    after = await _type_on(client, wanted)
    if before == (None, False):
        return Outcome("block type", name, What.CREATED)
    return Outcome("block type", name, What.UNCHANGED if before == after else What.CHANGED)


async def ensure_results(client: PrefectClient, url: str) -> Outcome:
    """Leave the block that says where results lie. Raises NotApplied if it says another place: nobody moves results."""
    try:
        found = await client.read_block_document_by_name(RESULTS, "remote-file-system")
    except ObjectNotFound:
        await cast("Any", RemoteFileSystem(basepath=url).asave(RESULTS, client=client))
        hint = f"give it to the workers: PREFECT_DEFAULT_RESULT_STORAGE_BLOCK={RESULTS_SLUG}"
        return Outcome("block", RESULTS_SLUG, What.CREATED, (hint,))
    there = str(found.data["basepath"])
    if there != url:
        raise NotApplied(
            f"the block {RESULTS_SLUG} says {there}, not {url}. Migrations that have begun find their checkpoints only "
            f"where they lie: finish them, or copy what is there, then change the block in the UI"
        )
    return Outcome("block", RESULTS_SLUG, What.UNCHANGED)


async def _type_on(client: PrefectClient, wanted: type[Block]) -> tuple[dict[str, Any] | None, bool]:
    """Return the type as the server has it, and whether it has the type's fields as they are here."""
    try:
        found = await client.read_block_type_by_slug(wanted.get_block_type_slug())
        await client.read_block_schema_by_checksum(wanted._calculate_schema_checksum())  # noqa: SLF001 - no other way
    except ObjectNotFound as error:
        missing_type = "block_types/slug" in str(error.http_exc)  # else the schema is missing
        return (None, False) if missing_type else ({}, False)
    return found.model_dump(mode="json", exclude={"id", "created", "updated"}), True
