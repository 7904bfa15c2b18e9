"""The one place where answers and broken connections become errors of this project.

Refuses to quote a body: only the `message` of a Kubernetes Status is passed on, cut to a bounded length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from migration.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    NotFound,
    Rejected,
    ServerFault,
    Throttled,
    Unauthorized,
    Unreachable,
)

LONGEST_MESSAGE: Final = 600
_BY_CODE: Final[Mapping[int, type[ClusterError]]] = {404: NotFound, 410: Expired}
# Kubernetes answers an admission webhook's refusal with 403 as well; only the text tells (docs/platform.md 1.3).
WEBHOOK_REFUSAL: Final = "admission webhook"


def translate_response(status: Any, response: aiohttp.ClientResponse | None, *, where: str, asked: str) -> ClusterError:
    """Return the error for a Status (or whatever came in its place) of an answer, or of a watch's ERROR event."""
    body: Mapping[str, Any] = status if isinstance(status, Mapping) else {}
    code = response.status if response is not None else _code(body)
    said = str(body.get("message") or f"HTTP {code}")[:LONGEST_MESSAGE]
    reason = str(body.get("reason") or "")
    text = f"{where}: {said} ({asked}, HTTP {code})"
    if code == 401:
        return Unauthorized(
            f"{where} refused the credentials ({asked}, HTTP 401): renew the kubeconfig that leads there"
        )
    if code == 403:
        return Rejected(text) if WEBHOOK_REFUSAL in said else Forbidden(text)
    if code == 409:
        return AlreadyExists(text) if reason == "AlreadyExists" else Conflict(text)
    if code == 429 or code >= 500:
        return (Throttled if code == 429 else ServerFault)(text, _retry_after(response))
    return _BY_CODE.get(code, Rejected)(text)


def translate_transport(error: Exception, *, where: str, asked: str) -> ClusterError:
    """Return the error for a connection that failed. A certificate that isn't trusted won't be so at the next try."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Rejected(f"{where}: its certificate is not the one that the kubeconfig trusts ({asked})")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{where} did not answer in time ({asked})")
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return ServerFault(f"{where} answered with something that is not JSON ({asked})")
    detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return Unreachable(
        f"{where} is not reachable: {detail} ({asked}). Check the address in the kubeconfig and the network"
    )


def _code(body: Mapping[str, Any]) -> int:
    code = body.get("code")
    return code if isinstance(code, int) else 500


def _retry_after(response: aiohttp.ClientResponse | None) -> float | None:
    text = response.headers.get("Retry-After") if response is not None else None
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
