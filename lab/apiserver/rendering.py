"""Writes objects, lists and watch events in the form that a client accepts: whole, as tables, or as metadata only.

Refuses protobuf and CBOR: a client that takes nothing else gets a 406.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import orjson

from lab.apiserver.catalog import Definition
from lab.apiserver.columns import Column, columns_of
from lab.apiserver.paging import Page
from lab.apiserver.store import Recorded, Stored
from lab.errors import ApiError
from lab.objects import Object

Form = Literal["whole", "table", "metadata"]


@lru_cache(maxsize=256)
def form_of(accept: str) -> Form:
    """Return the form that an Accept header asks for; raises the 406 if it is none that the lab writes."""
    if not accept:
        return "whole"
    for offer in accept.split(","):
        media_type, _, parameters = offer.strip().partition(";")
        if media_type.strip() not in ("application/json", "*/*", "application/*"):
            continue
        if "as=Table" in parameters:
            return "table"
        if "as=PartialObjectMetadata" in parameters:
            return "metadata"
        if "as=" not in parameters:
            return "whole"
    raise ApiError(
        406, "only the following media types are accepted: application/json", reason="NotAcceptable", details={}
    )


@dataclass(frozen=True)
class Rendering:
    """How one request wants its objects. `include` is the includeObject parameter of tables."""

    definition: Definition
    form: Form = "whole"
    include: str = "Metadata"

    def one(self, stored: Stored) -> bytes:
        """Return one object."""
        if self.form == "whole":
            return stored.json
        if self.form == "metadata":
            return orjson.dumps(_only_metadata(stored.object))
        return self._table([stored], {"resourceVersion": str(stored.object["metadata"].get("resourceVersion", ""))})

    def many(self, page: Page) -> bytes:
        """Return a page of a list."""
        metadata: Object = {"resourceVersion": str(page.version)}
        if page.token:
            metadata["continue"] = page.token
            if page.remaining is not None:
                metadata["remainingItemCount"] = page.remaining
        if self.form == "table":
            return self._table(page.items, metadata)
        if self.form == "metadata":
            kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
            items = [orjson.dumps(_only_metadata(stored.object)) for stored in page.items]
        else:
            resource = self.definition.resource
            kind, version = f"{resource.kind}List", resource.api_version
            items = [stored.json for stored in page.items]
        head = orjson.dumps({"kind": kind, "apiVersion": version, "metadata": metadata})
        return b"".join((head[:-1], b',"items":[', b",".join(items), b"]}\n"))

    def event(self, change: Recorded, *, first: bool) -> bytes:
        """Return a line of a watch. Only the first row of a watched table comes with the columns."""
        if self.form == "table":
            metadata = {"resourceVersion": str(change.stored.version)}
            body = self._table([change.stored], metadata, columns=first)
        else:
            body = self.one(change.stored)
        return b"".join((b'{"type":"', change.type.encode(), b'","object":', body, b"}\n"))

    def bookmark(self, version: int) -> bytes:
        """Return the line that tells how far a watch has come."""
        resource = self.definition.resource
        metadata = {"resourceVersion": str(version), "creationTimestamp": None}
        body: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self.form == "metadata":
            body |= {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        elif self.form == "table":
            body |= {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": None, "rows": []}
        return orjson.dumps({"type": "BOOKMARK", "object": body}) + b"\n"

    def _table(self, items: list[Stored], metadata: Object, *, columns: bool = True) -> bytes:
        shown = columns_of(self.definition)
        table = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in shown] if columns else None,
            "rows": [self._row(stored.object, shown) for stored in items],
        }
        return orjson.dumps(table)

    def _row(self, found: Object, columns: tuple[Column, ...]) -> Object:
        row: dict[str, Any] = {"cells": [column.cell(found) for column in columns]}
        if self.include == "Object":
            row["object"] = found
        elif self.include != "None":
            row["object"] = _only_metadata(found)
        return row


def error_event(error: ApiError) -> bytes:
    """Return the line by which a watch tells that it has failed."""
    return orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n"


def _only_metadata(found: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": found["metadata"]}
