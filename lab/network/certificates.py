"""Certificates as Cilium's certgen makes them. Refuses to keep or check any."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALIDITY = timedelta(days=1095)
"""certgen's default of three years."""


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Authority:
    """A certificate authority."""

    certificate: bytes
    key: bytes
    _private: ec.EllipticCurvePrivateKey
    _name: x509.Name

    @classmethod
    def new(cls, common_name: str) -> Authority:
        """Return a fresh self-signed authority."""
        private, name = ec.generate_private_key(ec.SECP256R1()), _name(common_name)
        builder = _builder(name, issuer=name, key=private)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        signed = builder.sign(private, hashes.SHA256())
        return cls(signed.public_bytes(serialization.Encoding.PEM), _pem(private), private, name)

    @classmethod
    def known(cls, certificate: bytes, key: bytes) -> Authority:
        """Return the authority that an earlier run made."""
        private = serialization.load_pem_private_key(key, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise TypeError("the key of this authority is no elliptic curve key")
        return cls(certificate, key, private, x509.load_pem_x509_certificate(certificate).subject)

    def sign(self, host: str) -> KeyPair:
        """Return a certificate for this host name, signed by the authority."""
        private = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(host), issuer=self._name, key=private)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        signed = builder.sign(self._private, hashes.SHA256())
        return KeyPair(signed.public_bytes(serialization.Encoding.PEM), _pem(private))


def _builder(subject: x509.Name, *, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + _VALIDITY)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
