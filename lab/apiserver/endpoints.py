"""What each verb on a resource's path does: from a request to an Answer. Refuses watches and non-resource paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.apiserver.access import Access
from lab.apiserver.admission import Caller
from lab.apiserver.binding import bind, node_of
from lab.apiserver.catalog import Definition
from lab.apiserver.decoding import decoded, decoded_message
from lab.apiserver.deletion import DeleteOptions
from lab.apiserver.discovery import REVIEWS
from lab.apiserver.eviction import evict
from lab.apiserver.exchange import Answer, Exchange
from lab.apiserver.paging import Page, PageRequest, page
from lab.apiserver.patch import APPLY_PATCH, merge_patch
from lab.apiserver.patching import patch_action
from lab.apiserver.problems import bad_request, method_not_allowed, no_such_path
from lab.apiserver.registry import Registry
from lab.apiserver.rendering import Rendering, form_of
from lab.apiserver.routes import Route, seconds_in
from lab.apiserver.scaling import scale_of, scaled
from lab.apiserver.selectors import Selection, select
from lab.apiserver.store import Stored
from lab.errors import ApiError
from lab.objects import Object, name_of, uid_of
from lab.resources import Resource

LogSource = Callable[[Object], str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a resource that is served."""

    exchange: Exchange
    definition: Definition
    route: Route
    by: Caller

    @property
    def resource(self) -> Resource:
        """The resource."""
        return self.definition.resource

    @property
    def rendering(self) -> Rendering:
        """How the client wants what it gets; raises the 406."""
        include = self.exchange.query.get("includeObject", "Metadata")
        return Rendering(self.definition, form_of(self.exchange.header(b"accept")), include)

    @property
    def selection(self) -> Selection:
        """Which objects a list, watch or deletecollection is about; raises the 400."""
        query, route = self.exchange.query, self.route
        fields = query.get("fieldSelector", "")
        if route.name:
            fields = ",".join(filter(None, (fields, f"metadata.name={route.name}")))
        return select(self.resource, namespace=route.namespace, labels=query.get("labelSelector", ""), fields=fields)

    def one(self, stored: Stored, *, status: int = 200) -> Answer:
        """Return the answer with one object."""
        return Answer(status, self.rendering.one(stored))


