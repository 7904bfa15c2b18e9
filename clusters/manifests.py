"""Reading a manifest from where the operator says: a file of the worker, or a web address.

Refuses whatever isn't a plain text of bounded size from a plain place: devices, other schemes, credentials in an
address, addresses that only the machine itself can reach.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from migration.errors import InvalidRequest, Unreachable
from migration.manifests import LONGEST_TEXT

DOWNLOAD_SECONDS: Final = 60.0
SILENCE_SECONDS: Final = 15.0
"""How long a server may say nothing."""
REDIRECTS: Final = 5
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(file|data|javascript):", re.IGNORECASE)
# A redirect to a cloud's metadata service would bring its credentials here.
_METADATA: Final = (ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200"))


async def read_manifest(source: str) -> str:
    """Return the text of a manifest: a path, relative to the worker's directory, or an http(s) URL.

    Raises InvalidRequest if it isn't there or is no text of bounded size, Unreachable if its server doesn't serve it.
    """
    scheme = _SCHEME.match(source)
    if scheme is None:
        return await asyncio.to_thread(_read_file, source)
    if (scheme[1] or scheme[2]).lower() not in ("http", "https"):
        raise InvalidRequest(
            f"manifest {shown(source)}: only a path or an http(s) address can be read. Name it in one of these ways"
        )
    return await _download(source)


def shown(source: str) -> str:
    """Return how a manifest's source is called in messages: without what may be a credential."""
    if _SCHEME.match(source) is None:
        return source
    try:
        parts = urlsplit(source)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "(an address that makes no sense)"
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def _read_file(source: str) -> str:
    path = Path(source)
    try:
        # Not blocking: opening a pipe would wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise InvalidRequest(f"manifest {source} is no file: name the path of a file on the worker")
            content = file.read(LONGEST_TEXT + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise InvalidRequest(
            f"manifest {source} can't be read: {why}. The path is one on the worker, relative to {Path.cwd()}; "
            "an address works from everywhere"
        ) from error
    return _text(content, source)


async def _download(source: str) -> str:
    try:
        async with asyncio.timeout(DOWNLOAD_SECONDS), httpx.AsyncClient(timeout=SILENCE_SECONDS) as client:
            url = _address(source)
            for _ in range(REDIRECTS + 1):
                await _require_outside(url)
                # Compressed answers would have to be bounded twice.
                async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
                    if not response.has_redirect_location:
                        return _text(await _content(response, source), shown(source))
                    url = _redirected(url, response)
        raise InvalidRequest(f"manifest {shown(source)} leads on and on: name the address where it ends")
    except (TimeoutError, httpx.TimeoutException) as error:
        raise Unreachable(f"manifest {shown(source)} did not come in time: try again, or name a file") from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidRequest(f"manifest {shown(source)} has no usable address: correct it") from error
    except (httpx.HTTPError, OSError) as error:
        raise _unreachable(error, source) from error


def _unreachable(error: Exception, source: str) -> InvalidRequest | Unreachable:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return InvalidRequest(
            f"manifest {shown(source)}: its server's certificate is not trusted. Name a file, or an address whose "
            "certificate this worker trusts (SSL_CERT_FILE)"
        )
    return Unreachable(
        f"manifest {shown(source)} is not reachable from this worker ({type(error).__name__}): check the address and "
        "the proxy settings, or name a file"
    )


def _address(source: str) -> httpx.URL:
    url = httpx.URL(source)
    if url.userinfo:
        raise InvalidRequest(
            f"manifest {shown(source)}: the address has credentials in it, which would be stored with the run. "
            "Download it, and name the file"
        )
    if not url.host:
        raise InvalidRequest(f"manifest {shown(source)}: the address names no host. Correct it")
    return url


def _redirected(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    target = url.join(response.headers["Location"])
    if target.scheme not in ("http", "https") or (url.scheme == "https" and target.scheme == "http"):
        raise InvalidRequest(
            f"manifest {shown(str(url))} leads to a less safe address: name the one where it really is"
        )
    return _address(str(target))


async def _require_outside(url: httpx.URL) -> None:
    """Raise InvalidRequest if the address is one that only this machine reaches, such as a cloud's metadata service."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    except OSError:
        return  # a proxy may know better; without one the request itself says what is wrong
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        if mapped.is_link_local or mapped in _METADATA:
            raise InvalidRequest(
                f"manifest {shown(str(url))}: its host has a link-local or metadata address, from which no manifest "
                "is read. Name a file, or another address"
            )


async def _content(response: httpx.Response, source: str) -> bytes:
    name, status = shown(source), response.status_code
    if status == 429 or status >= 500:
        raise Unreachable(f"manifest {name}: its server answers HTTP {status}. Try again later, or name a file")
    if status != 200:
        raise InvalidRequest(f"manifest {name} is not there for this worker (HTTP {status}): correct the address")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise InvalidRequest(f"manifest {name} comes compressed: download it, and name the file")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise InvalidRequest(f"manifest {name} is a web page and no manifest: name the address of the raw file")
    content = bytearray()
    async for part in response.aiter_raw():
        content += part
        if len(content) > LONGEST_TEXT:
            break
    return bytes(content)


def _text(content: bytes, name: str) -> str:
    if len(content) > LONGEST_TEXT:
        raise InvalidRequest(f"manifest {name} is longer than {LONGEST_TEXT >> 20} MiB: name one of the CNI alone")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"manifest {name} is no text in UTF-8: name a manifest in YAML") from None
