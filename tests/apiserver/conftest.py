"""The contract: what an API server does, asked of the lab's and of a real one by the same requests.

Every test of this folder that asks for `server`, `api` or `namespace` runs twice, once for each of the two.
"""

from __future__ import annotations

import itertools
import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import yaml

from tests.apiserver.bodies import GROUP, definition_of_things
from tests.control_plane import WORKLOAD_CONTROLLERS, ControlPlane, control_plane
from tests.running_lab import RunningLab, lab_process

TIMEOUT_SECONDS = 20
_numbers = itertools.count(1)


class Server(Protocol):
    """An API server under test, with the controllers of workloads, budgets and garbage beside it; no node."""

    name: str
    url: str
    certificate_file: Path
    admin_token: str

    def client(self, token: str = "") -> httpx.Client:
        """Return a client of the admin, or of whom the token is; whoever asks closes it."""

    def forget_history(self) -> None:
        """Have what lists and watches left open before now expire."""


@dataclass(frozen=True)
class LabServer:
    """The API server of a user cluster of the lab."""

    lab: RunningLab
    name: str = "lab"

    @cached_property
    def _config(self) -> Any:
        return yaml.safe_load(self.lab.cluster_kubeconfig().read_text())

    @property
    def url(self) -> str:
        return str(self._config["clusters"][0]["cluster"]["server"])

    @property
    def admin_token(self) -> str:
        return str(self._config["users"][0]["user"]["token"])

    @property
    def certificate_file(self) -> Path:
        return self.lab.directory / "ca.crt"

    def client(self, token: str = "") -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {token or self.admin_token}"},
            verify=ssl.create_default_context(cafile=self.certificate_file),
            timeout=TIMEOUT_SECONDS,
        )

    def forget_history(self) -> None:
        self.lab.remote.forget_history()


@pytest.fixture(scope="package")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    directory = tmp_path_factory.mktemp("contract") / "lab"
    without = [word for part in ("kkp", "nodes", "machines", "network") for word in ("--without", part)]
    with lab_process(directory, "--clusters", "1", "--nodes", "1", "--pods", "1", *without) as running:
        yield LabServer(running)


@pytest.fixture(scope="package")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("contract") / "real"
    with control_plane(folder, controllers=WORKLOAD_CONTROLLERS, service_accounts=False) as plane:
        yield plane


@pytest.fixture(scope="package", params=["lab", pytest.param("real", marks=pytest.mark.control_plane)])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(scope="package")
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def namespace(api: httpx.Client) -> str:
    """A namespace that the test has for itself. It stays, as the server ends with the session."""
    name = f"contract-{next(_numbers)}"
    made = api.post("/api/v1/namespaces", json={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    assert made.status_code == 201, made.text
    return name


class Events:
    """The lines of an open watch."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def next(self) -> tuple[str, Any]:
        """Return type and object of the next event; httpx.ReadTimeout if none comes."""
        event = json.loads(next(self._lines))
        return event["type"], event["object"]

    def until_end(self) -> list[tuple[str, Any]]:
        """Return the events that still come before the server closes the watch."""
        return [(event["type"], event["object"]) for event in map(json.loads, self._lines)]


OpenWatch = Callable[..., AbstractContextManager[Events]]


@pytest.fixture
def watch(api: httpx.Client) -> OpenWatch:
    """Open a watch: `with watch(path, resourceVersion="1", ...) as events`."""

    @contextmanager
    def opened(path: str, **query: Any) -> Iterator[Events]:
        with api.stream("GET", path, params={"watch": "true", **query}) as response:
            yield Events(response)

    return opened


@pytest.fixture(scope="package")
def served_things(api: httpx.Client) -> str:
    """The API path of a custom resource, see `bodies`, that is served."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = api.post(definitions, json=definition_of_things())
    assert made.status_code in (201, 409), made.text  # 409 where the order of the tests comes back to a server
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while api.get(f"/apis/{GROUP}/v1/things").status_code != 200:
        assert time.monotonic() < deadline, "the definition is not served"
    return f"/apis/{GROUP}/v1"


@pytest.fixture
def things(served_things: str, namespace: str) -> str:
    """The path of the namespace's custom resources of `bodies`."""
    return f"{served_things}/namespaces/{namespace}/things"
