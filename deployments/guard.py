"""Ends what a killed parent leaves behind: `python -m deployments.guard`, with process groups on its standard input.

`+123` puts process group 123 under guard, `-123` takes it off. When the input ends, which it does however the parent
ends, the groups still under guard are asked to end, and killed a little later. Nothing else is ever signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 5.0


def main() -> None:
    """Guard until the input ends."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    if groups:
        _signal(groups, signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        _signal(groups, signal.SIGKILL)


def _signal(groups: set[int], number: int) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


if __name__ == "__main__":
    main()
