"""The two kinds of connections, checked when they are made. Refuses to quote what it can't use: it is secret."""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import yaml

from migration.errors import InvalidRequest

# KKP 2.31 dashboard, pkg/handler: both versions hang below the same address.
_API_PATH: Final = re.compile(r"/api(/v[0-9]+)?\Z")
_PROJECT: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")

# Kubernetes, client-go/tools/clientcmd/api: what of a kubeconfig lies outside of it.
_ELSEWHERE: Final = (
    *("certificate-authority", "client-certificate", "client-key", "tokenFile"),
    *("exec", "auth-provider"),
)
_PEM: Final = re.compile(r"(-----BEGIN [A-Z ]+-----)([^-]*)(-----END [A-Z ]+-----)")


@dataclass(frozen=True)
class SeedConnection:
    """A seed by its kubeconfig, whose current context is the one to use."""

    name: str
    kubeconfig: dict[str, Any] = field(repr=False)
    context: str


@dataclass(frozen=True)
class KkpConnection:
    """KKP's REST API; an empty `certificate_authority` stands for those that the system trusts."""

    name: str
    url: str
    """Without a slash at its end: `/api/v2` comes behind it."""
    token: str = field(repr=False)
    certificate_authority: str = field(default="", repr=False)
    """PEM."""
    project: str = ""
    """The id of the only project to look into; empty for all that the token may see."""


Connection = SeedConnection | KkpConnection


def parse_kubeconfig(text: str, *, source: str) -> dict[str, Any]:
    """Return a kubeconfig as a mapping. Raises InvalidRequest that names the source and never its content."""
    found = parse_yaml(text, source=source, advice="export the kubeconfig again")
    if not isinstance(found, Mapping) or not found.get("clusters") or not found.get("contexts"):
        raise InvalidRequest(f"{source} is not a kubeconfig: it needs clusters, contexts and users")
    return dict(found)


def parse_yaml(text: str, *, source: str, advice: str) -> Any:
    """Return what YAML says. Raises InvalidRequest that names the source and never its content."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        # The parser's message quotes the text, which holds credentials.
        raise InvalidRequest(f"{source} is not valid YAML: {advice}") from None


def seed_connection(name: str, kubeconfig: Mapping[str, Any], *, context: str = "", source: str) -> SeedConnection:
    """Return the connection of a kubeconfig. Raises InvalidRequest if its context leads nowhere."""
    wanted = context or str(kubeconfig.get("current-context") or "")
    contexts = _named(kubeconfig, "contexts")
    known = ", ".join(sorted(contexts)) or "none"
    if not wanted:
        raise InvalidRequest(f"{source} has no current-context: name one of its contexts ({known})")
    if wanted not in contexts:
        raise InvalidRequest(f"{source} has no context {wanted!r}: it has {known}")
    parts = contexts[wanted].get("context")
    for key, section in (("cluster", "clusters"), ("user", "users")):
        part = parts.get(key) if isinstance(parts, Mapping) else None
        if part not in _named(kubeconfig, section):
            raise InvalidRequest(f"{source}: its context {wanted!r} names a {key} that is not there: export it again")
    return SeedConnection(name, {**kubeconfig, "current-context": wanted}, wanted)


def self_contained(connection: SeedConnection, *, source: str) -> SeedConnection:
    """Return a connection with nothing in it but its context. Raises InvalidRequest if that needs files or programs."""
    kubeconfig = connection.kubeconfig
    context = _named(kubeconfig, "contexts")[connection.context]
    cluster = _named(kubeconfig, "clusters")[context["context"]["cluster"]]
    user = _named(kubeconfig, "users")[context["context"]["user"]]
    parts = {**(cluster.get("cluster") or {}), **(user.get("user") or {})}
    if needed := sorted(key for key in _ELSEWHERE if parts.get(key)):
        raise InvalidRequest(
            f"{source} needs files or programs of the machine that it is from ({', '.join(needed)}): export it with "
            "`kubectl config view --raw --minify --flatten`, or use the token of a service account"
        )
    alone = {"apiVersion": "v1", "kind": "Config", "current-context": connection.context}
    return SeedConnection(
        connection.name,
        {**alone, "clusters": [dict(cluster)], "contexts": [dict(context)], "users": [dict(user)]},
        connection.context,
    )


def kkp_connection(
    name: str, *, url: str, token: str, certificate_authority: str = "", project: str = "", source: str
) -> KkpConnection:
    """Return the connection of an API. Raises InvalidRequest that says which part of it can't be used."""
    if project and not _PROJECT.match(project):
        raise InvalidRequest(f"{source}: {project[:60]!r} is no id of a project: KKP shows it in the project's address")
    return KkpConnection(
        name,
        checked_url(url, source=source),
        checked_token(token, source=source),
        checked_authority(certificate_authority, source=source),
        project,
    )


