"""What people enter into forms: names, versions and addresses, refused where they can't be what was meant. Pure.

Each rule returns what it was given, or raises ValueError with a message that says what was expected. Nothing is trimmed
or guessed: the name of a run, its journal and its lock have to say the same as what was entered.
"""

from __future__ import annotations

import re
from typing import Final

# What a form checks: wide patterns, for Prefect's refusal shows them to people. The rules below say the rest.
CONNECTION_CHARACTERS: Final = r"^[A-Za-z0-9._-]+$"
CLUSTER_CHARACTERS: Final = r"^[a-z0-9-]+$"
VERSION_CHARACTERS: Final = r"^v?[0-9.]+$"
VERSION_OR_NOTHING: Final = r"^(v?[0-9.]+)?$"
ADDRESS_CHARACTERS: Final = r"^\S+:[0-9]+$"
NO_SPACES: Final = r"^\S*$"

_CONNECTION_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
# KKP 2.31, pkg/webhook/cluster/validation: an RFC 1035 label; generated names may begin with a digit all the same.
_CLUSTER_ID: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST_AND_PORT: Final = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}"
HIGHEST_PORT: Final = 65535
SHOWN: Final = 60
"""Characters of an entry that a message repeats."""


def connection_name(text: str) -> str:
    """Return the name of a connection; it doesn't tell whether there is one of this name."""
    return _matching(_CONNECTION_NAME, text, "is no name of a connection: letters, digits, dots and dashes")


def cluster_id(text: str) -> str:
    """Return the ID of a user cluster; it doesn't tell whether there is one."""
    expected = "lower-case letters, digits and dashes, as in hv2c7xk9tl. KKP shows it beside the human-readable name"
    return _matching(_CLUSTER_ID, text, f"is no ID of a cluster: {expected}")


def host_and_port(text: str) -> str:
    """Return `host:port`, where the host is a name or an address, one of IPv6 in brackets."""
    text = _matching(_HOST_AND_PORT, text, "is no host:port: example.com:443, 192.0.2.7:53 and [2001:db8::7]:53 are")
    port = int(text.rpartition(":")[2])
    if not 0 < port <= HIGHEST_PORT:
        raise ValueError(f"{text!r} has the port {port}: ports are 1 to {HIGHEST_PORT}")
    return text


def without_spaces(text: str) -> str:
    """Return what has no space in it, as addresses, paths and image names have none."""
    return _matching(r"\S*", text, "has a space or a line break in it: take it out")


def _matching(pattern: str, text: str, complaint: str) -> str:
    if re.fullmatch(pattern, text):
        return text
    if not text.strip():
        raise ValueError("nothing was entered")
    if text != text.strip():
        raise ValueError(f"{text[:SHOWN]!r} begins or ends with a space or a line break: take it out")
    raise ValueError(f"{text[:SHOWN]!r} {complaint}")
