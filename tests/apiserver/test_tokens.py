"""Tokens of ServiceAccounts, asked for by TokenRequest, on both API servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.apiserver.accounts import Accounts, accounts_in, refused, rule

ISSUER = "https://kubernetes.default.svc"


@pytest.fixture
def accounts(server: Any, api: httpx.Client, namespace: str) -> Iterator[Accounts]:
    yield from accounts_in(server, api, namespace)


@pytest.fixture
def path(accounts: Accounts) -> str:
    accounts.make()
    return f"/api/v1/namespaces/{accounts.namespace}/serviceaccounts/worker/token"


def test_a_request_is_answered_with_a_token_for_an_hour(accounts, api, path):
    account = api.get(path.removesuffix("/token")).json()

    made = accounts.made(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})

    assert (made["kind"], made["apiVersion"]) == ("TokenRequest", "authentication.k8s.io/v1")
    metadata = made["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("worker", accounts.namespace)
    assert metadata["uid"] == account["metadata"]["uid"]
    assert made["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600, "boundObjectRef": None}
    created, ends = metadata["creationTimestamp"], made["status"]["expirationTimestamp"]
    assert datetime.fromisoformat(ends) - datetime.fromisoformat(created) == timedelta(hours=1)


def test_a_token_tells_whose_it_is(accounts, api, path):
    uid = api.get(path.removesuffix("/token")).json()["metadata"]["uid"]

    token = accounts.made(path, {"spec": {"expirationSeconds": 7200}})["status"]["token"]

    content = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))
    assert claims["sub"] == accounts.user("worker")
    assert (claims["iss"], claims["aud"]) == (ISSUER, [ISSUER])
    assert claims["exp"] - claims["iat"] == 7200
    assert claims["kubernetes.io"] == {
        "namespace": accounts.namespace,
        "serviceaccount": {"name": "worker", "uid": uid},
    }


def test_a_token_lets_its_account_in(accounts, server, path):
    accounts.grant(rule("list", "pods"))

    with server.client(accounts.token("worker")) as client:
        assert client.get(f"/api/v1/namespaces/{accounts.namespace}/pods").status_code == 200


def test_a_token_that_was_tampered_with_is_refused(accounts, server, path):
    head, content, signature = accounts.token("worker").split(".")

    for token in (f"{head}.{content}.{signature[:-4]}AAAA", f"{head}.{content}", f"{head}.AAAA.{signature}"):
        with server.client(token) as client:
            assert client.get("/api").status_code == 401


def test_a_token_for_another_audience_is_refused_here(accounts, server, path):
    token = accounts.made(path, {"spec": {"audiences": ["elsewhere"]}})["status"]["token"]

    with server.client(token) as client:
        assert refused(client.get("/api")) == (401, "Unauthorized", "Unauthorized", None)


def test_ten_minutes_are_the_least(api, path):
    message = "Invalid value: 599: may not specify a duration less than 10 minutes"

    assert refused(api.post(path, json={"spec": {"expirationSeconds": 599}})) == (
        422,
        "Invalid",
        f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: {message}',
        {
            "group": "authentication.k8s.io",
            "kind": "TokenRequest",
            "causes": [{"reason": "FieldValueInvalid", "message": message, "field": "spec.expirationSeconds"}],
        },
    )


def test_there_is_no_token_of_an_account_that_is_not_there(api, path):
    answer = api.post(path.replace("worker", "nobody"), json={"spec": {}})

    assert refused(answer) == (
        404,
        "NotFound",
        'serviceaccounts "nobody" not found',
        {"name": "nobody", "kind": "serviceaccounts"},
    )


def test_tokens_can_t_be_read_again(api, path):
    assert refused(api.get(path))[:2] == (405, "MethodNotAllowed")


def test_a_token_needs_a_request(api, path):
    assert refused(api.post(path))[:2] == (400, "BadRequest")


def test_an_account_made_anew_is_another(accounts, api, server, path):
    """A token that was never shown: servers remember for some seconds that one was good."""
    token = accounts.token("worker")
    account = path.removesuffix("/token")
    assert api.delete(account).status_code == 200
    accounts.made(account.removesuffix("/worker"), {"metadata": {"name": "worker"}})

    with server.client(token) as client:
        assert refused(client.get("/api")) == (401, "Unauthorized", "Unauthorized", None)


def test_others_need_the_right_to_make_tokens(accounts, path):
    accounts.make("boss")
    client = accounts.make("clerk")
    accounts.grant(rule("create", "serviceaccounts/token", "worker"), account="clerk")

    assert client.post(path, json={"spec": {}}).status_code == 201
    assert client.post(path.replace("worker", "boss"), json={"spec": {}}).status_code == 403
