"""One HTTP request and its answer on top of ASGI, as thin as can be. Refuses to know Kubernetes objects."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from lab.apiserver.bodies import protobuf
from lab.apiserver.documents.forms import MEDIA_TYPES
from lab.apiserver.problems import NoSuchPage, bad_request, unsupported_media_type
from lab.apiserver.routes import query_of
from lab.errors import ApiError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


@dataclass(slots=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes
    content_type: bytes = JSON
    retry_after_seconds: int | None = None

    @staticmethod
    def of(body: object, *, status: int = 200, content_type: bytes = JSON) -> Answer:
        """Return an answer with a JSON body."""
        return Answer(status, orjson.dumps(body) + b"\n", content_type)

    @staticmethod
    def refusal(error: ApiError) -> Answer:
        """Return the Status of a refused request."""
        if isinstance(error, NoSuchPage):
            return Answer(error.code, f"{error.message}\n".encode(), TEXT)
        return Answer(error.code, orjson.dumps(error.status()) + b"\n", JSON, error.retry_after_seconds)


class Exchange:
    """A request that has arrived, and the way back."""

    __slots__ = ("_raw_headers", "_receive", "_send", "headers", "is_streaming", "method", "path", "query", "warnings")

    def __init__(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        self.method: str = scope["method"]
        self.path = path
        """The path behind the server's prefix."""
        self.query = query_of(scope["query_string"])
        self._raw_headers = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(self._raw_headers)
        self.is_streaming = False
        """Whether the head of a streamed response has been sent."""
        self.warnings: list[str] = []
        """What the client is told in Warning headers."""
        self._receive = receive
        self._send = send

    def header(self, name: bytes) -> str:
        """Return a header, empty if there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    def header_values(self, name: bytes) -> list[str]:
        """Return every value of a header that may come several times."""
        return [value.decode("latin-1") for key, value in self._raw_headers if key == name]

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.header(b"content-type").partition(";")[0].strip()

    def check_media_type(self) -> None:
        """Raise the 415 for a body of a media type that is not read. What a PATCH takes is told elsewhere."""
        if self.method != "PATCH" and self.media_type and self.media_type not in MEDIA_TYPES:
            raise unsupported_media_type(MEDIA_TYPES)

    async def body(self) -> bytes:
        """Return the whole body."""
        chunks = []
        while True:
            message = await self._receive()
            chunks.append(message.get("body", b""))
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def content(self, *, required: bool = False) -> Any:
        """Return the parsed body, an empty object if there is none; 400 if it can't be parsed or is missed."""
        self.check_media_type()
        return self.parsed(await self.body(), required=required)

    def parsed(self, raw: bytes, *, required: bool = False) -> Any:
        """Return a parsed body, an empty object if it is empty; 400 if it can't be parsed or is missed."""
        if not raw:
            if required:
                raise bad_request("the body of the request is empty: unexpected end of JSON input")
            return {}
        if self.media_type == protobuf.MEDIA_TYPE:
            return protobuf.decode(raw)
        try:
            return yaml.safe_load(raw) if "yaml" in self.media_type else orjson.loads(raw)
        except (orjson.JSONDecodeError, yaml.YAMLError) as error:
            raise bad_request(f"the object provided is unrecognized: {error}") from error

    async def answer(self, answer: Answer) -> None:
        """Send a whole response."""
        headers = [(b"content-type", answer.content_type), (b"content-length", str(len(answer.body)).encode())]
        if answer.retry_after_seconds is not None:
            headers.append((b"retry-after", str(answer.retry_after_seconds).encode()))
        headers += [(b"warning", f"299 - {json.dumps(warning)}".encode()) for warning in self.warnings]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body})

    async def begin_stream(self) -> None:
        """Send the head of a response whose length is unknown."""
        headers = [(b"content-type", JSON), (b"cache-control", b"no-cache, private")]
        self.is_streaming = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def stream(self, body: bytes, *, end: bool = False) -> None:
        """Send a part of a stream."""
        await self._send({"type": "http.response.body", "body": body, "more_body": not end})

    async def client_left(self) -> None:
        """Return once the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def cut(self) -> None:
        """Close the connection abruptly, without an answer."""
        # uvicorn hands out a bound method of its request cycle, which knows the transport.
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        abort = getattr(transport, "abort", None)
        if abort is not None:
            abort()
            await self.client_left()
            return
        headers = [(b"content-type", JSON), (b"content-length", b"2")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionAbortedError("the answer breaks off, as it was asked to")
