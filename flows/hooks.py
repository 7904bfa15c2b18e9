"""What happens when a run of a migrating flow ends otherwise than well: the same for all of them, in this order."""

from __future__ import annotations

from typing import Any, Final

from prefect.flows import FlowStateHook

from flows.interrupted import explain_interruption
from flows.landing import bring_to_safe_point
from flows.notifying import tell_cancellation, tell_crash, tell_failure

Hooks = list[FlowStateHook[..., Any]]

ON_FAILURE: Final[Hooks] = [tell_failure]
# Whoever tells people comes last: the hook before it puts better words in place of Prefect's.
ON_CRASHED: Final[Hooks] = [explain_interruption, tell_crash]
ON_CANCELLATION: Final[Hooks] = [bring_to_safe_point, tell_cancellation]
