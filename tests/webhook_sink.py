"""A webhook on loopback that keeps what it is sent, and when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ALWAYS = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Received:
    """One notification, as it arrived."""

    subject: str
    body: str
    at: datetime


@dataclass
class Sink:
    """What has arrived so far."""

    url: str
    arrived: threading.Condition = field(default_factory=threading.Condition)
    messages: list[Received] = field(default_factory=list)

    def about(self, *words: str, since: datetime = ALWAYS) -> list[Received]:
        """Return the messages with all of these words in them."""
        with self.arrived:
            recent = [each for each in self.messages if each.at >= since]
        return [each for each in recent if all(word in f"{each.subject}\n{each.body}" for word in words)]

    def wait_for(self, *words: str, seconds: float, since: datetime = ALWAYS) -> Received:
        """Return the first message with all of these words; fails the test if none comes in time."""
        ends = time.monotonic() + seconds
        with self.arrived:
            while not (found := self.about(*words, since=since)):
                left = ends - time.monotonic()
                assert left > 0, f"no message with {words} within {seconds:g} s; there are {self.messages}"
                self.arrived.wait(left)
        return found[0]


@contextmanager
def webhook_sink() -> Iterator[Sink]:
    """Run a sink until the block ends. It takes JSON with `subject` and `body`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        sink = Sink(f"http://127.0.0.1:{server.server_port}/")
        server.RequestHandlerClass = _handler(sink)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="webhook sink")
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


def _handler(sink: Sink) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with sink.arrived:
                sink.messages.append(Received(sent["subject"], sent["body"], datetime.now(UTC)))
                sink.arrived.notify_all()
            self.send_response(204)
            self.end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Say nothing: what arrived is what tests look at."""

    return Handler
