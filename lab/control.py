"""The lab's own interface, at /lab: its state, its speed, trouble to switch on, and the outage measured so far.

No part of KKP; the product never calls it. Answers only to this machine, and only with the lab's own token.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import secrets
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lab.faults import Faults, PlatformFault, RequestFault

if typing.TYPE_CHECKING:
    from starlette.types import ASGIApp

FaultKind = Literal["request", "platform"]
FAULT_KINDS: Mapping[str, type[RequestFault | PlatformFault]] = {"request": RequestFault, "platform": PlatformFault}
MAX_SPEED = 100_000.0


class BadInput(Exception):
    """What was asked for makes no sense; the message says why, for people."""


class ControlledLab(Protocol):
    """What the interface needs of a lab."""

    faults: Faults

    def state(self) -> dict[str, Any]:
        """Return clusters, speed and whether all is settled."""

    def requests(self) -> dict[str, dict[str, int]]:
        """Return, by server, how many requests of each verb and resource were answered."""

    def rest_api(self) -> dict[str, Any]:
        """Return where KKP's REST API is, and the tokens of people who differ in what they may."""

    def outage(self, cluster: str) -> dict[str, Any]:
        """Return the outage measured in a user cluster; raises KeyError for an unknown one."""

    def reset_outage(self, cluster: str | None) -> None:
        """Measure from now on, in one user cluster or in all; raises KeyError for an unknown one."""

    def forget_history(self) -> None:
        """Make every resourceVersion and continue token that clients hold too old, in all API servers."""

    def nodes(self, cluster: str) -> dict[str, list[str]]:
        """Return the CNI configuration files of each node of a user cluster."""

    def reboot(self, cluster: str, node: str) -> None:
        """Have a node reboot."""

    def remove_cni_configuration(self, cluster: str, node: str, file: str) -> None:
        """Have a node without a file of /etc/cni/net.d."""

    @property
    def is_attached(self) -> bool:
        """Tell whether the API servers are somebody else's, in whose answers the lab can make no trouble."""

    def set_speed(self, speed: float) -> None:
        """Let time pass at this speed from now on."""


Answer = Callable[[Request], Awaitable[Response]]


def control_app(lab: ControlledLab, *, token: str) -> ASGIApp:
    """Return the application to mount at /lab."""
    endpoints = _Endpoints(lab)
    return Starlette(
        routes=[
            Route("/state", _guarded(token, endpoints.state)),
            Route("/speed", _guarded(token, endpoints.set_speed), methods=["POST"]),
            Route("/requests", _guarded(token, endpoints.requests)),
            Route("/kkp", _guarded(token, endpoints.rest_api)),
            Route("/outage", _guarded(token, endpoints.outage)),
            Route("/outage/reset", _guarded(token, endpoints.reset_outage), methods=["POST"]),
            Route("/history/forget", _guarded(token, endpoints.forget_history), methods=["POST"]),
            Route("/nodes", _guarded(token, endpoints.nodes)),
            Route("/nodes/reboot", _guarded(token, endpoints.reboot), methods=["POST"]),
            Route("/nodes/cni", _guarded(token, endpoints.remove_cni_configuration), methods=["DELETE"]),
            Route("/faults", _guarded(token, endpoints.faults)),
            Route("/faults", _guarded(token, endpoints.add_fault), methods=["POST"]),
            Route("/faults", _guarded(token, endpoints.clear_faults), methods=["DELETE"]),
        ]
    )


def fault_from(body: Any) -> RequestFault | PlatformFault:
    """Return the fault that a JSON object with `kind` describes; raises BadInput."""
    if not isinstance(body, dict) or body.get("kind") not in FAULT_KINDS:
        raise BadInput(f"a fault is a JSON object with kind {_either(FAULT_KINDS)}")
    kind = FAULT_KINDS[body["kind"]]
    hints = typing.get_type_hints(kind)
    given = {name: value for name, value in body.items() if name != "kind"}
    allowed = [field.name for field in dataclasses.fields(kind) if field.name != "id"]
    for name, value in given.items():
        if name not in allowed:
            raise BadInput(f"a {body['kind']} fault has no {name!r}; it has {', '.join(allowed)}")
        _check_value(name, value, hints[name])
    if "trouble" not in given:
        raise BadInput(f"trouble is missing; it is one of {_either(typing.get_args(hints['trouble']))}")
    return kind(**given)


def fault_as_json(fault: RequestFault | PlatformFault) -> dict[str, Any]:
    """Return a fault as `fault_from` reads it, with its id."""
    kind = "request" if isinstance(fault, RequestFault) else "platform"
    return {"kind": kind, **dataclasses.asdict(fault)}


def checked_speed(value: Any) -> float:
    """Return a speed that is a positive number; raises BadInput."""
    try:
        speed = float(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"speed is a number above 0, not {value!r}") from error
    if isinstance(value, bool) or not 0 < speed <= MAX_SPEED:
        raise BadInput(f"speed is a number above 0 and at most {MAX_SPEED:.0f}, not {value!r}")
    return speed


