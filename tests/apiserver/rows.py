"""The rows of tables, as kubectl asks for them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
MERGE = {"content-type": "application/merge-patch+json"}
SPACE = "contract-rows"
"""The namespace of the objects whose rows are looked at."""
NEVER_SCHEDULED: dict[str, Any] = {"nodeSelector": {"none": "such"}}
CONTAINERS: list[dict[str, Any]] = [
    {"name": "one", "image": "example.com/one"},
    {"name": "two", "image": "example.com/two"},
]

names = (f"row-{number}" for number in itertools.count())


def condition(kind: str, status: str = "True", **more: Any) -> dict[str, Any]:
    """Return a condition of a status."""
    return {"type": kind, "status": status, **more}


def row_of(api: httpx.Client, path: str) -> dict[str, Any]:
    """Return the cells of an object's row by column."""
    table = api.get(path, headers=TABLE).json()
    cells = table["rows"][0]["cells"]
    return dict(zip((column["name"] for column in table["columnDefinitions"]), cells, strict=True))


def shown(
    api: httpx.Client, collection: str, body: dict[str, Any], status: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Make an object, give it a status, and return the cells of its row but for its name and age."""
    name = body.setdefault("metadata", {}).setdefault("name", next(names))
    made = api.post(collection, json=body)
    assert made.status_code == 201, made.text
    if status is not None:
        answer = api.patch(f"{collection}/{name}/status", json={"status": status}, headers=MERGE)
        assert answer.status_code == 200, answer.text
    row = row_of(api, f"{collection}/{name}")
    assert row.pop("Name", name) == name
    assert row.pop("Age", "0s").endswith("s")
    return row
