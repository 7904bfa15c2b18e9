"""Fixtures: an API server behind HTTP, a client, and objects to send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import httpx
import pytest
import uvicorn

from lab.apiserver.app import build_app
from lab.apiserver.server import ApiServer, User
from lab.faults import Faults
from lab.objects import Object

PREFIX = "/seeds/lab"
PATIENCE_SECONDS = 10


class Lines:
    """The events of an open watch."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, Object]:
        """Return type and object of the next event."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            event = json.loads(await anext(self._lines))
        return event["type"], event["object"]

    async def ended(self) -> bool:
        """Tell whether the server ends the watch without another event."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [line async for line in self._lines] == []


class OpenWatch(Protocol):
    def __call__(self, path: str, **query: object) -> AbstractAsyncContextManager[Lines]: ...


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def server(faults: Faults) -> ApiServer:
    return ApiServer(
        "lab",
        tokens={"admin": User("admin", ("system:masters",))},
        faults=faults,
        watch_history=50,
    )


@pytest.fixture
async def url(server: ApiServer) -> AsyncIterator[str]:
    config = uvicorn.Config(
        build_app({PREFIX: server}), lifespan="off", log_level="critical", access_log=False, ws="none"
    )
    listener = uvicorn.Server(config)
    config.load()
    listener.lifespan = config.lifespan_class(config)
    # asyncio turns Nagle's algorithm off only for sockets that say that they are TCP.
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)) as bound:
        bound.bind(("127.0.0.1", 0))
        await listener.startup(sockets=[bound])
        yield f"http://127.0.0.1:{bound.getsockname()[1]}{PREFIX}"
        # Not `shutdown`, which sleeps: the clients have left, so their requests are about to end.
        for listening in listener.servers:
            listening.close()
        await asyncio.gather(*listener.server_state.tasks)


@asynccontextmanager
async def client_of(url: str, token: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_SECONDS, verify=False) as client:
        yield client


@pytest.fixture
async def api(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(url, "admin") as client:
        yield client


@pytest.fixture
def watch(api: httpx.AsyncClient) -> OpenWatch:
    @asynccontextmanager
    async def opened(path: str, **query: object) -> AsyncIterator[Lines]:
        parameters: dict[str, Any] = {"watch": "true", **query}
        async with api.stream("GET", path, params=parameters) as response:
            yield Lines(response)

    return opened


@pytest.fixture
def pods() -> str:
    return "/api/v1/namespaces/default/pods"


@pytest.fixture
def make_pod():
    def make(name: str, **labels: str) -> Object:
        container = {"name": "main", "image": "registry.k8s.io/pause:3.10"}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [container]},
        }

    return make


@pytest.fixture
def make_config_map():
    def make(name: str, **data: str) -> Object:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}

    return make


@pytest.fixture
def cluster_definition() -> Object:
    network = {
        "type": "object",
        "required": ["proxyMode"],
        "properties": {"proxyMode": {"type": "string", "enum": ["ipvs", "iptables", "ebpf", "nftables"]}},
    }
    spec = {
        "type": "object",
        "required": ["clusterNetwork"],
        "properties": {
            "clusterNetwork": network,
            "containerRuntime": {"type": "string", "default": "containerd"},
            "replicas": {"type": "integer"},
        },
    }
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [
            {"name": "Proxy", "type": "string", "jsonPath": ".spec.clusterNetwork.proxyMode"},
            {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "clusters.kubermatic.k8c.io"},
        "spec": {
            "group": "kubermatic.k8c.io",
            "scope": "Cluster",
            "names": {"plural": "clusters", "kind": "Cluster", "shortNames": ["cl"]},
            "versions": [version],
        },
    }


@pytest.fixture
async def clusters(api: httpx.AsyncClient, cluster_definition: Object) -> str:
    """The path of a custom resource that is served."""
    answer = await api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=cluster_definition)
    assert answer.status_code == 201
    return "/apis/kubermatic.k8c.io/v1/clusters"


@pytest.fixture
def make_cluster():
    def make(name: str, proxy_mode: str = "ipvs") -> Object:
        return {
            "apiVersion": "kubermatic.k8c.io/v1",
            "kind": "Cluster",
            "metadata": {"name": name},
            "spec": {"clusterNetwork": {"proxyMode": proxy_mode}},
        }

    return make


@pytest.fixture
def deployments() -> str:
    return "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture
def workload() -> Object:
    main = {"name": "main", "image": "web:1", "env": [{"name": "A", "value": "1"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [main, {"name": "side", "image": "side:1"}]},
            },
        },
    }
