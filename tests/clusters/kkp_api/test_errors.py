"""Each error names the API and what to do, and none the token."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest

from clusters.connection_kinds import KkpConnection
from clusters.kkp_api import client
from clusters.kkp_api import seed as kkp_seed
from clusters.kkp_api.opening import open_kkp
from clusters.wire import LONGEST_MESSAGE
from migration.errors import (
    Permanent,
    Rejected,
    ServerFault,
    Unauthorized,
    Unreachable,
)
from tests.clusters.kkp_api.asking import connection


class TestErrors:
    """Each one names the API and what to do, and none the token."""

    async def refused(self, error, **changes):
        found = await connection(**changes)
        with pytest.raises(error) as caught:
            async with open_kkp(found) as api:
                await api.list_clusters()
        assert found.token not in str(caught.value)
        assert found.token not in repr(found)
        return str(caught.value)

    async def test_a_wrong_token(self, shared):
        said = await self.refused(Unauthorized, token="n0t-it")

        assert "KKP API lab-api refused the token: access denied, invalid token" in said
        assert "Renew it in the connection" in said

    async def test_an_authority_that_did_not_sign(self, shared):
        assert "its certificate is not trusted" in await self.refused(Rejected, certificate_authority="")

    async def test_an_address_where_nothing_listens(self, shared):
        said = await self.refused(Unreachable, url="https://127.0.0.1:9/kkp")

        assert "KKP API lab-api is not reachable: Connect" in said or "refused" in said

    async def test_a_host_that_nobody_knows(self, shared):
        assert "is not reachable: " in await self.refused(Unreachable, url="https://kkp.invalid")

    async def test_an_address_that_is_not_the_api_s(self, shared):
        found = await connection()

        await self.refused((Permanent, ServerFault), url=found.url.removesuffix("/kkp"))

    async def test_a_server_that_never_answers(self, shared, monkeypatch):
        monkeypatch.setattr(client, "REQUEST_SECONDS", 0.2)
        shared.fault("timeout", server="kkp", path="/projects$", times=None)

        assert "did not answer in time (GET /api/v1/projects)" in await self.refused(Unreachable)

    async def test_a_web_page_and_other_answers_that_are_none(self):
        said = {}
        for kind, body in (("text/html", "<html>n0t-it"), ("application/json", "[1"), ("application/json", "{}")):
            async with answering(kind, body) as url, open_kkp(KkpConnection("near", url, "n0t-it")) as api:
                with pytest.raises((Rejected, ServerFault)) as caught:
                    await api.list_clusters()
                said[body] = str(caught.value)
        assert "answers with a web page" in said["<html>n0t-it"]
        assert "n0t-it" not in said["<html>n0t-it"]
        assert "not what was asked for" in said["[1"]
        assert "no list of projects" in said["{}"]

    async def test_a_redirect_is_not_followed_with_the_token(self):
        elsewhere = answering("text/html", "", status="302 Found\r\nLocation: http://127.0.0.1:9/")
        async with elsewhere as url, open_kkp(KkpConnection("near", url, "n0t-it")) as api:
            with pytest.raises(Rejected, match="sends elsewhere"):
                await api.list_clusters()

    async def test_a_token_that_comes_back_in_a_message_is_left_out(self):
        body = json.dumps({"error": {"code": 400, "message": "bad n0t-it", "details": ["really"]}})
        telling = answering("application/json", body, status="400 Bad Request")
        async with telling as url, open_kkp(KkpConnection("near", url, "n0t-it")) as api:
            with pytest.raises(Rejected, match=r"bad \(token\) \(really\)"):
                await api.list_clusters()

    async def test_of_a_token_where_a_message_is_cut_no_part_is_left(self):
        message = "n0t-it" + "x" * (LONGEST_MESSAGE - len("(token)") - 3) + "n0t-it"
        body = json.dumps({"error": {"code": 400, "message": message}})
        part = json.dumps({"clusters": [], "errorMessage": message})
        connection = KkpConnection("near", "", "n0t-it", project="p")
        for said, status, error in ((body, "400 Bad Request", Rejected), (part, "200 OK", ServerFault)):
            telling = answering("application/json", said, status=status)
            async with telling as url, open_kkp(replace(connection, url=url)) as api:
                with pytest.raises(error, match="xxx") as caught:
                    await api.list_clusters()
            assert "n0t" not in str(caught.value)


def test_the_end_of_a_token_is_told_if_it_says_so():
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1_900_000_000}).encode()).decode().rstrip("=")
    ends = kkp_seed.KkpSeed(None, KkpConnection("k", "https://k", f"e30.{claims}.x")).credentials()  # type: ignore[arg-type]
    assert [found.source for found in ends] == ["token of connection k"]
    assert kkp_seed.KkpSeed(None, KkpConnection("k", "https://k", "opaque")).credentials() == ()  # type: ignore[arg-type]


class answering:  # noqa: N801 - reads as what it is used for
    """A server on this machine that answers every request alike, without TLS."""

    def __init__(self, kind, body, *, status="200 OK"):
        text = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._answer = f"{text}{body}".encode()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_error):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        await writer.drain()
        writer.close()
