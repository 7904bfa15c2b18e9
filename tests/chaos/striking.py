"""Strikes a run from inside of its own process. The product is wrapped from outside, and has no branch for it.

What steps there are, a run's tasks tell by their names; where a run is within one, its requests tell.
"""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import re
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import prefect

import tasks
from clusters.api import KubeApi
from clusters.kkp_api.client import KkpApi
from lab.control import BadInput
from lab.directory import NoLabRuns
from lab.remote import RemoteLab
from tasks import policy
from tests.chaos.patterns import SHARED_STEPS, changes_something, is_counted, pattern_of, step_name, step_of
from tests.chaos.shifted_clock import ShiftedClock
from tests.chaos.strikes import LATE, STRUCK, Kind, Met, Moment, Orders, Strike

_SERVERS: Final = {"seed ": "seed", "KKP API ": "kkp"}
"""How messages of the product name servers; all others are user clusters'."""


def nothing() -> None:
    """Strike nobody."""


@dataclass
class Armed:
    """A strike that has not yet come."""

    strike: Strike
    met: int = 0
    """How many of the requests that count have come."""
    over: bool = False


class Striker:
    """Follows a run through its steps and requests, and does what it was told at the place it was told."""

    def __init__(self, orders: Orders, struck: Callable[[Met], None]) -> None:
        self._armed = [Armed(strike) for strike in orders.strikes]
        self._cluster = orders.cluster
        self._directory = orders.lab
        self._tell = struck
        self._step = ""
        self._acting = False
        self._asked = 0
        """How many requests and watch events the step has seen by now."""
        self.clock = ShiftedClock(orders)
        self.steps: Counter[str] = Counter()
        """How often each step was begun, in the order of their first time."""
        self.seen: Counter[tuple[str, str, str, str, bool]] = Counter()
        """Requests by step, server, method, pattern, and whether it was a watch."""
        self.events: Counter[str] = Counter()
        """Requests and watch events by step, until it had done its work."""
        self.changes: Counter[str] = Counter()
        """Requests that change something, by step, until it had done its work."""

    @functools.cached_property
    def _lab(self) -> RemoteLab:
        return RemoteLab(self._directory)

    def enter(self, step: str) -> None:
        """Note that a step begins."""
        self._step, self._acting, self._asked = step, True, 0
        self.steps[step] += 1
        for armed in self._of("kill"):
            armed.met = 0
        self._at("before")
        for armed in self._of("platform"):
            self._trouble_platform(armed)
        for armed in self._of("clock"):
            armed.over = True
            self._tell(STRUCK)
            self.clock.put_forward(armed.strike.hours, deadly=armed.strike.then_killed)

    def leave(self) -> None:
        """Note that a step has returned."""
        self._too_late()
        self._at("before the record", "after")
        self._step, self._acting = "", False

    def acted(self) -> None:
        """Note that a step has done its work, and is about to have it recorded."""
        self._too_late()
        self._at("before the record")
        self._acting = False

    def asking(self, where: str, method: str, path: str, *, watch: bool) -> Callable[[], None]:
        """Note a request that is about to be sent; returns what is to be done when it was answered."""
        server = next((name for sign, name in _SERVERS.items() if where.startswith(sign)), "cluster")
        step, changing = step_of(self._step, path), changes_something(method, path)
        self.seen[step, server, method, pattern_of(method, path, cluster=self._cluster), watch] += 1
        self._meet_request(step, server, method, path, watch=watch)
        if not is_counted(path) or not self._acting:
            return nothing
        self._asked += 1
        self.events[step] += 1
        self.changes[step] += changing
        return self._meet_kill(changing=changing)

    def event(self) -> None:
        """Note an event of a watch."""
        if self._acting:
            self._asked += 1
            self.events[self._step] += 1
            self._meet_kill(changing=False)()

    def _of(self, kind: Kind) -> Iterator[Armed]:
        for armed in self._armed:
            strike = armed.strike
            is_now = (strike.step, strike.turn) == (self._step, self.steps[self._step])
            if strike.kind == kind and is_now and not armed.over:
                yield armed

    def _at(self, *moments: Moment) -> None:
        for armed in self._of("kill"):
            if armed.strike.moment in moments:
                self._kill()

    def _too_late(self) -> None:
        """Have a kill that found too few of its requests in the step come at its end, and say so.

        One in a step that asked for nothing doesn't come at all: there is no inside of it.
        """
        for armed in self._of("kill"):
            if armed.strike.moment == "inside" and self._asked:
                self._kill(LATE)

    def _meet_kill(self, *, changing: bool) -> Callable[[], None]:
        for armed in self._of("kill"):
            if armed.strike.moment != "inside" or (armed.strike.changing and not changing):
                continue
            armed.met += 1
            if armed.met == armed.strike.nth:
                if armed.strike.answered:
                    return self._kill
                self._kill()
        return nothing

    def _kill(self, how: Met = STRUCK) -> None:
        self._tell(how)
        os.kill(os.getpid(), signal.SIGKILL)

    def _meet_request(self, step: str, server: str, method: str, path: str, *, watch: bool) -> None:
        for armed in self._armed:
            strike = armed.strike
            place = (strike.kind, strike.step, strike.server, strike.method, strike.watch)
            if armed.over or place != ("request", step, server, method, watch):
                continue
            if re.fullmatch(strike.path.replace("{cluster}", re.escape(self._cluster)), path):
                armed.met += 1
                if armed.met == strike.nth:
                    self._trouble_request(armed, server, path)

    def _trouble_request(self, armed: Armed, server: str, path: str) -> None:
        strike, armed.over = armed.strike, True
        self._tell(STRUCK)
        self._lab.add_fault(
            "request",
            strike.trouble,
            server={"seed": "lab", "kkp": "kkp"}.get(server, self._cluster),
            method=strike.method,
            path=f"^{re.escape(path)}$",
            times=strike.times,
            retry_after_seconds=strike.retry_after_seconds,
        )

    def _trouble_platform(self, armed: Armed) -> None:
        strike, armed.over = armed.strike, True
        self._tell(STRUCK)
        subject = self._cluster if strike.subject == "{cluster}" else strike.subject
        number = self._lab.add_fault(
            "platform", strike.trouble, cluster=self._cluster, subject=subject, times=strike.times, message="chaos"
        )
        if strike.hold_seconds:
            end = threading.Timer(strike.hold_seconds, self._end_trouble, (number,))
            end.daemon = True
            end.start()

    def _end_trouble(self, number: int) -> None:
        with suppress(BadInput, NoLabRuns):
            self._lab.clear_faults(number)


