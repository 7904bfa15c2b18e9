"""The directory of a running lab: who holds it, and the files by which it is reached.

One lab at a time runs in a directory. The lock dies with its process, so a killed lab hinders no new one.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.credentials import private_directory, write_private


class DirectoryInUse(Exception):
    """Another lab runs in the directory."""


class DirectoryUnusable(Exception):
    """Files cannot be written there."""


class NoLabRuns(Exception):
    """The directory holds no running lab."""


@dataclass(frozen=True)
class Access:
    """How to reach the lab's own interface."""

    origin: str
    """Scheme, host and port."""
    token: str
    certificate_file: Path


class LabDirectory:
    """Paths and contents of a lab's files, all readable by their owner alone."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: IO[str] | None = None

    @property
    def seed_kubeconfig(self) -> Path:
        """The seed's kubeconfig, for people."""
        return self.path / "seed.kubeconfig"

    @property
    def connections(self) -> Path:
        """Directory of connection files as the flows read them, each named after the connection: seed and REST API."""
        return self.path / "connections"

    @property
    def _access_file(self) -> Path:
        return self.path / "interface.json"

    def cluster_kubeconfig(self, cluster: str) -> Path:
        """Return where a user cluster's kubeconfig lies, for people."""
        return self.path / "clusters" / f"{cluster}.kubeconfig"

    def acquire(self) -> None:
        """Hold the directory, removing what an earlier lab left; raises DirectoryInUse while another one holds it."""
        try:
            private_directory(self.path)
            lock = os.fdopen(os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")
        except OSError as error:
            raise DirectoryUnusable(f"cannot write to directory {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            message = f"a lab already runs in {self.path} (process {holder}): stop it, or choose another --directory"
            raise DirectoryInUse(message) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        self._remove_kubeconfigs()

    def release(self) -> None:
        """Let the directory go, without the kubeconfigs that work no more."""
        if self._lock is not None:
            self._remove_kubeconfigs()
            self._lock.close()
            self._lock = None

    def write_access(self, *, origin: str, token: str) -> None:
        """Leave what `access` reads."""
        write_private(self._access_file, json.dumps({"origin": origin, "token": token}))

    def write_seed(self, name: str, content: str) -> None:
        """Leave the seed's kubeconfig, and the same as connection `name`."""
        write_private(private_directory(self.connections) / f"{name}.kubeconfig", content)
        write_private(self.seed_kubeconfig, content)

    def write_rest_api(self, name: str, content: str) -> None:
        """Leave connection `name` to KKP's REST API."""
        write_private(private_directory(self.connections) / f"{name}.kkp.yaml", content)

    def write_cluster(self, name: str, content: str) -> None:
        """Leave a user cluster's kubeconfig."""
        private_directory(self.path / "clusters")
        write_private(self.cluster_kubeconfig(name), content)

    def access(self) -> Access:
        """Return how to reach the interface of the lab that runs here; raises NoLabRuns."""
        if not self._is_held():
            raise NoLabRuns(f"no lab runs in {self.path}: start one with `python -m lab up --directory {self.path}`")
        try:
            found = json.loads(self._access_file.read_text())
        except FileNotFoundError as error:
            raise NoLabRuns(f"the lab in {self.path} has just been started or is ending: try again") from error
        return Access(origin=found["origin"], token=found["token"], certificate_file=self.path / "ca.crt")

    def _is_held(self) -> bool:
        if self._lock is not None:
            return True
        try:
            with (self.path / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _remove_kubeconfigs(self) -> None:
        self._access_file.unlink(missing_ok=True)
        for pattern in ("*.kubeconfig", "clusters/*.kubeconfig", "connections/*.kubeconfig", "connections/*.kkp.yaml"):
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)
