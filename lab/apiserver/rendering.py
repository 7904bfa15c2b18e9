"""Writes objects, lists and watch events in the form that a client takes: whole, as tables, or as metadata only.

Refuses to find out which form that is: `forms` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from lab.apiserver.catalog import Definition
from lab.apiserver.definitions.versions import seen
from lab.apiserver.documents.forms import Form
from lab.apiserver.lists.paging import Page
from lab.apiserver.store import Recorded, Stored
from lab.apiserver.tables.cells import Column
from lab.apiserver.tables.columns import columns_of
from lab.errors import ApiError
from lab.objects import Object

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""The annotation of the bookmark after the last initial event (k8s.io/apimachinery v0.35, meta/v1/types.go)."""

WHOLE = Form()


@dataclass(frozen=True)
class Rendering:
    """How one request wants its objects. `include` is the includeObject parameter of tables."""

    definition: Definition
    form: Form = WHOLE
    include: str = "Metadata"

    def one(self, stored: Stored) -> bytes:
        """Return one object."""
        if not self.form.shape:
            return self._json(stored)
        if self.form.only_metadata:
            return orjson.dumps(self._only_metadata(stored.object))
        return self._table([stored], {"resourceVersion": str(stored.object["metadata"].get("resourceVersion", ""))})

    def many(self, page: Page) -> bytes:
        """Return a page of a list."""
        metadata: Object = {"resourceVersion": str(page.version)}
        if page.token:
            metadata["continue"] = page.token
            if page.remaining is not None:
                metadata["remainingItemCount"] = page.remaining
        if self.form.shape == "Table":
            return self._table(page.items, metadata)
        if self.form.only_metadata:
            kind, version = "PartialObjectMetadataList", self.form.api_version
            items = [orjson.dumps(self._only_metadata(stored.object)) for stored in page.items]
        else:
            resource = self.definition.resource
            kind, version = f"{resource.kind}List", resource.api_version
            items = self._without_kind(page.items)
        head = orjson.dumps({"kind": kind, "apiVersion": version, "metadata": metadata})
        return b"".join((head[:-1], b',"items":[', b",".join(items), b"]}\n"))

    def _without_kind(self, found: list[Stored]) -> list[bytes]:
        """Return objects as items of their list, which tells their kind for them unless they are custom resources."""
        resource = self.definition.resource
        if resource.custom:
            return [self._json(stored) for stored in found]
        kind = len(orjson.dumps({"kind": resource.kind, "apiVersion": resource.api_version}))
        return [b"{" + stored.json[kind:] for stored in found]

    def _json(self, stored: Stored) -> bytes:
        shown = seen(self.definition, stored.object)
        return stored.json if shown is stored.object else orjson.dumps(shown)

    def event(self, change: Recorded, *, first: bool) -> bytes:
        """Return a line of a watch. Only the first row of a watched table comes with the columns."""
        if self.form.shape == "Table":
            metadata = {"resourceVersion": str(change.stored.version)}
            body = self._table([change.stored], metadata, columns=first)
        else:
            body = self.one(change.stored)
        return b"".join((b'{"type":"', change.type.encode(), b'","object":', body, b"}\n"))

    def bookmark(self, version: int, *, initial_events_end: bool = False) -> bytes:
        """Return the line that tells how far a watch has come, or that what there was has been sent."""
        resource = self.definition.resource
        metadata: Object = {"resourceVersion": str(version)}
        if initial_events_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        body: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self.form.only_metadata:
            body |= {"kind": "PartialObjectMetadata", "apiVersion": self.form.api_version}
        elif self.form.shape == "Table":
            body = self._table_bookmark(metadata)
        return orjson.dumps({"type": "BOOKMARK", "object": body}) + b"\n"

    def _table_bookmark(self, metadata: Object) -> Object:
        """A table's bookmark has a row, by whose object clients learn what it says."""
        row = {"cells": [], "object": self._only_metadata({"metadata": metadata})}
        return {
            "kind": "Table",
            "apiVersion": self.form.api_version,
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "columnDefinitions": None,
            "rows": [row],
        }

    def _table(self, items: list[Stored], metadata: Object, *, columns: bool = True) -> bytes:
        shown = columns_of(self.definition)
        table = {
            "kind": "Table",
            "apiVersion": self.form.api_version,
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in shown] if columns else None,
            "rows": [self._row(seen(self.definition, stored.object), shown) for stored in items],
        }
        return orjson.dumps(table)

    def _row(self, found: Object, columns: tuple[Column, ...]) -> Object:
        row: dict[str, Any] = {"cells": [column.cell(found) for column in columns]}
        if self.include == "Object":
            row["object"] = found
        elif self.include != "None":
            row["object"] = self._only_metadata(found)
        return row

    def _only_metadata(self, found: Object) -> Object:
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": self.form.api_version,
            "metadata": found["metadata"],
        }

    def encoded(self, body: bytes) -> bytes:
        """Return an answer's JSON in the media type that the client takes."""
        if self.form.media_type == "application/json":
            return body
        return yaml.safe_dump(orjson.loads(body)).encode()


def error_event(error: ApiError) -> bytes:
    """Return the line by which a watch tells that it has failed."""
    return orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n"
