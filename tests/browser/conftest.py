"""One stack and one person at a browser for all the tests here, and a cluster of its lab for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.resuming.stack import Stack, killable_stack

if TYPE_CHECKING:
    from tests.browser.person import Person

LAB = ("--clusters=5", "--nodes=2", "--pods=16", "--grace-seconds=0", "--speed=200")

# tests/conftest.py says that these are left out; without the package they can't even be imported.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with killable_stack(tmp_path_factory.mktemp("browser"), *LAB) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def person(stack: Stack) -> AsyncIterator[Person]:
    from tests.browser.person import person_at  # noqa: PLC0415 - only where there is a browser

    async with person_at(f"http://127.0.0.1:{stack.port}") as found:
        yield found


@pytest.fixture
def cluster(stack: Stack) -> Iterator[str]:
    """A cluster on Canal; no trouble made for it outlives the test."""
    yield stack.unused.pop()
    stack.lab.clear_faults()
