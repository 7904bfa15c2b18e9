"""One Kubernetes API server in memory: authentication, faults, counting, and which part answers a request.

Refuses to listen: `lab.apiserver.app` puts it behind a path prefix, and whoever starts the lab serves that.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from lab.apiserver.access.authority import Access
from lab.apiserver.access.bootstrap import create_first_roles
from lab.apiserver.access.escalation import Escalation
from lab.apiserver.access.reviews import Reviews
from lab.apiserver.access.rules import Act, Roles
from lab.apiserver.access.tokens import ServiceAccountTokens
from lab.apiserver.admission import LAB, AdmissionHook, AdmissionRequest, Caller, User
from lab.apiserver.documents.documents import document
from lab.apiserver.endpoints import Endpoints, LogSource
from lab.apiserver.exchange import Answer, Exchange
from lab.apiserver.inprocess import InProcessClient
from lab.apiserver.options import options_of
from lab.apiserver.problems import method_not_allowed
from lab.apiserver.registry import Registry
from lab.apiserver.routes import Route, name_selected, route_of, verb_of
from lab.apiserver.store import WATCH_HISTORY, Store
from lab.apiserver.trouble import carry_out
from lab.apiserver.watching import stream_watch
from lab.errors import ApiError
from lab.faults import Faults
from lab.objects import Object, name_of
from lab.platform.client import Client
from lab.resources import Resource

__all__ = ["AdmissionHook", "AdmissionRequest", "ApiServer", "User"]

log = logging.getLogger(__name__)

_IMPERSONATION = frozenset({b"impersonate-user", b"impersonate-group", b"impersonate-uid"})


def logged_starts(pod: Object) -> str:
    """Return a line per container, for pods whose programs say nothing of their own."""
    return "".join(f"{container['name']} started in {name_of(pod)}\n" for container in pod["spec"]["containers"])


class ApiServer:
    """The API of one cluster; `client` is the way in for controllers, HTTP requests come through `handle`."""

    def __init__(
        self,
        name: str,
        *,
        tokens: Mapping[str, User],
        faults: Faults,
        version: str = "v1.34.11",
        watch_history: int = WATCH_HISTORY,
        log_source: LogSource = logged_starts,
    ) -> None:
        self.name = name
        self.version = version
        self.requests: Counter[tuple[str, str]] = Counter()
        """How many HTTP requests have come, by verb and group resource (with `/subresource`)."""
        self.registry = Registry(Store(history=watch_history))
        self.registry.create_first_namespaces(LAB)
        self.client: Client = InProcessClient(self.registry)
        self._faults = faults
        create_first_roles(self.registry, LAB)
        roles, accounts = Roles(self.registry), ServiceAccountTokens(self.registry)
        self._access = Access(tokens, accounts, roles)
        Escalation(self._access, roles).register(self.registry.hooks)
        self._endpoints = Endpoints(self.registry, Reviews(self._access, roles), accounts, log_source)

    def register_admission(self, resource: Resource, hook: AdmissionHook) -> None:
        """Ask a hook about every write of a resource and its subresources."""
        self.registry.hooks.register(resource, hook)

    def forget_history(self) -> None:
        """Make every resourceVersion that clients hold too old, as a compaction of etcd does."""
        self.registry.store.forget_history()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one HTTP request."""
        route = route_of(exchange.path)
        verb = verb_of(exchange.method, route, exchange.query) if route else exchange.method.lower()
        if route:
            self.requests[verb, route.group_resource] += 1
        fault = self._faults.for_request(self.name, exchange.method, exchange.path, watch=verb == "watch")
        if fault is None:
            await self._serve(exchange, route, verb)
        else:
            if fault.trouble == "timeout-after" and verb != "watch":
                await self._answer(exchange, route, verb)
            await carry_out(fault, exchange)

    async def _serve(self, exchange: Exchange, route: Route | None, verb: str) -> None:
        if verb == "watch" and route is not None:
            await self._watch(exchange, route)
        else:
            await exchange.answer(await self._answer(exchange, route, verb))

    async def _answer(self, exchange: Exchange, route: Route | None, verb: str) -> Answer:
        try:
            if route is None:
                return self._document(exchange, verb)
            by = self._caller(exchange, route, verb)
            return await self._endpoints.answer(exchange, route, verb, by=by)
        except ApiError as error:
            return Answer.refusal(error)
        except Exception as error:  # a request outlives nothing: the client gets the 500 that kube-apiserver gives
            log.exception("%s %s failed", exchange.method, exchange.path)
            return Answer.refusal(ApiError(500, f"Internal error occurred: {error}"))

    async def _watch(self, exchange: Exchange, route: Route) -> None:
        try:
            asked = self._endpoints.asked(exchange, route, self._caller(exchange, route, "watch"))
            await stream_watch(exchange, self.registry, asked.rendering, asked.selection)
        except ApiError as error:
            await exchange.answer(Answer.refusal(error))
        except Exception as error:
            log.exception("watch of %s failed", exchange.path)
            if exchange.is_streaming:
                raise  # uvicorn breaks the connection off, and the client watches anew
            await exchange.answer(Answer.refusal(ApiError(500, f"Internal error occurred: {error}")))

    def _caller(self, exchange: Exchange, route: Route, verb: str) -> Caller:
        """Return who asks, once it is clear that they may."""
        user = self._user(exchange)
        self._access.authorize(user, _act(exchange, route, verb))
        if not verb:
            raise method_not_allowed()
        options = options_of(verb, exchange.query, user_agent=exchange.header(b"user-agent"), patch=exchange.media_type)
        return Caller(user, dry_run=options.dry_run, manager=options.manager)

    def _user(self, exchange: Exchange) -> User:
        user = self._access.authenticate(exchange.header(b"authorization"))
        if _IMPERSONATION.isdisjoint(exchange.headers):
            return user
        name, uid = exchange.header(b"impersonate-user"), exchange.header(b"impersonate-uid")
        return self._access.impersonated(user, name=name, groups=exchange.header_values(b"impersonate-group"), uid=uid)

    def _document(self, exchange: Exchange, verb: str) -> Answer:
        """Answer a path that is not a resource's."""
        self._access.authorize(self._user(exchange), Act(verb=verb, path=exchange.path))
        path = exchange.path.rstrip("/")
        if verb not in ("get", "head"):
            raise method_not_allowed()
        return document(
            self.registry.catalog,
            self.version,
            path,
            exchange.header(b"accept"),
            verbose="verbose" in exchange.query,
        )


def _act(exchange: Exchange, route: Route, verb: str) -> Act:
    """Return what a request wants. Source: k8s.io/apiserver v0.35, pkg/endpoints/request/requestinfo.go."""
    name, namespace = route.name, route.namespace
    if not name and verb in ("list", "watch"):
        name = name_selected(exchange.query)
    if not route.group and route.plural == "namespaces":
        namespace = route.name
    return Act(
        verb=verb,
        group=route.group,
        resource=route.plural,
        subresource=route.subresource,
        namespace=namespace,
        name=name,
    )
