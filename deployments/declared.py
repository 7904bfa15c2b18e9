"""What prefect.yaml declares: the deployments of this project, and the queues of their work pool. Talks to nobody."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
PREFECT_YAML: Final = ROOT / "prefect.yaml"
WORK_POOL: Final = "kkp-migrations"


@dataclass(frozen=True, kw_only=True)
class DeclaredQueue:
    """A work queue as a new work pool gets it."""

    name: str
    priority: int
    concurrency_limit: int | None
    description: str


def read(path: Path = PREFECT_YAML) -> dict[str, Any]:
    """Return the content of a prefect.yaml; nothing in it is shared, whatever its aliases say."""
    content = yaml.safe_load(path.read_text())
    return {**content, "deployments": [copy.deepcopy(entry) for entry in content["deployments"]]}


def entries(path: Path = PREFECT_YAML) -> list[dict[str, Any]]:
    """Return the deployments of a prefect.yaml as they stand there."""
    return list(read(path)["deployments"])


def queues(content: Mapping[str, Any]) -> tuple[DeclaredQueue, ...]:
    """Return the queues, the one that goes first at the front."""
    declared = content["definitions"]["work_queues"]
    found = (DeclaredQueue(name=name, **values) for name, values in declared.items())
    return tuple(sorted(found, key=lambda queue: queue.priority))
