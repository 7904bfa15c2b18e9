"""A settled Canal cluster under KKP's controllers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.lab.kkp.harness import Platform, running_platform


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with running_platform() as found:
        await found.until(found.is_settled)
        yield found
