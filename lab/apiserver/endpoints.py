"""What each verb on a resource's path does: from a request to an Answer. Refuses watches and non-resource paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.apiserver.access.reviews import Reviews
from lab.apiserver.access.tokens import ServiceAccountTokens
from lab.apiserver.admission import Caller
from lab.apiserver.binding import bind, check_binding, node_of
from lab.apiserver.bodies.decoding import decoded_message
from lab.apiserver.catalog import Definition
from lab.apiserver.deletion import DeleteOptions
from lab.apiserver.documents.discovery import REVIEWS, is_group
from lab.apiserver.documents.forms import form_of
from lab.apiserver.eviction import evict
from lab.apiserver.exchange import Answer, Exchange
from lab.apiserver.lists.options import page_request, read_version
from lab.apiserver.lists.paging import Page, page
from lab.apiserver.lists.selectors import Selection, select
from lab.apiserver.problems import NoSuchPage, bad_request, method_not_allowed, no_such_path, version_ahead
from lab.apiserver.registry import Registry
from lab.apiserver.rendering import Rendering
from lab.apiserver.routes import Route, is_set, number_in
from lab.apiserver.scaling import scale_of
from lab.apiserver.store import Stored
from lab.apiserver.writing import Writing
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
        query, is_list = self.exchange.query, not self.route.name and self.exchange.method in ("GET", "DELETE")
        form = form_of(self.exchange.header(b"accept"), is_list=is_list)
        if not is_set(query, "watch"):
            form.check_that_fits(self.resource, is_list=is_list)
        include = query.get("includeObject") or "Metadata"
        if form.shape == "Table" and include not in ("Metadata", "Object", "None"):
            raise bad_request(
                f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": '
                "must be 'Metadata', 'Object', 'None', or empty"
            )
        return Rendering(self.definition, form, include)

    @property
    def selection(self) -> Selection:
        """Which objects a list, watch or deletecollection is about; raises the 400."""
        query, route = self.exchange.query, self.route
        fields = query.get("fieldSelector", "")
        return select(self.resource, namespace=route.namespace, labels=query.get("labelSelector", ""), fields=fields)

    def one(self, stored: Stored, *, status: int = 200) -> Answer:
        """Return the answer with one object."""
        rendering = self.rendering
        return Answer(status, rendering.encoded(rendering.one(stored)), rendering.form.media_type.encode())

    def many(self, page: Page) -> Answer:
        """Return the answer with a list."""
        rendering = self.rendering
        return Answer(200, rendering.encoded(rendering.many(page)), rendering.form.media_type.encode())


class Endpoints:
    """The resource paths of one API server."""

    def __init__(
        self, registry: Registry, reviews: Reviews, accounts: ServiceAccountTokens, log_source: LogSource
    ) -> None:
        self._registry = registry
        self._writing = Writing(registry)
        self._reviews = reviews
        self._accounts = accounts
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
            raise no_such_path() if is_group(self._registry.catalog, route.group) else NoSuchPage()
        resource = definition.resource
        if route.subresource and route.subresource not in resource.subresources:
            raise no_such_path()
        if bool(route.namespace) != resource.namespaced and (route.name or route.namespace):
            raise no_such_path()
        return Asked(exchange, definition, route, by)

    async def answer(self, exchange: Exchange, route: Route, verb: str, *, by: Caller) -> Answer:
        """Do what is asked and return the answer; raises ApiError to refuse."""
        if (route.group, route.version, route.plural) in REVIEWS:
            return await self._review(exchange, route, verb, by=by)
        asked = self.asked(exchange, route, by)
        if route.subresource != "log":
            form_of(exchange.header(b"accept"), is_list=verb in ("list", "deletecollection"))
        if asked.definition.deprecation:
            exchange.warnings.append(asked.definition.deprecation)
        if route.subresource == "scale":
            return await self._scale(asked, verb)
        if route.subresource == "log" and verb == "get":
            pod = self._registry.get(asked.resource, route.name, namespace=route.namespace)
            return Answer(200, self._log_source(pod.object).encode(), b"text/plain")
        if route.subresource == "log":
            raise method_not_allowed()
        if route.subresource == "token":
            return await self._request_token(asked, verb)
        if route.subresource in ("eviction", "binding"):
            return await self._act_on_pod(asked, verb)
        if not _takes(asked, verb):
            raise method_not_allowed()
        return await self._verbs[verb](asked)

    async def _get(self, asked: Asked) -> Answer:
        version, current = read_version(asked.exchange.query), self._registry.store.version
        if version > current:
            raise version_ahead(version, current)
        return asked.one(self._registry.get(asked.resource, asked.route.name, namespace=asked.route.namespace))

    async def _list(self, asked: Asked) -> Answer:
        return asked.many(self._page(asked))

    def _page(self, asked: Asked) -> Page:
        shelf = self._registry.shelf(asked.resource)
        return page(shelf, asked.selection, page_request(asked.exchange.query), self._registry.store.version)

    async def _create(self, asked: Asked) -> Answer:
        if asked.route.name:
            raise method_not_allowed()
        return asked.one(await self._writing.create(asked), status=201)

    async def _update(self, asked: Asked) -> Answer:
        if self._writing.makes_new(asked):
            return asked.one(await self._writing.create_by_update(asked), status=201)
        return asked.one(await self._writing.update(asked))

    async def _patch(self, asked: Asked) -> Answer:
        stored, is_new = await self._writing.patch(asked)
        return asked.one(stored, status=201 if is_new else 200)

    async def _delete(self, asked: Asked) -> Answer:
        resource, route = asked.resource, asked.route
        options, by = await _delete_options(asked)
        if resource.group_resource == "jobs.batch" and not options.propagation:
            asked.exchange.warnings.append(_PODS_STAY)
        stored, gone = self._registry.delete(resource, route.name, by=by, namespace=route.namespace, options=options)
        if not gone or resource.group_resource in _ANSWERED_WITH_THE_OBJECT:
            return asked.one(stored)
        details = {"name": route.name, "group": resource.group, "kind": resource.plural, "uid": uid_of(stored.object)}
        return Answer.of({**_SUCCESS, "details": {key: value for key, value in details.items() if value}})

    async def _delete_collection(self, asked: Asked) -> Answer:
        options, by = await _delete_options(asked)
        found = self._page(asked)
        for stored in found.items:
            where = stored.object["metadata"].get("namespace", "")
            self._registry.delete(asked.resource, name_of(stored.object), by=by, namespace=where, options=options)
        return asked.many(found)

    async def _review(self, exchange: Exchange, route: Route, verb: str, *, by: Caller) -> Answer:
        if verb != "create" or route.name:
            raise method_not_allowed()
        kind = REVIEWS[route.group, route.version, route.plural]
        if bool(route.namespace) != (kind == "LocalSubjectAccessReview"):
            raise no_such_path()
        sent = decoded_message(kind, _an_object(await exchange.content()), version=route.version)
        body = {"kind": kind, "apiVersion": f"{route.group}/{route.version}", **sent}
        return Answer.of(self._reviews.answer(kind, by.user, body, namespace=route.namespace), status=201)

    async def _request_token(self, asked: Asked, verb: str) -> Answer:
        if verb != "create":
            raise method_not_allowed()
        body = decoded_message("TokenRequest", _an_object(await asked.exchange.content(required=True)))
        requested = self._accounts.request(asked.route.name, body, namespace=asked.route.namespace)
        return Answer.of(requested, status=201)

    async def _act_on_pod(self, asked: Asked, verb: str) -> Answer:
        if verb != "create":
            raise method_not_allowed()
        route, by = asked.route, asked.by
        body = _an_object(await asked.exchange.content())
        kind = "Eviction" if route.subresource == "eviction" else "Binding"
        _refuse_other_kind(kind, body)
        body = decoded_message(kind, body)
        if route.subresource == "eviction":
            if (body.get("metadata") or {}).get("name", "") != route.name:
                raise bad_request("name in URL does not match name in Eviction object")
            wanted = body.get("deleteOptions") or {}
            by = Caller(by.user, dry_run=by.dry_run or bool(wanted.get("dryRun")))
            options = DeleteOptions.from_body(wanted)
            evict(self._registry, route.name, namespace=route.namespace, by=by, options=options)
        else:
            uid = (body.get("metadata") or {}).get("uid", "")
            check_binding(body, route.name)
            bind(self._registry, route.name, node_of(body), namespace=route.namespace, by=by, uid=uid)
        return Answer.of({**_SUCCESS, "code": 201}, status=201)

    async def _scale(self, asked: Asked, verb: str) -> Answer:
        resource, route = asked.resource, asked.route
        if verb == "get":
            stored = self._registry.get(resource, route.name, namespace=route.namespace)
            return Answer.of(scale_of(asked.definition, stored.object, strict=True))
        if verb not in ("update", "patch"):
            raise method_not_allowed()
        stored = await self._writing.scale(asked, verb)
        return Answer.of(scale_of(asked.definition, stored.object))


def _takes(asked: Asked, verb: str) -> bool:
    """Tell whether a path takes a verb. Namespaces go one by one, and what is in them namespace by namespace."""
    route, resource = asked.route, asked.resource
    if verb == "deletecollection":
        return bool(route.namespace) if resource.namespaced else resource.group_resource != "namespaces"
    if route.subresource == "finalize":
        return verb == "update"
    return bool(route.name) or verb not in ("update", "patch")


_ANSWERED_WITH_THE_OBJECT = frozenset(
    {
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "namespaces",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
    }
)
"""What a DELETE answers with the object instead of a Status (ReturnDeletedObject in pkg/registry, Kubernetes v1.35)."""

_PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
"""What pkg/registry/batch/job/strategy.go of Kubernetes v1.35 warns of."""

_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _an_object(content: Any) -> Object:
    if not isinstance(content, dict):
        raise bad_request("the object provided is unrecognized: it is not a JSON object")
    return content


def _refuse_other_kind(kind: str, body: Object) -> None:
    sent = body.get("kind", kind)
    if sent != kind:
        version = str(body.get("apiVersion", "")).rpartition("/")[2]
        into = f"policy.{kind}" if kind == "Eviction" else f"core.{kind}"
        why = f"converting ({version}.{sent}) to ({into}): unknown conversion"
        raise bad_request(f'{sent} in version "{version}" cannot be handled as a {kind}: {why}')


async def _delete_options(asked: Asked) -> tuple[DeleteOptions, Caller]:
    """Return how a DELETE is meant, and who asks. A query counts only where there is no body, its dryRun included.

    Source: k8s.io/apiserver v0.35, pkg/endpoints/handlers/delete.go.
    """
    exchange = asked.exchange
    raw = await exchange.body()
    body = _an_object(exchange.parsed(raw)) if raw else _options_in(exchange.query)
    return DeleteOptions.from_body(body), Caller(asked.by.user, dry_run=bool(body.get("dryRun")))


def _options_in(query: dict[str, str]) -> Object:
    options: Object = {name: query[name] for name in ("propagationPolicy",) if name in query}
    if (grace := number_in(query, "gracePeriodSeconds")) is not None:
        options["gracePeriodSeconds"] = grace
    if "dryRun" in query:
        options["dryRun"] = [query["dryRun"]]
    if "orphanDependents" in query:
        options["orphanDependents"] = is_set(query, "orphanDependents")
    return options
