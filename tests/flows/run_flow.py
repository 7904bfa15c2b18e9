"""One migration in a process of its own, for tests that kill it: `python -m tests.flows.run_flow CLUSTER`."""

from __future__ import annotations

import asyncio
import sys

from flows.canal_to_cilium import canal_to_cilium

if __name__ == "__main__":
    asyncio.run(canal_to_cilium(seed="lab", cluster=sys.argv[1]))
