"""One HTTP request and its answer on top of ASGI, as thin as can be. Refuses to know Kubernetes objects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from lab.apiserver import protobuf
from lab.apiserver.problems import bad_request
from lab.apiserver.routes import query_of
from lab.errors import ApiError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"


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
        return Answer(error.code, orjson.dumps(error.status()) + b"\n", JSON, error.retry_after_seconds)


class Exchange:
    """A request that has arrived, and the way back."""

    __slots__ = ("_receive", "_send", "headers", "is_streaming", "method", "path", "query")

    def __init__(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        self.method: str = scope["method"]
        self.path = path
        """The path behind the server's prefix."""
        self.query = query_of(scope["query_string"])
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.is_streaming = False
        """Whether the head of a streamed response has been sent."""
        self._receive = receive
        self._send = send

    def header(self, name: bytes) -> str:
        """Return a header, empty if there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.header(b"content-type").partition(";")[0].strip()

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
        raw = await self.body()
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
