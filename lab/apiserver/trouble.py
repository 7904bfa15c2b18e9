"""Carries out the trouble that is switched on for requests. Refuses to choose it: `lab.faults` does."""

from __future__ import annotations

import asyncio

from lab.apiserver.exchange import Answer, Exchange
from lab.errors import ApiError
from lab.faults import RequestFault

HOLD_SECONDS = 600.0
"""Real seconds after which a held request is cut, should the client wait that long."""

MESSAGES = {
    "500": "Internal error occurred: etcdserver: request timed out",
    "503": "the server is currently unable to handle the request",
    "429": "Too many requests, please try again later.",
    "409": "Operation cannot be fulfilled: the object has been modified; "
    "please apply your changes to the latest version and try again",
    "401": "Unauthorized",
    "403": "forbidden: the lab was asked to refuse this request",
    "404": "the server could not find the requested resource",
    "410": "too old resource version",
}


async def carry_out(fault: RequestFault, exchange: Exchange) -> None:
    """Answer, hold or cut a request as its fault says. `timeout-after` is to be acted upon before."""
    if fault.trouble in MESSAGES:
        code = int(fault.trouble)
        error = ApiError(code, MESSAGES[fault.trouble], retry_after_seconds=fault.retry_after_seconds)
        await exchange.body()
        await exchange.answer(Answer.refusal(error))
    elif fault.trouble == "reset":
        await exchange.cut()
    elif fault.trouble == "close-watch":
        await exchange.begin_stream()
        await exchange.stream(b"", end=True)
    else:
        await _hold(exchange)


async def _hold(exchange: Exchange) -> None:
    try:
        async with asyncio.timeout(HOLD_SECONDS):
            await exchange.client_left()
    except TimeoutError:
        await exchange.cut()