class _Endpoints:
    def __init__(self, lab: ControlledLab) -> None:
        self._lab = lab

    async def state(self, _request: Request) -> Response:
        return JSONResponse(self._lab.state())

    async def set_speed(self, request: Request) -> Response:
        body = await _body(request)
        self._lab.set_speed(checked_speed(body.get("speed") if isinstance(body, dict) else None))
        return JSONResponse(self._lab.state())

    async def requests(self, _request: Request) -> Response:
        return JSONResponse(self._lab.requests())

    async def rest_api(self, _request: Request) -> Response:
        return JSONResponse(self._lab.rest_api())

    async def outage(self, request: Request) -> Response:
        return JSONResponse(self._lab.outage(self._cluster(request) or self._only_cluster()))

    async def reset_outage(self, request: Request) -> Response:
        self._lab.reset_outage(self._cluster(request))
        return JSONResponse({})

    async def forget_history(self, _request: Request) -> Response:
        self._lab.forget_history()
        return JSONResponse({})

    async def nodes(self, request: Request) -> Response:
        return JSONResponse({"nodes": self._lab.nodes(self._cluster(request) or self._only_cluster())})

    async def reboot(self, request: Request) -> Response:
        cluster, node = self._node(request)
        if "nodes" in self._lab.state()["without"]:
            raise BadInput("the nodes are somebody else's: the lab runs without kubelets of its own")
        self._lab.reboot(cluster, node)
        return JSONResponse({})

    async def remove_cni_configuration(self, request: Request) -> Response:
        cluster, node = self._node(request)
        file, files = request.query_params.get("file", ""), self._lab.nodes(cluster)[node]
        if file not in files:
            raise BadInput(f"node {node} has no {file!r} in /etc/cni/net.d; it has {_either(files) or 'nothing there'}")
        self._lab.remove_cni_configuration(cluster, node, file)
        return JSONResponse({})

    def _node(self, request: Request) -> tuple[str, str]:
        cluster = self._cluster(request) or self._only_cluster()
        node, nodes = request.query_params.get("node", ""), self._lab.nodes(cluster)
        if node not in nodes:
            raise BadInput(f"there is no node {node!r}; there are {_either(nodes)}")
        return cluster, node

    async def faults(self, _request: Request) -> Response:
        return JSONResponse({"faults": [fault_as_json(fault) for fault in self._switched_on()]})

    async def add_fault(self, request: Request) -> Response:
        fault = fault_from(await _body(request))
        if isinstance(fault, RequestFault) and self._lab.is_attached:
            raise BadInput("the API servers are not the lab's own: it can make platform trouble only")
        return JSONResponse({"id": self._lab.faults.add(fault)}, status_code=201)

    async def clear_faults(self, request: Request) -> Response:
        wanted = request.query_params.get("id")
        if wanted is not None and not wanted.isdecimal():
            raise BadInput(f"id is a number, not {wanted!r}")
        if wanted is not None and int(wanted) not in {fault.id for fault in self._switched_on()}:
            raise BadInput(f"there is no fault {wanted}: it was cleared, or its times are used up")
        self._lab.faults.clear(None if wanted is None else int(wanted))
        return JSONResponse({})

    def _switched_on(self) -> list[RequestFault | PlatformFault]:
        return [*self._lab.faults.requests, *self._lab.faults.platform]

    def _cluster(self, request: Request) -> str | None:
        asked = request.query_params.get("cluster")
        names = self._names()
        if asked is None or asked in names:
            return asked
        by_human_name = {human: name for name, human in names.items()}
        if asked not in by_human_name:
            known = ", ".join(f"{name} ({human})" for name, human in names.items())
            raise BadInput(f"there is no user cluster {asked!r}; there are {known}")
        return by_human_name[asked]

    def _only_cluster(self) -> str:
        names = self._names()
        if len(names) != 1:
            raise BadInput(f"say which cluster: {', '.join(names)}")
        return next(iter(names))

    def _names(self) -> dict[str, str]:
        return {item["name"]: item["humanReadableName"] for item in self._lab.state()["clusters"]}


def _guarded(token: str, answer: Answer) -> Answer:
    async def guard(request: Request) -> Response:
        if not _is_loopback(request):
            return JSONResponse({"error": "the lab's own interface answers to its own machine only"}, status_code=403)
        presented = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(presented.encode(), token.encode()):
            return JSONResponse({"error": "the lab's own interface needs the lab's own token"}, status_code=401)
        try:
            return await answer(request)
        except BadInput as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return guard


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


async def _body(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise BadInput("the body is no JSON") from error


def _check_value(name: str, value: Any, hint: Any) -> None:
    if typing.get_origin(hint) is typing.Literal:
        if value not in typing.get_args(hint):
            raise BadInput(f"{name} is one of {_either(typing.get_args(hint))}, not {value!r}")
        return
    accepted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(value) not in accepted:
        raise BadInput(f"{name} is {' or '.join(_WORDS[kind] for kind in accepted)}, not {value!r}")
    if name == "path":
        _check_pattern(value)
    if isinstance(value, int) and value < 1:
        raise BadInput(f"{name} is at least 1, not {value}")


def _check_pattern(value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise BadInput(f"path is a regular expression, and {value!r} is none: {error}") from error


_WORDS = {str: "a text", int: "a whole number", type(None): "null"}


def _either(values: typing.Iterable[str]) -> str:
    return ", ".join(values)
