"""Fixtures: one lab of three user clusters, in three projects, and its REST API as different people reach it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lab.landscape import PROJECTS_OF_THE_LAB
from lab.remote import RemoteLab
from tests.running_lab import RunningLab, lab_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALL_CLUSTERS = 3


class RestLab:
    """A lab's REST API, and who may use it."""

    def __init__(self, running: RunningLab) -> None:
        self.running = running
        found = running.remote.rest_api()
        self.url, self.tokens = found["url"], found["tokens"]
        self._trust = ssl.create_default_context(cafile=str(running.directory / "ca.crt"))
        self.projects = [item.id for item in PROJECTS_OF_THE_LAB]
        self.clusters = [item["name"] for item in running.clusters()]
        """The n-th lies in the n-th project."""

    @property
    def remote(self) -> RemoteLab:
        return self.running.remote

    def client(self, person: str = "owner", **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        return httpx.Client(base_url=self.url, headers=headers, verify=self._trust, **options)

    def anonymous(self, authorization: str | None) -> httpx.Client:
        headers = {} if authorization is None else {"Authorization": authorization}
        return httpx.Client(base_url=self.url, headers=headers, verify=self._trust)

    def path(self, index: int = 0) -> str:
        return f"/api/v2/projects/{self.projects[index]}/clusters/{self.clusters[index]}"


@pytest.fixture(scope="module")
def rest_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestLab]:
    """Shared by a module's tests, so they leave its clusters on Canal."""
    directory = tmp_path_factory.mktemp("rest") / "lab"
    small = ("--clusters", str(ALL_CLUSTERS), "--nodes", "2", "--pods", "10", "--speed", "200")
    with lab_process(directory, *small) as running:
        yield RestLab(running)


@pytest.fixture
def owner(rest_lab: RestLab) -> Iterator[httpx.Client]:
    with rest_lab.client() as client:
        yield client


@pytest.fixture
def faultless(rest_lab: RestLab) -> Iterator[RestLab]:
    yield rest_lab
    rest_lab.remote.clear_faults()


@pytest.fixture
def as_person(rest_lab: RestLab) -> Iterator[Callable[[str], httpx.Client]]:
    opened: list[httpx.Client] = []

    def open_as(person: str) -> httpx.Client:
        opened.append(rest_lab.client(person))
        return opened[-1]

    yield open_as
    for client in opened:
        client.close()