def put_around(striker: Striker) -> None:
    """Have the striker hear of every step and every request of this process from now on."""
    for task in product_tasks():
        task.fn = _heard(task.fn, task.name, striker)
    recording = vars(policy)["record_step"]

    async def record_step(*arguments: Any, **named: Any) -> Any:
        striker.acted()
        return await recording(*arguments, **named)

    vars(policy)["record_step"] = record_step
    striker.clock.put_around()
    _listen_to_requests(striker)


def product_tasks() -> list[Any]:
    """Return every task of the product, whatever module has it."""
    modules = [importlib.import_module(f"tasks.{found.name}") for found in pkgutil.iter_modules(tasks.__path__)]
    found = {
        id(value): value for module in modules for value in vars(module).values() if isinstance(value, prefect.Task)
    }
    return list(found.values())


def _listen_to_requests(striker: Striker) -> None:
    responding, watching, requesting = KubeApi._respond, KubeApi.watch, KkpApi._request

    @asynccontextmanager
    async def respond(api: KubeApi, method: str, path: str, **named: Any) -> AsyncIterator[Any]:
        answered = striker.asking(api.where, method, path, watch="watch" in (named.get("query") or {}))
        async with responding(api, method, path, **named) as response:
            answered()
            yield response

    async def watch(api: KubeApi, *arguments: Any, **named: Any) -> AsyncIterator[Any]:
        async for event in watching(api, *arguments, **named):
            striker.event()
            yield event

    async def request(api: KkpApi, method: str, path: str, *arguments: Any) -> Any:
        answered = striker.asking(api.where, method, path, watch=False)
        response = await requesting(api, method, path, *arguments)
        answered()
        return response

    KkpApi._request = request  # type: ignore[assignment, method-assign]
    KubeApi._respond = respond  # type: ignore[assignment, method-assign]
    KubeApi.watch = watch  # type: ignore[assignment, method-assign]


def _heard(function: Callable[..., Awaitable[Any]], name: str, striker: Striker) -> Callable[..., Awaitable[Any]]:
    if name in SHARED_STEPS:
        return function

    @functools.wraps(function)
    async def heard(*arguments: Any, **named: Any) -> Any:
        striker.enter(step_name(name, *arguments, *named.values()))
        result = await function(*arguments, **named)
        striker.leave()
        return result

    return heard
