"""Until when credentials are good, told by themselves."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clusters.expiry import expires_at

SOON, LATE = datetime(2027, 3, 1, 12, 30, tzinfo=UTC), datetime(2061, 3, 1, tzinfo=UTC)


def kubeconfig(*users: dict[str, Any], current: int = 0) -> dict[str, Any]:
    return {
        "current-context": f"context-{current}",
        "contexts": [
            {"name": f"context-{n}", "context": {"cluster": "a", "user": f"user-{n}"}} for n in range(len(users))
        ],
        "users": [{"name": f"user-{n}", "user": user} for n, user in enumerate(users)],
    }


def token(**claims: Any) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2lnbmF0dXJl"


def certificate(end: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=365))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


@pytest.mark.parametrize("end", [SOON, LATE])
def test_a_certificate_ends_with_its_validity(end):
    assert expires_at(kubeconfig({"client-certificate-data": data(certificate(end))})) == end


def test_of_a_chain_the_first_certificate_counts():
    chain = b"text before\n" + certificate(SOON) + certificate(LATE)

    assert expires_at(kubeconfig({"client-certificate-data": data(chain)})) == SOON


def test_a_certificate_may_lie_in_a_file(tmp_path):
    (tmp_path / "client.crt").write_bytes(certificate(SOON))

    assert expires_at(kubeconfig({"client-certificate": str(tmp_path / "client.crt")})) == SOON


def test_a_token_ends_with_its_claim():
    assert expires_at(kubeconfig({"token": token(exp=int(SOON.timestamp()), sub="x")})) == SOON


def test_the_first_end_counts():
    both = {"token": token(exp=int(LATE.timestamp())), "client-certificate-data": data(certificate(SOON))}

    assert expires_at(kubeconfig(both)) == SOON


def test_only_the_current_user_s_credentials_count():
    users = ({"token": token(exp=int(SOON.timestamp()))}, {"token": "opaque"})

    assert expires_at(kubeconfig(*users, current=1)) is None


NOTHING_TOLD: list[Any] = [
    {"token": "f8gh2k.0123456789abcdef"},
    {"token": token(sub="x")},
    {"token": token(exp="soon")},
    {"token": "a.b.c"},
    {"client-certificate-data": "!"},
    {"client-certificate-data": data(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")},
    {"client-certificate": "/nowhere/at/all"},
    {"exec": {"command": "kubelogin"}},
    {},
]


@pytest.mark.parametrize("user", NOTHING_TOLD)
def test_what_tells_nothing_is_no_end(user):
    assert expires_at(kubeconfig(user)) is None


@pytest.mark.parametrize("broken", [{}, {"contexts": None, "users": "x"}, {"contexts": [None], "users": [1]}])
def test_nor_is_a_kubeconfig_without_users(broken):
    assert expires_at(broken) is None