class Endpoints:
    """The resource paths of one API server."""

    def __init__(self, registry: Registry, access: Access, log_source: LogSource) -> None:
        self._registry = registry
        self._access = access
        self._log_source = log_source
        self._verbs = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    def asked(self, exchange: Exchange, route: Route, by: Caller) -> Asked:
        """Return the request together with how its resource is served; 404 if it is not."""
        definition = self._registry.catalog.at(route.group, route.version, route.plural)
        if definition is None:
            raise no_such_path()
        resource = definition.resource
        if route.subresource and route.subresource not in resource.subresources and route.subresource != "finalize":
            raise no_such_path()
        if bool(route.namespace) != resource.namespaced and (route.name or route.namespace):
            raise no_such_path()
        return Asked(exchange, definition, route, by)

    async def answer(self, exchange: Exchange, route: Route, verb: str, *, by: Caller) -> Answer:
        """Do what is asked and return the answer; raises ApiError to refuse."""
        if (route.group, route.version, route.plural) in REVIEWS:
            return await self._review(exchange, route, verb, by=by)
        asked = self.asked(exchange, route, by)
        if route.subresource == "scale":
            return await self._scale(asked, verb)
        if route.subresource == "log" and verb == "get":
            pod = self._registry.get(asked.resource, route.name, namespace=route.namespace)
            return Answer(200, self._log_source(pod.object).encode(), b"text/plain")
        if route.subresource in ("eviction", "binding"):
            return await self._act_on_pod(asked, verb)
        if verb in ("update", "patch") and not route.name:
            raise method_not_allowed()
        return await self._verbs[verb](asked)

    async def _get(self, asked: Asked) -> Answer:
        return asked.one(self._registry.get(asked.resource, asked.route.name, namespace=asked.route.namespace))

    async def _list(self, asked: Asked) -> Answer:
        return Answer(200, asked.rendering.many(self._page(asked)))

    def _page(self, asked: Asked) -> Page:
        shelf = self._registry.shelf(asked.resource)
        return page(shelf, asked.selection, _page_request(asked.exchange.query), self._registry.store.version)

    async def _create(self, asked: Asked) -> Answer:
        if asked.route.name:
            raise method_not_allowed()
        body = decoded(asked.resource, _an_object(await asked.exchange.content()))
        return asked.one(
            self._registry.create(asked.resource, body, by=asked.by, namespace=asked.route.namespace), status=201
        )

    async def _update(self, asked: Asked) -> Answer:
        route = asked.route
        body = decoded(asked.resource, _an_object(await asked.exchange.content()))
        stored = self._registry.update(
            asked.resource,
            body,
            by=asked.by,
            namespace=route.namespace,
            name=route.name,
            subresource=route.subresource,
        )
        return asked.one(stored)

    async def _patch(self, asked: Asked) -> Answer:
        resource, route = asked.resource, asked.route
        content, media_type = await asked.exchange.content(required=True), asked.exchange.media_type
        act = patch_action(resource, media_type, content)
        key = f"{route.namespace}/{route.name}"
        if media_type == APPLY_PATCH and key not in self._registry.shelf(resource).objects:
            content = decoded(resource, content)
            content.setdefault("metadata", {}).setdefault("name", route.name)
            return asked.one(
                self._registry.create(resource, content, by=asked.by, namespace=route.namespace), status=201
            )

        def patched(found: Object) -> Object:
            return decoded(resource, act(found), held=found)

        stored = self._registry.change(
            resource, route.name, patched, by=asked.by, namespace=route.namespace, subresource=route.subresource
        )
        return asked.one(stored)

    async def _delete(self, asked: Asked) -> Answer:
        resource, route = asked.resource, asked.route
        options, by = await _delete_options(asked)
        stored, gone = self._registry.delete(resource, route.name, by=by, namespace=route.namespace, options=options)
        if not gone or resource.kind in ("Pod", "Namespace"):
            return asked.one(stored)
        details = {"name": route.name, "group": resource.group, "kind": resource.plural, "uid": uid_of(stored.object)}
        return Answer.of({**_SUCCESS, "details": {key: value for key, value in details.items() if value}})

    async def _delete_collection(self, asked: Asked) -> Answer:
        options, by = await _delete_options(asked)
        found = self._page(asked)
        for stored in found.items:
            where = stored.object["metadata"].get("namespace", "")
            self._registry.delete(asked.resource, name_of(stored.object), by=by, namespace=where, options=options)
        return Answer(200, asked.rendering.many(found))

    async def _review(self, exchange: Exchange, route: Route, verb: str, *, by: Caller) -> Answer:
        if verb != "create" or route.name:
            raise method_not_allowed()
        kind = REVIEWS[route.group, route.version, route.plural]
        answer = {
            "SelfSubjectAccessReview": self._access.review,
            "SelfSubjectRulesReview": self._access.rules_review,
            "SelfSubjectReview": self._access.self_review,
        }[kind]
        sent = decoded_message(kind, _an_object(await exchange.content()), version=route.version)
        body = {"kind": kind, "apiVersion": f"{route.group}/{route.version}", **sent}
        return Answer.of(answer(by.user, body), status=201)

    async def _act_on_pod(self, asked: Asked, verb: str) -> Answer:
        if verb != "create":
            raise method_not_allowed()
        route, by = asked.route, asked.by
        body = _an_object(await asked.exchange.content())
        body = decoded_message("Eviction" if route.subresource == "eviction" else "Binding", body)
        if route.subresource == "eviction":
            wanted = body.get("deleteOptions") or {}
            by = Caller(by.user, dry_run=by.dry_run or bool(wanted.get("dryRun")))
            options = DeleteOptions.from_body(wanted)
            evict(self._registry, route.name, namespace=route.namespace, by=by, options=options)
        else:
            uid = (body.get("metadata") or {}).get("uid", "")
            bind(self._registry, route.name, node_of(body), namespace=route.namespace, by=by, uid=uid)
        return Answer.of({**_SUCCESS, "code": 201}, status=201)

    async def _scale(self, asked: Asked, verb: str) -> Answer:
        resource, route = asked.resource, asked.route
        if verb == "get":
            stored = self._registry.get(resource, route.name, namespace=route.namespace)
            return Answer.of(scale_of(asked.definition, stored.object))
        content = _an_object(await asked.exchange.content(required=True))
        if verb not in ("update", "patch"):
            raise method_not_allowed()

        def rescaled(found: Object) -> Object:
            held = scale_of(asked.definition, found)
            scale = content if verb == "update" else merge_patch(held, content)
            return scaled(asked.definition, found, decoded_message("Scale", scale))

        stored = self._registry.change(resource, route.name, rescaled, by=asked.by, namespace=route.namespace)
        return Answer.of(scale_of(asked.definition, stored.object))


_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _an_object(content: Any) -> Object:
    if not isinstance(content, dict):
        raise bad_request("the object provided is unrecognized: it is not a JSON object")
    return content


async def _delete_options(asked: Asked) -> tuple[DeleteOptions, Caller]:
    """Return how a DELETE is meant, which may stand in its body or its query, and who asks."""
    exchange, by = asked.exchange, asked.by
    body = {**_an_object(await exchange.content())}
    grace = seconds_in(exchange.query, "gracePeriodSeconds")
    if grace is not None:
        body.setdefault("gracePeriodSeconds", grace)
    if "propagationPolicy" in exchange.query:
        body.setdefault("propagationPolicy", exchange.query["propagationPolicy"])
    return DeleteOptions.from_body(body), Caller(by.user, dry_run=by.dry_run or bool(body.get("dryRun")))


def _page_request(query: dict[str, str]) -> PageRequest:
    seconds_in(query, "timeoutSeconds")
    try:
        version = int(query.get("resourceVersion") or 0)
        limit = int(query.get("limit") or 0)
    except ValueError as error:
        raise ApiError(400, f"invalid list options: {error}") from error
    exactly = query.get("resourceVersionMatch") == "Exact"
    return PageRequest(
        limit=limit,
        token=query.get("continue", ""),
        at_least=0 if exactly else version,
        exactly=version if exactly else 0,
    )
