"""Print an artifact of a flow as it was written: `python -m deployments.artifact migration-report-hv2c7xk9tl`.

The newest one of its key, from the Prefect server of PREFECT_API_URL. Changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.exceptions import PrefectHTTPStatusError

from migration.errors import InvalidRequest
from migration.text import listing

OURS: Final = ("migration-%", "readiness-%", "fleet-%", "interrupted-runs")


def main(arguments: list[str] | None = None) -> int:
    """Print what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.artifact", description=__doc__)
    parser.add_argument("key", help="as migration-report-<cluster>, migration-failure-<cluster> or readiness-<cluster>")
    chosen = parser.parse_args(arguments)
    try:
        sys.stdout.write(f"{asyncio.run(newest(chosen.key)).rstrip()}\n")
    except InvalidRequest as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def newest(key: str) -> str:
    """Return the text of the newest artifact of a key. Raises InvalidRequest if there is none, or no server."""
    async with get_client() as client:
        try:
            found = await _latest(client, ArtifactCollectionFilterKey(any_=[key]))
            if found:
                return next(iter(found.values()))
            known = sorted([each for like in OURS for each in await _latest(client, _like(like))])
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise InvalidRequest(
                f"{_address(client)} gives no answer ({str(error) or type(error).__name__}): set PREFECT_API_URL to "
                "your Prefect server's API"
            ) from error
    raise InvalidRequest(
        f"{_address(client)} has no artifact {key!r}. Those of this project: {listing(known) or 'none'}"
    )


def _address(client: PrefectClient) -> str:
    return str(client.api_url).rstrip("/")


def _like(pattern: str) -> ArtifactCollectionFilterKey:
    return ArtifactCollectionFilterKey(like_=pattern)


async def _latest(client: PrefectClient, key: ArtifactCollectionFilterKey) -> dict[str, str]:
    """Return the text of the latest artifact of each key that fits."""
    found = await client.read_latest_artifacts(artifact_filter=ArtifactCollectionFilter(key=key))
    return {str(each.key): str(each.data) for each in found}


if __name__ == "__main__":
    sys.exit(main())
