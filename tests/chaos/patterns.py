"""Requests told apart by what they are for: the same one has the same pattern in every cluster and every run."""

from __future__ import annotations

import re
from typing import Final

from migration.models import Stretch

SHARED_STEPS: Final = ("examine readiness",)
SAFE_POINT: Final = "safe point"
LOCK: Final = "lock"
BETWEEN: Final = "between steps"
_RANDOM_NAMES: Final = (
    "pods",
    "secrets",
    "nodes",
    "machines",
    "machinesets",
    "machinedeployments",
    "replicasets",
    "ciliumendpoints",
    "ciliumidentities",
    "ciliumnodes",
    "controllerrevisions",
    "projects",
)
_OBJECT: Final = re.compile(
    r"(?P<place>(/api/[^/]+|/apis/[^/]+/[^/]+)(/namespaces/[^/]+)?)"
    r"/(?P<kind>[a-z]+)/(?P<name>[^/]+)(?P<rest>/[a-z]+)?\Z"
)
_PROJECT: Final = re.compile(r"(?<=/projects/)[^/]+(?=/clusters/)")
_NAMESPACE: Final = re.compile(r"/namespaces/(?!kube-system\b|cluster-)[^/]+")


def pattern_of(method: str, path: str, *, cluster: str) -> str:
    """Return a regular expression for a request's path, in which `{cluster}` stands for the cluster's name.

    An object that goes is one of many of its kind, and a pod, a Secret or a project of KKP's REST API has another name
    in each cluster.
    """
    found = _OBJECT.match(path)
    if found is None or (found["kind"] not in _RANDOM_NAMES and method != "DELETE"):
        return "[^/]+".join(_escaped(part, cluster) for part in _PROJECT.split(path))
    place = "[^/]+".join(_escaped(part, cluster) for part in _split(found["place"]))
    return f"{place}/{found['kind']}/[^/]+{found['rest'] or ''}"


def step_name(task: str, *arguments: object) -> str:
    """Return the step that a task is: there is a safe point before each stretch."""
    stretch = next((found for found in arguments if isinstance(found, Stretch)), None)
    return f"{task}: {stretch}" if task == SAFE_POINT and stretch else task


def step_of(step: str, path: str) -> str:
    """Return the step that a request counts for: the lock is renewed beside all of them."""
    return step or BETWEEN if is_counted(path) else LOCK


def changes_something(method: str, path: str) -> bool:
    """Tell whether a request leaves the server other than it was, unless it is refused."""
    return method != "GET" and not path.endswith("accessreviews")


def is_counted(path: str) -> bool:
    """Tell whether a request is one of the step's own, and not the lock's."""
    return "/leases" not in path


def _split(place: str) -> list[str]:
    """Return what stands before and behind a namespace that people have made, which is any."""
    found = _NAMESPACE.search(place)
    return [place] if found is None else [place[: found.start()] + "/namespaces/", place[found.end() :]]


def _escaped(path: str, cluster: str) -> str:
    return "{cluster}".join(re.escape(part) for part in path.split(cluster))
