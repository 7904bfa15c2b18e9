"""Creates, updates, patches and applies what clients send, and scales and binds.

Follows k8s.io/apiserver/pkg/endpoints/handlers of Kubernetes v1.35. Refuses to store: the registry does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.apiserver.bodies.decoding import decoded
from lab.apiserver.bodies.received import patched_part, read, read_applied, read_patch
from lab.apiserver.definitions.versions import acting, to_store
from lab.apiserver.owners import without_duplicates
from lab.apiserver.ownership.managers import BEFORE_FIRST_APPLY, Application, apply
from lab.apiserver.patches.merge import APPLY_PATCH, merge_patch
from lab.apiserver.patches.patching import patch_action
from lab.apiserver.problems import bad_request, conflict, not_found
from lab.apiserver.registry import Registry
from lab.apiserver.scaling import SCALES, scale_of, scaled
from lab.apiserver.store import Stored
from lab.objects import Object

if TYPE_CHECKING:
    from lab.apiserver.endpoints import Asked


_MADE_BY_UPDATE = frozenset(
    {
        "clusterrolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "endpoints",
        "events",
        "leases.coordination.k8s.io",
        "limitranges",
        "rolebindings.rbac.authorization.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "services",
    }
)
"""What a PUT makes if it is not there (AllowCreateOnUpdate in pkg/registry of Kubernetes v1.35)."""


async def _wanted_scale(asked: Asked, verb: str) -> Callable[[Object], Object]:
    """Return what a request makes of a Scale. Nobody is asked who owns the replicas if a Scale is applied."""
    if verb == "update":
        sent = await _received(asked)
        return lambda _: sent
    if asked.exchange.media_type == APPLY_PATCH:
        config = await read_applied(asked)
        return lambda held: patched_part(asked, held, merge_patch(held, config), config)
    act = patch_action(asked.resource, asked.exchange.media_type, patch := await read_patch(asked))
    return lambda held: patched_part(asked, held, act(held), patch)


async def _received(asked: Asked) -> Object:
    """Return the object that is created or replaced, each of its owners but once."""
    body, warning = without_duplicates(decoded(asked.resource, await read(asked)))
    if warning:
        asked.exchange.warnings.append(warning)
    return body


class Writing:
    """The writes of one API server."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def create(self, asked: Asked) -> Stored:
        """Store a new object and return it."""
        body = to_store(asked.definition, await _received(asked))
        return self._registry.create(asked.resource, body, by=asked.by, namespace=asked.route.namespace)

    def makes_new(self, asked: Asked) -> bool:
        """Tell whether an update is of an object that is not there, and is to make it."""
        route, resource = asked.route, asked.resource
        if resource.group_resource not in _MADE_BY_UPDATE or route.subresource:
            return False
        return f"{route.namespace}/{route.name}" not in self._registry.shelf(resource).objects

    async def create_by_update(self, asked: Asked) -> Stored:
        """Store the object that an update names and return it, whatever version it says; 409 if it says which uid."""
        body = await _received(asked)
        metadata = body["metadata"] = {"name": asked.route.name, **(body.get("metadata") or {})}
        metadata.pop("resourceVersion", None)
        if metadata.get("uid"):
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: "
            raise conflict(asked.resource, asked.route.name, why)
        return self._registry.create(asked.resource, body, by=asked.by, namespace=asked.route.namespace)

    async def update(self, asked: Asked) -> Stored:
        """Replace an object, or the part that a subresource stands for, and return it."""
        route = asked.route
        body = await _received(asked)
        if not (body.get("metadata") or {}).get("name"):
            why = f"the name of the object ({route.name} based on URL) was undeterminable: name must be provided"
            raise bad_request(why)
        body = to_store(asked.definition, body)
        return self._registry.update(
            asked.resource, body, by=asked.by, namespace=route.namespace, name=route.name, subresource=route.subresource
        )

    async def patch(self, asked: Asked) -> tuple[Stored, bool]:
        """Patch or apply an object; returns it and whether it is new."""
        if asked.exchange.media_type == APPLY_PATCH:
            return self._apply(asked, await read_applied(asked))
        act = patch_action(asked.resource, asked.exchange.media_type, patch := await read_patch(asked))
        stored = self._registry.change(
            asked.resource,
            asked.route.name,
            acting(asked.definition, lambda found: patched_part(asked, found, act(found), patch)),
            by=asked.by,
            namespace=asked.route.namespace,
            subresource=asked.route.subresource,
        )
        return stored, False

    async def scale(self, asked: Asked, verb: str) -> Stored:
        """Give an object the replicas of a Scale, or of a patch of its Scale, and return it."""
        definition, route = asked.definition, asked.route
        wanted = await _wanted_scale(replace(asked, definition=SCALES), verb)
        return self._registry.change(
            asked.resource,
            route.name,
            lambda found: scaled(definition, found, wanted(scale_of(definition, found))),
            by=asked.by,
            namespace=route.namespace,
            subresource="scale",
        )

    def _apply(self, asked: Asked, config: Object) -> tuple[Stored, bool]:
        resource, route = asked.resource, asked.route
        live = self._registry.shelf(resource).objects.get(f"{route.namespace}/{route.name}")
        metadata = config["metadata"] = {**(config.get("metadata") or {})}
        if live is not None:
            metadata.setdefault("name", route.name)
        elif not metadata.get("name"):
            why = f"the name of the object ({route.name} based on URL) was undeterminable: name must be provided"
            raise bad_request(why)
        if metadata["name"] != route.name:
            why = f"the name of the object ({metadata['name']}) does not match the name on the URL ({route.name})"
            raise bad_request(why)
        application = Application(
            config,
            manager=asked.by.manager,
            subresource=route.subresource,
            force=asked.exchange.query.get("force", "false").lower() not in ("false", "0"),
            creator=(live.creator if live is not None else "") or BEFORE_FIRST_APPLY,
        )
        if live is None:
            return self._create_applied(asked, application), True
        stored = self._registry.change(
            resource,
            route.name,
            acting(
                asked.definition,
                lambda found: decoded(resource, apply(asked.definition, found, application), held=found),
            ),
            by=asked.by,
            namespace=route.namespace,
            subresource=route.subresource,
            applied=True,
        )
        return stored, False

    def _create_applied(self, asked: Asked, application: Application) -> Stored:
        resource, route = asked.resource, asked.route
        if route.subresource:
            raise not_found(resource, route.name)
        metadata = application.config["metadata"]
        if uid := metadata.get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise conflict(resource, route.name, why)
        new = apply(asked.definition, None, application)
        owners = new["metadata"].get("managedFields")
        body = {**new, "metadata": {key: value for key, value in new["metadata"].items() if key != "resourceVersion"}}
        body = to_store(asked.definition, body)
        return self._registry.create(resource, body, by=asked.by, namespace=route.namespace, owners=owners)
