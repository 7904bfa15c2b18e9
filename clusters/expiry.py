"""Until when a kubeconfig's credentials are good, as far as they say so. Refuses to verify or to show any."""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_FORMATS: Final = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}


def expires_at(kubeconfig: Mapping[str, Any]) -> datetime | None:
    """Return when the first of the current user's credentials ends; None if none of them says so."""
    user = _current_user(kubeconfig)
    ends = (end_of_token(str(user.get("token") or "")), *_ends_of_certificate(user))
    return min((end for end in ends if end is not None), default=None)


def _current_user(kubeconfig: Mapping[str, Any]) -> Mapping[str, Any]:
    contexts = _named(kubeconfig.get("contexts"), "context")
    context = contexts.get(kubeconfig.get("current-context")) or next(iter(contexts.values()), {})
    return _named(kubeconfig.get("users"), "user").get(context.get("user")) or {}


def _named(entries: Any, key: str) -> dict[Any, Mapping[str, Any]]:
    if not isinstance(entries, list):
        return {}
    return {entry.get("name"): entry.get(key) or {} for entry in entries if isinstance(entry, Mapping)}


def end_of_token(token: str) -> datetime | None:
    """Return a JSON Web Token's `exp` (RFC 7519); other tokens tell nothing."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError):
        return None


def _ends_of_certificate(user: Mapping[str, Any]) -> Iterable[datetime | None]:
    data, file = user.get("client-certificate-data"), user.get("client-certificate")
    try:
        if data:
            text = base64.b64decode(data).decode()
        elif file:
            text = Path(file).read_text(encoding="utf-8")
        else:
            return ()
        return (_not_after(ssl.PEM_cert_to_DER_cert(_first(text))),)
    except (binascii.Error, ValueError, OSError, LookupError):
        return ()


def _first(text: str) -> str:
    """Return the first certificate of a chain, which is the user's own (RFC 8446, 4.4.2)."""
    begin, end = text.index(ssl.PEM_HEADER), text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
    return text[begin:end]


def _not_after(certificate: bytes) -> datetime | None:
    """Return the end of a certificate's validity (X.509, RFC 5280 4.1): the fifth field, after an optional version."""
    _, outer = _elements(certificate)[0]
    _, inner = _elements(outer)[0]
    tag, validity = [field for field in _elements(inner) if field[0] != _VERSION][3]
    if tag != _SEQUENCE:
        return None
    kind, end = _elements(validity)[1]
    return datetime.strptime(end.decode("ascii"), _FORMATS[kind]).replace(tzinfo=UTC)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of each element of DER (X.690)."""
    found, position = [], 0
    while position < len(data):
        tag, length, position = data[position], data[position + 1], position + 2
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(data[position : position + octets], "big")
            position += octets
        found.append((tag, data[position : position + length]))
        position += length
    return found
