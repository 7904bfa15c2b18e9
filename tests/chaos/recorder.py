"""Records what each scenario asks for when nothing troubles it. To be done again when a flow asks for something else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tests.chaos.recording import recorded
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.trial import GOOD

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.chaos.campaign import Campaign


async def record(fought: Campaign, flows: Collection[str]) -> dict[str, Any]:
    """Return for each scenario its requests, steps, events and changes; those of other flows stay as they are known."""
    found: dict[str, Any] = {}
    for scenario in SCENARIOS:
        if scenario.flow not in flows:
            found[scenario.name] = recorded(scenario.name)
            continue
        end = await fought.fronts[0].record(scenario)
        if end.outcome not in GOOD:
            raise RuntimeError(f"{scenario.name} without any trouble ended as {end.outcome}: {end.error} {end.message}")
        found[scenario.name] = end.recorded
        sys.stderr.write(f"{scenario.name}: {len(end.recorded['requests'])} requests\n")
    return found
