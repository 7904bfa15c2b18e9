"""Reads and writes of one API server, as kube-apiserver's generic registry does them.

Every act is synchronous and so atomic. Bodies that are handed in become the registry's: callers pass copies.
Refuses to know HTTP, authentication and faults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lab.apiserver.admission import LAB, AdmissionRequest, Caller, Hooks, Operation
from lab.apiserver.bodies.drafts import changed_part, check_type, refuse_wrong_types, violations_in, with_defaults
from lab.apiserver.catalog import Catalog, Definition, definitions_from
from lab.apiserver.definitions.lifecycle import (
    CLEANUP,
    DELETION_IN_PROGRESS,
    DELETION_PENDING,
    accepted,
    is_established,
    is_terminating,
    terminating,
)
from lab.apiserver.deletion import (
    PROTECTED_NAMESPACES,
    DeleteOptions,
    check_preconditions,
    ends_gracefully,
    is_gone,
    marked,
)
from lab.apiserver.lists.selectors import Selection
from lab.apiserver.metadata import raise_generation, settle_metadata, start_metadata
from lab.apiserver.ownership.managers import after_update, is_same, owns_replicas, with_entries
from lab.apiserver.patches.merge import copied
from lab.apiserver.problems import already_exists, bad_request, forbidden, invalid, no_such_path, not_found
from lab.apiserver.store import EventType, Shelf, Store, Stored
from lab.errors import ApiError
from lab.objects import Object
from lab.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Resource

FIRST_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass(frozen=True, slots=True)
class _Write:
    """A write under way. `old` is None for a new object."""

    definition: Definition
    shelf: Shelf
    key: str
    old: Object | None
    by: Caller
    subresource: str = ""


class Registry:
    """The objects of one API server and the rules for changing them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.catalog = Catalog()
        self.hooks = Hooks()
        for definition in self.catalog:
            store.open(definition.resource)

    def create_first_namespaces(self, by: Caller) -> None:
        """Have the namespaces exist that every cluster begins with."""
        for name in FIRST_NAMESPACES:
            self.create(NAMESPACES, {"metadata": {"name": name}}, by=by)

    def definition(self, resource: Resource) -> Definition:
        """Return how a resource is served; 404 if it is not."""
        definition = self.catalog.of(resource)
        if definition is None:
            raise no_such_path()
        return definition

    def shelf(self, resource: Resource) -> Shelf:
        """Return where the objects of a served resource lie; 404 if it is not served."""
        return self.store.open(self.definition(resource).resource)

    def get(self, resource: Resource, name: str, *, namespace: str = "") -> Stored:
        """Return an object, or raise the 404."""
        found = self.shelf(resource).objects.get(f"{namespace}/{name}")
        if found is None:
            raise not_found(resource, name)
        return found

    def select(self, resource: Resource, selection: Selection) -> list[Stored]:
        """Return the selected objects in key order."""
        found = self.shelf(resource).range(selection.namespace)
        return found if selection.everything else [stored for stored in found if selection.holds(stored.object)]

    def create(
        self, resource: Resource, body: Object, *, by: Caller, namespace: str = "", owners: list[Object] | None = None
    ) -> Stored:
        """Store a new object and return it. `owners` are its `managedFields` if it is applied."""
        definition = self.definition(resource)
        resource = definition.resource
        check_type(resource, body)
        metadata = body["metadata"] = body.get("metadata") or {}
        self._place(resource, metadata, namespace)
        start_metadata(resource, metadata)
        if resource.custom and "status" in resource.subresources:
            body.pop("status", None)
        key = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
        write = _Write(definition, self.store.open(resource), key, None, by)
        body = self._admitted(write, body)
        if key in write.shelf.objects:
            held = write.shelf.objects[key].object["metadata"]
            raise already_exists(resource, body["metadata"]["name"], terminating="deletionTimestamp" in held)
        if definition.terminating:
            why = "create not allowed while custom resource definition is terminating"
            raise forbidden(resource, body["metadata"]["name"], why)
        if owners:
            body = with_entries(body, owners)
        return self._commit(write, "ADDED", body)

    def update(
        self,
        resource: Resource,
        body: Object,
        *,
        by: Caller,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> Stored:
        """Replace an object, or the part of it that a subresource stands for, and return the new version."""
        metadata = body.get("metadata") or {}
        namespaced = self.definition(resource).resource.namespaced
        where = (namespace or metadata.get("namespace", "")) if namespaced else ""
        name = name or metadata.get("name", "")
        return self.change(resource, name, lambda _: body, by=by, namespace=where, subresource=subresource, put=True)

    def change(
        self,
        resource: Resource,
        name: str,
        act: Callable[[Object], Object],
        *,
        by: Caller,
        namespace: str = "",
        subresource: str = "",
        put: bool = False,
        applied: bool = False,
    ) -> Stored:
        """Store what `act` makes of an object and return it; nothing is written if nothing has changed.

        `act` may return parts of what it is given, but may not change them. With `put` it is a whole new version that
        must say which one it replaces; with `applied` it says who owns what.
        """
        definition = self.definition(resource)
        resource = definition.resource
        shelf = self.store.open(resource)
        key = f"{namespace}/{name}"
        old = shelf.objects.get(key)
        if old is None:
            raise not_found(resource, name)
        new = dict(act(old.object))
        check_type(resource, new)
        sent = (new.get("metadata") or {}).get("managedFields")
        settle_metadata(resource, old.object, new, put=put)
        write = _Write(definition, shelf, key, old.object, by, subresource)
        new = self._admitted(write, changed_part(resource, old.object, new, subresource))
        if not subresource or subresource == "scale":
            raise_generation(resource, old.object, new)
        if applied:
            new = with_entries(new, sent or [])
        elif "managedFields" in old.object["metadata"]:
            new = with_entries(new, self._owners_after(write, new, sent))
        if is_same(new, old.object):
            return old
        return self._commit(write, "DELETED" if is_gone(new) else "MODIFIED", new)

    def delete(
        self, resource: Resource, name: str, *, by: Caller, namespace: str = "", options: DeleteOptions | None = None
    ) -> tuple[Stored, bool]:
        """Delete an object or begin to; returns its last version and whether it is gone."""
        options = options or DeleteOptions()
        old = self.get(resource, name, namespace=namespace)
        resource = self.definition(resource).resource
        if resource.group_resource == "namespaces" and name in PROTECTED_NAMESPACES:
            raise forbidden(resource, name, "this namespace may not be deleted")
        check_preconditions(resource, old.object, options)
        refusal = self.hooks.run(AdmissionRequest("DELETE", resource, "", old.object, None, by.user, by.dry_run))
        if refusal is not None:
            raise refusal
        new = marked(resource, old.object, options)
        gone = is_gone(new)
        if new == old.object and not gone:
            return old, False
        key = f"{namespace}/{name}"
        write = _Write(self.definition(resource), self.store.open(resource), key, old.object, by)
        if resource == CUSTOM_RESOURCE_DEFINITIONS and not is_terminating(old.object):
            return self._end_definition(write, new), False
        if gone and ends_gracefully(resource) and new != old.object and not by.dry_run:
            # Watches see a pod's grace shrink to nothing before it goes (apiserver v0.35, registry/store.go).
            new = self._commit(write, "MODIFIED", new).object
            write = replace(write, old=new)
        elif gone and not ends_gracefully(resource):
            new = old.object  # it ends as it was: nothing was written of its end
        return self._commit(write, "DELETED" if gone else "MODIFIED", new), gone

    def _owners_after(self, write: _Write, new: Object, sent: object) -> list[Object]:
        """Return who owns what after a write that is no apply; a client that sends one empty entry frees all."""
        if sent == [{}] or write.old is None:
            return []
        if write.subresource == "scale" and not owns_replicas(write.old):
            return list(write.old["metadata"]["managedFields"])
        return after_update(write.definition, write.old, new, manager=write.by.manager, subresource=write.subresource)

    def _place(self, resource: Resource, metadata: dict[str, Any], namespace: str) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        where = namespace or metadata.get("namespace") or "default"
        if metadata.setdefault("namespace", where) != where:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        found = self.store.open(NAMESPACES).objects.get(f"/{where}")
        if found is None:
            raise not_found(NAMESPACES, where)
        if "deletionTimestamp" in found.object["metadata"]:
            why = f"unable to create new content in namespace {where} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {where} is being terminated",
                "field": "metadata.namespace",
            }
            raise forbidden(resource, metadata.get("name") or metadata.get("generateName", ""), why, causes=[cause])

    def _admitted(self, write: _Write, new: Object) -> Object:
        """Return the draft with its defaults as the hooks leave it, once nothing is wrong with it.

        The schema is checked between mutating and validating webhooks. A hook stands for both, so the schema's word
        goes before a hook's refusal.
        """
        resource = write.definition.resource
        new = with_defaults(write.definition, write.old, new, write.subresource)
        refusal: ApiError | None = None
        if self.hooks.any_for(resource):
            refuse_wrong_types(write.definition, new)
            operation: Operation = "CREATE" if write.old is None else "UPDATE"
            request = AdmissionRequest(
                operation, resource, write.subresource, write.old, copied(new), write.by.user, write.by.dry_run
            )
            refusal = self.hooks.run(request)
            new = request.new or new
        violations = violations_in(write.definition, write.old, new, write.subresource)
        if violations:
            raise invalid(resource, new["metadata"].get("name", ""), violations)
        if refusal is not None:
            raise refusal
        return new

    def _commit(self, write: _Write, kind: EventType, found: Object) -> Stored:
        if write.by.dry_run:
            return Stored(found, self.store.version)
        if found["kind"] == "CustomResourceDefinition":
            return self._commit_definition(write, kind, found)
        if kind == "DELETED":
            return self._commit_end(write, found)
        before = write.shelf.objects.get(write.key)
        stored = self.store.write(write.shelf, kind, write.key, found)
        stored.creator = write.by.manager if before is None else before.creator
        return stored

    def _commit_end(self, write: _Write, found: Object) -> Stored:
        """Remove an object. Watches see it as it was last stored, its last writer as it would have become."""
        last = self.store.write(write.shelf, "DELETED", write.key, write.old or found)
        if write.definition.terminating and not write.shelf.objects:
            resource = write.definition.resource
            self._finish_definition({"metadata": {"name": resource.group_resource}})
        metadata = {**found["metadata"], "resourceVersion": str(last.version)}
        return Stored({**found, "metadata": metadata}, last.version)

    def _commit_definition(self, write: _Write, kind: EventType, found: Object) -> Stored:
        """Serve a resource from the moment its names have been accepted, and as long as it has objects."""
        if kind == "DELETED":
            self._serve_no_more(found)
            return self._commit_end(write, found)
        stored = self.store.write(write.shelf, kind, write.key, found)
        if not write.subresource and not is_terminating(found):
            self._accept(stored.object)
            self._serve(write.shelf.objects[write.key].object)
        return stored

    def _end_definition(self, write: _Write, found: Object) -> Stored:
        """Begin to delete a definition, and do so at once if it has no object that has to wait."""
        metadata = {**found["metadata"], "finalizers": [*(found["metadata"].get("finalizers") or ()), CLEANUP]}
        status = terminating(found, *DELETION_PENDING)
        stored = self._commit(write, "MODIFIED", {**found, "metadata": metadata, "status": status})
        if not write.by.dry_run:
            self._delete_instances(stored.object)
        return stored

    def _delete_instances(self, definition: Object) -> None:
        found, _ = definitions_from(definition)
        self._serve(definition)
        own = self.catalog.of(found.resource)
        if own is None or not is_established(definition):
            self._finish_definition(definition)
            return
        self._report_deletion(definition)
        shelf = self.store.open(own.resource)
        for key, stored in list(shelf.objects.items()):
            new = marked(own.resource, stored.object, DeleteOptions())
            write = _Write(own, shelf, key, stored.object, LAB)
            self._commit(write, "DELETED" if is_gone(new) else "MODIFIED", new)
        if not shelf.objects:
            self._finish_definition(definition)

    def _report_deletion(self, definition: Object) -> None:
        shelf = self.store.open(CUSTOM_RESOURCE_DEFINITIONS)
        key = f"/{definition['metadata']['name']}"
        status = terminating(definition, *DELETION_IN_PROGRESS)
        self.store.write(shelf, "MODIFIED", key, {**definition, "status": status})

    def _finish_definition(self, definition: Object) -> None:
        """Have a definition gone whose last object is, and its resource served no more."""
        shelf = self.store.open(CUSTOM_RESOURCE_DEFINITIONS)
        held = shelf.objects.get(f"/{definition['metadata']['name']}")
        if held is not None:
            self._serve_no_more(held.object)
            self.store.write(shelf, "DELETED", f"/{definition['metadata']['name']}", held.object)

    def _serve(self, definition: Object) -> None:
        if is_established(definition):
            stored, served = definitions_from(definition)
            self.catalog.add(stored, served=served)
            self.store.open(stored.resource)

    def _serve_no_more(self, definition: Object) -> None:
        if not is_established(definition):
            return
        found, _ = definitions_from(definition)
        self.catalog.remove(found.resource)
        self.store.drop(found.resource)
        for stored in list(self.store.open(CUSTOM_RESOURCE_DEFINITIONS).objects.values()):
            if not is_established(stored.object) and not is_terminating(stored.object):
                self._accept(stored.object)

    def _accept(self, definition: Object) -> None:
        """Accept the names of a definition that had to wait for them, unless they are still another's."""
        status = accepted(definition, self.catalog.conflict(definition))
        if status != definition.get("status"):
            shelf = self.store.open(CUSTOM_RESOURCE_DEFINITIONS)
            self.store.write(shelf, "MODIFIED", f"/{definition['metadata']['name']}", {**definition, "status": status})
            self._serve({**definition, "status": status})
