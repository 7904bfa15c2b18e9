"""The REST API as an ASGI application: routes, authentication, trouble, counting. Refuses to know any object.

Routes: D pkg/handler/v1/routes_v1.go and pkg/handler/v2/routes_v2.go.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from lab.errors import ApiError
from lab.restapi import about_clusters, applications, clusters, machines, projects
from lab.restapi.answers import RestError, json_answer, of_kubernetes, refusal
from lab.restapi.installation import Call, Installation
from lab.restapi.trouble import carry_out

SERVER_NAME = "kkp"
"""How faults and counted requests name the REST API, which is no API server of a cluster."""

log = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[Any]]

_CLUSTER = "/api/v2/projects/{project}/clusters/{cluster}"
_MACHINE_DEPLOYMENT = f"{_CLUSTER}/machinedeployments/{{deployment}}"
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api/v1/version", projects.version),
    ("GET", "/api/v1/me", projects.me),
    ("GET", "/api/v1/projects", projects.list_projects),
    ("GET", "/api/v1/projects/{project}", projects.get_project),
    ("GET", "/api/v2/projects/{project}/clusters", clusters.list_clusters),
    ("GET", _CLUSTER, clusters.get_cluster),
    ("PATCH", _CLUSTER, clusters.patch_cluster),
    ("GET", f"{_CLUSTER}/health", about_clusters.health),
    ("GET", f"{_CLUSTER}/events", about_clusters.cluster_events),
    ("GET", f"{_CLUSTER}/cniversions", about_clusters.cni_versions_of_cluster),
    ("GET", f"{_CLUSTER}/kubeconfig", about_clusters.kubeconfig),
    ("GET", f"{_CLUSTER}/nodes", machines.list_lone_nodes),
    ("GET", f"{_CLUSTER}/machinedeployments", machines.list_deployments),
    ("GET", _MACHINE_DEPLOYMENT, machines.get_deployment),
    ("PATCH", _MACHINE_DEPLOYMENT, machines.patch_deployment),
    ("POST", f"{_MACHINE_DEPLOYMENT}/restart", machines.restart_deployment),
    ("GET", f"{_MACHINE_DEPLOYMENT}/nodes", machines.list_nodes),
    ("GET", f"{_MACHINE_DEPLOYMENT}/nodes/events", machines.node_events),
    ("GET", f"{_CLUSTER}/addons", applications.list_addons),
    ("GET", f"{_CLUSTER}/applicationinstallations", applications.list_installations),
    ("GET", f"{_CLUSTER}/applicationinstallations/{{namespace}}/{{name}}", applications.get_installation),
    ("DELETE", f"{_CLUSTER}/applicationinstallations/{{namespace}}/{{name}}", applications.delete_installation),
    ("GET", "/api/v2/applicationdefinitions", applications.list_definitions),
    ("GET", "/api/v2/applicationdefinitions/{name}", applications.get_definition),
    ("GET", "/api/v2/cni/{type}/versions", about_clusters.cni_versions),
)


class RestApi:
    """The application to mount; `requests` counts what was answered, by method and route."""

    def __init__(self, kkp: Installation) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self._kkp = kkp
        self._app = Starlette(
            routes=[Route(path, self._answering(path, act), methods=[method]) for method, path, act in ROUTES]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or make the trouble that was asked for."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        fault = self._kkp.faults.for_request(SERVER_NAME, scope["method"], path)
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await carry_out(fault, self._app, scope, receive, send)

    def _answering(self, path: str, act: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self.requests[request.method.lower(), path] += 1
            try:
                return await self._answer(request, act)
            except RestError as error:
                return refusal(error)
            except ApiError as error:
                return refusal(of_kubernetes(error))
            except Exception as error:  # a request outlives nothing: who asks gets the 500 that KKP gives
                log.exception("%s %s failed", request.method, path)
                return refusal(RestError(500, f"{type(error).__name__}: {error}"))

        return answer

    async def _answer(self, request: Request, act: Handler) -> Response:
        person = self._kkp.people.authenticated(request.headers.get("authorization", ""))
        found = await act(Call(request, person, self._kkp))
        return found if isinstance(found, Response) else json_answer(found)