def checked_url(url: str, *, source: str) -> str:
    """Return the address of KKP without a slash at its end. Raises InvalidRequest for one that can't be used."""
    found = url.strip().rstrip("/")
    if not found:
        raise InvalidRequest(f"{source} has no url: the address of KKP's dashboard, as https://kkp.example.com")
    parts = _split(found)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(f"{source}: its url is no address as https://kkp.example.com")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InvalidRequest(f"{source}: its url must have no user, password, query or fragment")
    if _API_PATH.search(parts.path):
        raise InvalidRequest(f"{source}: its url ends in {parts.path}; leave /api and what follows away")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise InvalidRequest(f"{source}: its url has no TLS, so the token would go over the wire in clear: use https")
    return found


def checked_token(token: str, *, source: str) -> str:
    """Return a token without white space around it. Raises InvalidRequest for what can't be one."""
    found = token.strip()
    if not found:
        raise InvalidRequest(f"{source} has no token: make one for a service account of the project in KKP")
    if found.lower().startswith("bearer "):
        raise InvalidRequest(f"{source}: its token begins with 'Bearer': leave that away")
    if not (found.isascii() and found.isprintable()) or " " in found:
        raise InvalidRequest(f"{source}: its token has characters that none has: copy it again")
    return found


def checked_authority(pem: str, *, source: str) -> str:
    """Return certificates in PEM. Raises InvalidRequest if there is something else."""
    found = pem.strip()
    if not found:
        return ""
    if "PRIVATE KEY" in found:
        raise InvalidRequest(f"{source}: its certificate authority holds a private key: only certificates belong there")
    try:
        context = ssl.create_default_context(cadata=f"{found}\n")
    except (ssl.SSLError, ValueError):
        raise InvalidRequest(f"{source}: its certificate authority is no PEM certificate") from None
    if not context.get_ca_certs(binary_form=True):
        raise InvalidRequest(f"{source}: its certificate authority is no certificate of an authority (CA:TRUE)")
    return f"{found}\n"


def pasted_kubeconfig(text: str, *, source: str) -> dict[str, Any]:
    """Return a kubeconfig that went through a form, which drops line breaks: YAML, JSON, or either in base64."""
    return parse_kubeconfig(_decoded(text) or text, source=source)


def pasted_authority(text: str, *, source: str) -> str:
    """Return the PEM of certificates that went through a form: line breaks may be gone, or all of it be in base64."""
    found = text.strip()
    if "-----" not in found:
        return decoded_authority(found, source=source)
    parts = _PEM.findall(found)
    return "".join(f"{begin}\n{''.join(body.split())}\n{end}\n" for begin, body, end in parts) or found


def decoded_authority(data: Any, *, source: str) -> str:
    """Return the PEM of `certificateAuthorityData`. Raises InvalidRequest unless it is base64 of text."""
    try:
        return base64.b64decode("".join(str(data or "").split()), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidRequest(f"{source}: its certificateAuthorityData is not base64 of a PEM certificate") from None


def _decoded(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _named(kubeconfig: Mapping[str, Any], section: str) -> dict[str, Mapping[str, Any]]:
    entries = kubeconfig.get(section)
    if not isinstance(entries, list):
        return {}
    return {str(entry.get("name")): entry for entry in entries if isinstance(entry, Mapping)}


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a number that is none
    except ValueError:
        return None
    return parts if url.isprintable() and " " not in url else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
