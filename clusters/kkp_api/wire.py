"""The one place where the REST API's answers and broken connections become errors of this project.

Refuses to quote a body but for the API's own message, cut to a bounded length, and never with the token in it.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx

from clusters.wire import LONGEST_MESSAGE, WEBHOOK_REFUSAL
from migration.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    NotFound,
    Rejected,
    ServerFault,
    Throttled,
    Unauthorized,
    Unreachable,
)

_BY_CODE: Final[Mapping[int, type[ClusterError]]] = {404: NotFound, 409: Conflict}


def translate_answer(response: httpx.Response, *, where: str, asked: str, token: str) -> ClusterError:
    """Return the error for an answer that is none: KKP's words, what was asked, and the status."""
    code, said = response.status_code, quoted(_said(response), token=token)
    text = f"{where}: {said} ({asked}, HTTP {code})"
    if code < 400:
        return Rejected(f"{where} sends elsewhere ({asked}, HTTP {code}): is its url the address of KKP's dashboard?")
    if code == 401:
        return Unauthorized(f"{where} refused the token: {said} ({asked}, HTTP 401). Renew it in the connection")
    if code == 403:
        return Rejected(text) if WEBHOOK_REFUSAL in said else Forbidden(text)
    if code == 429 or code >= 500:
        return (Throttled if code == 429 else ServerFault)(text, _retry_after(response))
    found: type[ClusterError] = _BY_CODE.get(code, Rejected)
    return found(text)


def no_api(response: httpx.Response, *, where: str, asked: str) -> ClusterError:
    """Return the error for an answer that isn't what an API gives: a web page won't be one at the next try either."""
    if "html" in response.headers.get("Content-Type", ""):
        return Rejected(f"{where} answers with a web page ({asked}): is its url the address of KKP's dashboard?")
    return ServerFault(f"{where} answered with something that is not what was asked for ({asked})")


def translate_transport(error: Exception, *, where: str, asked: str) -> ClusterError:
    """Return the error for a connection that failed. A certificate that isn't trusted won't be so at the next try."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Unreachable(f"{where} did not answer in time ({asked})")
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Rejected(
            f"{where}: its certificate is not trusted: {cause.verify_message} ({asked}). Name the authority "
            "that signed it in the connection"
        )
    detail = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause or error).__name__
    return Unreachable(
        f"{where} is not reachable: {detail} ({asked}). Check the address in the connection and the network"
    )


def _cause(error: BaseException) -> BaseException | None:
    """Return the first error below those of httpx, httpcore and anyio that says why."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen
        seen = seen.exceptions[0] if isinstance(seen, BaseExceptionGroup) else (seen.__cause__ or seen.__context__)
    return None


def _said(response: httpx.Response) -> str:
    try:
        body: Any = response.json()
    except ValueError:
        body = None
    error = body.get("error") if isinstance(body, Mapping) else None
    found: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    details = found.get("details")
    more = f" ({'; '.join(map(str, details))})" if isinstance(details, list) and details else ""
    return str(found.get("message") or f"HTTP {response.status_code}") + more


def quoted(said: str, *, token: str) -> str:
    """Return what KKP said as it may be shown: first without the token, for a cut one would not be found, then cut."""
    return said.replace(token, "(token)")[:LONGEST_MESSAGE]


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After")
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
