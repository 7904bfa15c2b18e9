"""Carries out the trouble that is switched on for the REST API. Refuses to choose it: `lab.faults` does."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab.apiserver.exchange import Exchange
from lab.apiserver.trouble import MESSAGES
from lab.apiserver.trouble import carry_out as hold_or_cut
from lab.faults import RequestFault
from lab.restapi.answers import RestError, refusal


async def carry_out(fault: RequestFault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse, hold or cut a request as its fault says; for `timeout-after` the application acts before, unseen."""
    if fault.trouble in MESSAGES:
        after = fault.retry_after_seconds
        error = RestError(int(fault.trouble), MESSAGES[fault.trouble], retry_after_seconds=after)
        await refusal(error)(scope, receive, send)
        return
    if fault.trouble == "timeout-after":
        await app(scope, receive, _unseen)
    await hold_or_cut(fault, Exchange(scope, receive, send, scope["path"]))


async def _unseen(_message: Message) -> None:
    """Take an answer that nobody is to see."""
