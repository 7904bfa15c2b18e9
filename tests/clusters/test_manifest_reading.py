import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clusters import manifests
from clusters.manifests import read_manifest, shown
from migration.errors import InvalidRequest, Unreachable
from migration.manifests import LONGEST_TEXT

TEXT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: canal-config}\n# é\n"


class Server(ThreadingHTTPServer):
    """Serves on loopback what its paths say, until it is told to end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ending = threading.Event()
        self.asked: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        what, _, value = self.path.partition("?")[0].strip("/").partition("/")
        if what == "slow":
            self.server.ending.wait(30)
        elif what == "to":
            self.answer(302, Location=value if "//" in value or value.startswith("file:") else f"/{value}")
        elif what == "status":
            self.answer(int(value))
        elif what == "endless":
            self.endless()
        elif what == "packed":
            self.answer(200, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
        else:
            kind = "text/html; charset=utf-8" if what == "page" else "text/yaml"
            content = {"latin": "é".encode("latin-1"), "bom": b"\xef\xbb\xbf" + TEXT.encode()}.get(what, TEXT.encode())
            self.answer(200, content, **{"Content-Type": kind})

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.ending.is_set():
                self.wfile.write(b"# " + b"x" * 65536 + b"\n")
        except OSError:
            pass  # the client had enough

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


class TestFiles:
    async def test_a_path_is_relative_to_the_workers_directory(self, tmp_path, monkeypatch):
        (tmp_path / "canal.yaml").write_text(TEXT, encoding="utf-8")
        monkeypatch.chdir(tmp_path)

        assert await read_manifest("canal.yaml") == TEXT
        assert await read_manifest(str(tmp_path / "canal.yaml")) == TEXT

    async def test_what_is_not_there_is_named_with_where_it_was_looked_for(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        with pytest.raises(InvalidRequest, match=rf"canal.yaml can't be read: No such file .* relative to {tmp_path}"):
            await read_manifest("canal.yaml")

    @pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
    async def test_an_impossible_path_is_refused(self, path):
        with pytest.raises(InvalidRequest, match="can't be read"):
            await read_manifest(path)

    async def test_a_directory_is_no_manifest(self, tmp_path):
        with pytest.raises(InvalidRequest, match=r"is no file|can't be read: Is a directory"):
            await read_manifest(str(tmp_path))

    async def test_devices_and_pipes_are_not_read(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")

        for path in ("/dev/zero", str(tmp_path / "pipe")):
            with pytest.raises(InvalidRequest, match="is no file"):
                await read_manifest(path)

    async def test_a_file_that_is_too_long_or_no_text_is_refused(self, tmp_path):
        (tmp_path / "long.yaml").write_bytes(b"#" * (LONGEST_TEXT + 1))
        (tmp_path / "latin.yaml").write_bytes(b"\xe9")

        with pytest.raises(InvalidRequest, match="longer than 5 MiB"):
            await read_manifest(str(tmp_path / "long.yaml"))
        with pytest.raises(InvalidRequest, match="no text in UTF-8"):
            await read_manifest(str(tmp_path / "latin.yaml"))


class TestAddresses:
    @pytest.mark.parametrize("path", ["/canal.yaml", "/bom", "/to/canal.yaml", "/to/to/to/canal.yaml"])
    async def test_a_manifest_comes_from_an_address_also_by_redirects(self, server, path):
        assert await read_manifest(server.url(path)) == TEXT

    REFUSED = (
        ("/status/404", r"is not there for this worker \(HTTP 404\)"),
        ("/status/401", "HTTP 401"),
        ("/status/204", "HTTP 204"),
        ("/status/304", "HTTP 304"),
        ("/page", "a web page and no manifest"),
        ("/latin", "no text in UTF-8"),
        ("/packed", "comes compressed"),
        ("/endless", "longer than 5 MiB"),
        ("/to/to/to/to/to/to/to/canal.yaml", "leads on and on"),
        ("/to/file:///etc/passwd", "leads to a less safe address"),
        ("/to/ftp://127.0.0.1/canal.yaml", "leads to a less safe address"),
        ("/to/http://169.254.169.254/latest/meta-data", "link-local"),
        ("/to/http://user:word@127.0.0.1/canal.yaml", "has credentials in it"),
    )

    @pytest.mark.parametrize(("path", "message"), REFUSED)
    async def test_what_is_no_manifest_is_refused(self, server, path, message):
        with pytest.raises(InvalidRequest, match=message) as caught:
            await read_manifest(server.url(path))

        assert "word" not in str(caught.value)

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_a_server_in_trouble_may_serve_it_later(self, server, status):
        with pytest.raises(Unreachable, match=f"HTTP {status}"):
            await read_manifest(server.url(f"/status/{status}"))

    async def test_a_slow_server_is_not_waited_for(self, server, monkeypatch):
        monkeypatch.setattr(manifests, "DOWNLOAD_SECONDS", 0.1)

        with pytest.raises(Unreachable, match="did not come in time"):
            await read_manifest(server.url("/slow"))

    async def test_a_silent_server_is_not_waited_for(self, server, monkeypatch):
        monkeypatch.setattr(manifests, "SILENCE_SECONDS", 0.1)

        with pytest.raises(Unreachable, match="did not come in time"):
            await read_manifest(server.url("/slow"))

    async def test_a_server_that_is_not_there_is_unreachable(self):
        with running() as gone:
            url = gone.url("/canal.yaml")

        with pytest.raises(Unreachable, match="is not reachable from this worker"):
            await read_manifest(url)

    async def test_what_may_be_a_credential_is_not_shown(self, server):
        with pytest.raises(InvalidRequest) as caught:
            await read_manifest(server.url("/status/404?token=secret"))

        assert "secret" not in str(caught.value)
        assert server.asked[-1] == "/status/404?token=secret"

    UNUSABLE = (
        ("file:///etc/passwd", "only a path or an http"),
        ("FILE:/etc/passwd", "only a path or an http"),
        ("ftp://example.test/canal.yaml", "only a path or an http"),
        ("s3://bucket/canal.yaml", "only a path or an http"),
        ("data:text/yaml,a", "only a path or an http"),
        ("https://me:word@example.test/canal.yaml", "has credentials in it"),
        ("https://", "names no host"),
        ("https://[::1/canal.yaml", "no usable address"),
        ("http://example.test:port/", "no usable address"),
        ("http://169.254.169.254/latest/user-data", "link-local"),
        ("http://[::ffff:169.254.169.254]/latest", "link-local"),
        ("http://[fe80::1]/canal.yaml", "link-local"),
        ("http://[fd00:ec2::254]/latest", "link-local"),
    )

    @pytest.mark.parametrize(("source", "message"), UNUSABLE)
    async def test_an_address_that_is_not_for_manifests_is_refused(self, source, message):
        with pytest.raises(InvalidRequest, match=message) as caught:
            await read_manifest(source)

        assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("canal.yaml", "canal.yaml"),
        ("https://me:word@example.test:8443/a/b.yaml?token=x#y", "https://example.test:8443/a/b.yaml"),
        ("http://[::1", "(an address that makes no sense)"),
    ],
)
def test_a_source_is_called_without_credentials(source, name):
    assert shown(source) == name
