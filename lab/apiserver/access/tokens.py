"""Tokens of ServiceAccounts: JSON Web Tokens that hold for a time, and for as long as the account is there.

Source: Kubernetes v1.35, pkg/registry/core/serviceaccount/storage/token.go and pkg/serviceaccount/claims.go.
Refuses tokens that are bound to a pod, node or Secret, and those of Secrets.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
import uuid
from typing import Any

import orjson

from lab.apiserver.access.rules import service_account_groups, service_account_name
from lab.apiserver.admission import User
from lab.apiserver.metadata import after_epoch
from lab.apiserver.problems import bad_request
from lab.apiserver.registry import Registry
from lab.errors import ApiError
from lab.objects import Object, name_of, namespace_of, uid_of
from lab.resources import SERVICE_ACCOUNTS

ISSUER = "https://kubernetes.default.svc"
DEFAULT_SECONDS = 3600
LEAST_SECONDS = 600
_CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


class ServiceAccountTokens:
    """Issues tokens of the ServiceAccounts in the store, and knows them again."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._key = secrets.token_bytes(32)

    def request(self, name: str, body: Object, *, namespace: str) -> Object:
        """Return a TokenRequest with its token; 404 without the account, 422 for too short a time."""
        account = self._registry.get(SERVICE_ACCOUNTS, name, namespace=namespace).object
        spec = body.get("spec") or {}
        if spec.get("boundObjectRef"):
            raise bad_request("cannot bind token to an object: this server does not do that")
        seconds, audiences = spec.get("expirationSeconds") or DEFAULT_SECONDS, spec.get("audiences") or [ISSUER]
        if seconds < LEAST_SECONDS:
            raise _too_short(seconds)
        now = int(time.time())
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": uid_of(account),
                "creationTimestamp": after_epoch(now),
            },
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": None},
            "status": {
                "token": self._signed(_claims(account, audiences, now, seconds)),
                "expirationTimestamp": after_epoch(now + seconds),
            },
        }

    def user_of(self, token: str) -> User | None:
        """Return whose token this is; None unless it is from here, for here, in time, and its account still there."""
        claims = self._read(token)
        if claims is None or ISSUER not in claims["aud"] or not claims["nbf"] <= time.time() < claims["exp"]:
            return None
        account = claims["kubernetes.io"]["serviceaccount"]
        namespace, name = claims["kubernetes.io"]["namespace"], account["name"]
        found = self._registry.shelf(SERVICE_ACCOUNTS).objects.get(f"{namespace}/{name}")
        if found is None or uid_of(found.object) != account["uid"]:
            return None
        extra = ((_CREDENTIAL_ID, (f"JTI={claims['jti']}",)),)
        return User(claims["sub"], service_account_groups(namespace), uid=account["uid"], extra=extra)

    def _signed(self, claims: dict[str, Any]) -> str:
        content = f"{_encoded(orjson.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{_encoded(orjson.dumps(claims))}"
        return f"{content}.{self._signature(content)}"

    def _signature(self, content: str) -> str:
        return _encoded(hmac.digest(self._key, content.encode("latin-1"), hashlib.sha256))

    def _read(self, token: str) -> dict[str, Any] | None:
        content, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(content).encode(), signature.encode("latin-1")):
            return None
        try:
            text = content.partition(".")[2]
            found: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(f"{text}{'=' * (-len(text) % 4)}"))
        except (binascii.Error, orjson.JSONDecodeError):
            return None
        return found


def _claims(account: Object, audiences: list[str], now: int, seconds: int) -> dict[str, Any]:
    namespace, name = namespace_of(account), name_of(account)
    return {
        "aud": audiences,
        "exp": now + seconds,
        "iat": now,
        "iss": ISSUER,
        "jti": str(uuid.uuid4()),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid_of(account)}},
        "nbf": now,
        "sub": service_account_name(namespace, name),
    }


def _too_short(seconds: int) -> ApiError:
    why = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
    cause = {"reason": "FieldValueInvalid", "message": why, "field": "spec.expirationSeconds"}
    return ApiError(
        422,
        f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: {why}',
        details={"group": "authentication.k8s.io", "kind": "TokenRequest", "causes": [cause]},
    )


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
