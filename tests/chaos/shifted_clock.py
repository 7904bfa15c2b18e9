"""A run's clock on the wall that is put forward at will. Waits for a window take no time: they put it forward as well."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

from flows import safe_points
from tasks import clock
from tests.chaos.strikes import Orders

_sleep_until: Final = clock.sleep_until


class ShiftedClock:
    """The clock as this process sees it; as long as nobody puts it forward, it is the real one."""

    def __init__(self, orders: Orders) -> None:
        self._ahead = timedelta(hours=orders.hours)
        self._is_real = not orders.hours
        self._is_deadly = False
        self._waits = Path(f"{orders.result}.waits")

    def now(self) -> datetime:
        """Return what the clock shows."""
        return datetime.now(UTC) + self._ahead

    def put_forward(self, hours: float, *, deadly: bool) -> None:
        """Have the clock jump; whoever then waits for a window is killed if that is asked for."""
        self._ahead += timedelta(hours=hours)
        self._is_real, self._is_deadly = False, deadly

    async def sleep_until(self, moment: datetime) -> None:
        """Have it be this moment."""
        if self._is_deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._is_real:
            await _sleep_until(moment)
        else:
            self._ahead += max(moment - self.now(), timedelta())

    def put_around(self) -> None:
        """Have this process go by this clock from now on, and keep what it says when it has to wait."""
        clock.now, clock.sleep_until = self.now, self.sleep_until
        putting_off = vars(safe_points)["put_off"]

        async def put_off(state_name: str, *, until: datetime, message: str) -> NoReturn:
            with self._waits.open("a") as file:
                file.write(f"{state_name}: {message}\n")
            await putting_off(state_name, until=until, message=message)
            raise AssertionError("a run that is put off goes no further")

        vars(safe_points)["put_off"] = put_off
