"""Who may talk to the lab: its certificate authority, random tokens, and the kubeconfigs that hold them.

kubectl sends bearer tokens over TLS only, so the lab has a certificate. Nothing in here is ever printed or logged,
and every file is readable by its owner alone.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

VALIDITY = timedelta(days=365)


@dataclass(frozen=True)
class Credentials:
    """Where the lab's certificate lies, in PEM files, and the certificate authority that clients are to trust."""

    certificate_authority: bytes
    certificate_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        """Return what a TLS server needs to show the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def issue(directory: Path, *, host: str) -> Credentials:
    """Leave a fresh certificate authority and a certificate for this host and localhost in the directory."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    server = _server_certificate(server_key, authority=authority, authority_key=authority_key, host=host)
    pem = serialization.Encoding.PEM
    credentials = Credentials(authority.public_bytes(pem), directory / "server.crt", directory / "server.key")
    write_private(directory / "ca.crt", credentials.certificate_authority)
    write_private(credentials.certificate_file, server.public_bytes(pem))
    write_private(
        credentials.key_file,
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return credentials


def new_token() -> str:
    """Return a random bearer token, in two parts like the admin tokens of KKP."""
    return f"{secrets.token_hex(3)}.{secrets.token_hex(16)}"


def kubeconfig(*, name: str, url: str, certificate_authority: bytes, token: str) -> str:
    """Return a kubeconfig, as YAML, with one cluster, one user and one context, all of this name."""
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(certificate_authority).decode()}
    return _as_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


def rest_connection(*, url: str, certificate_authority: bytes, token: str) -> str:
    """Return a connection to KKP's REST API, as YAML."""
    authority = base64.b64encode(certificate_authority).decode()
    return _as_yaml({"url": url, "token": token, "certificateAuthorityData": authority})


def _as_yaml(content: dict[str, Any]) -> str:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(content, Dumper=dumper, sort_keys=False))


def private_directory(directory: Path) -> Path:
    """Leave a directory that only its owner may enter, and return it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    return directory


def write_private(file: Path, content: str | bytes) -> None:
    """Leave a file with this content that only its owner may read; readers see the old or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)
    draft.replace(file)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = _name("embedded KKP")
    return (
        _draft(subject=name, issuer=name, public_key=key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    key: ec.EllipticCurvePrivateKey,
    *,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    host: str,
) -> x509.Certificate:
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _draft(subject=_name("embedded KKP API servers"), issuer=authority.subject, public_key=key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(host)), critical=False)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issued_by, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _alternative_names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for value in dict.fromkeys(("localhost", "127.0.0.1", host)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(value)))
        except ValueError:
            names.append(x509.DNSName(value))
    return names


def _draft(*, subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + VALIDITY)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
