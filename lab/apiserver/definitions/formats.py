"""The formats of strings that schemas may ask for, as kube-openapi's strfmt knows them (Kubernetes v1.35).

Refuses nothing of a format that it does not know, as kube-apiserver does.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable

_DURATION = re.compile(r"[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+|0")
_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_PATTERNS = {
    "date": re.compile(_DATE),
    "date-time": re.compile(_DATE + r"[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[-+]\d\d:?\d\d)"),
    "duration": _DURATION,
    "email": re.compile(r"[^@\s]+@[^@\s]+"),
    "hostname": re.compile(
        r"([A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*\.?"
    ),
    "mac": re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}"),
    "uri": re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+|/\S*"),
    "uuid": re.compile(r"[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}"),
}


def is_of_format(value: str, name: str) -> bool:
    """Tell whether a string is of a format; true for formats that nobody checks."""
    if name in _PATTERNS:
        return _PATTERNS[name].fullmatch(value) is not None
    return name not in _PARSERS or _parses(_PARSERS[name], value)


def _parses(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except (ValueError, binascii.Error):
        return False
    return True


def _cidr(value: str) -> object:
    if "/" not in value:
        raise ValueError(value)
    return ipaddress.ip_interface(value)


_PARSERS: dict[str, Callable[[str], object]] = {
    "byte": lambda value: base64.b64decode(value, validate=True),
    "cidr": _cidr,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}
