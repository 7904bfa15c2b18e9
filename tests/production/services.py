"""PostgreSQL, Redis and an S3 server in processes of their own, as a Prefect server in production has them beside it.

Everything is on loopback and in folders of its own, and ends with the block or with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.programs import NO_POSTGRES, NO_REDIS, find_postgres, find_redis
from tests.running_lab import STOP_SECONDS, eventually, guard, tell_guard

HOST = "127.0.0.1"
USER = "prefect"
FOR_ROOT = "postgres"
"""Whom Debian's package makes: PostgreSQL refuses to run as root, as CI does."""


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run PostgreSQL with an empty database; yields its URL, without a driver."""
    programs = find_postgres()
    assert programs, NO_POSTGRES
    with _folder_of_postgres() as (folder, as_user):
        data, port = folder / "data", free_port()
        # Nothing of it is kept: what a crash of the machine would lose is lost anyway.
        options = ["-D", str(data), "-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([*as_user, str(programs / "initdb"), *options], cwd=folder, check=True, capture_output=True)
        settings = {"listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off"}
        command = [str(programs / "postgres"), "-D", str(data)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with _process([*as_user, *command], folder, Path(f"{folder}.log"), port):
            yield f"postgresql://{USER}@{HOST}:{port}/postgres"


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run an empty Redis, which writes nothing to disk; yields its URL."""
    program = find_redis()
    assert program, NO_REDIS
    port = free_port()
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with _process([str(program), *options], folder, folder / "redis.log", port):
        yield f"redis://{HOST}:{port}/0"


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[str]:
    """Run a server that talks S3 and keeps everything in memory; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(port)]
    with _process(command, folder, folder / "s3.log", port):
        yield f"http://{HOST}:{port}"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _folder_of_postgres() -> Iterator[tuple[Path, Sequence[str]]]:
    """Yield a folder, and what a command has to begin with to run as its owner, who must not be root."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if os.geteuid() != 0:
            yield folder, ()
            return
        owner = pwd.getpwnam(FOR_ROOT)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        yield folder, ("setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups")
    finally:
        shutil.rmtree(folder)
        Path(f"{folder}.log").unlink(missing_ok=True)


@contextlib.contextmanager
def _process(command: Sequence[str], folder: Path, log: Path, port: int) -> Iterator[None]:
    with guard() as guarding, log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        tell_guard(guarding, "+", process)
        try:
            eventually(lambda: _listens(process, port, log), what=f"{command[-1]} ({log})")
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=STOP_SECONDS)
            finally:
                process.kill()
        tell_guard(guarding, "-", process)


def _listens(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
