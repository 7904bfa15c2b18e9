"""Objects that the contract sends, and how it waits for a controller."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

Object = dict[str, Any]
Found = TypeVar("Found")

MERGE = {"content-type": "application/merge-patch+json"}
NODE = "somewhere"
PATIENCE_SECONDS = 20
HOLD = "example.org/hold"
"""A finalizer that nobody takes off."""


def config_map(name: str, **metadata: Any) -> Object:
    """Return an object that nothing acts on."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


def pod(name: str, *, grace_seconds: int = 30, **metadata: Any) -> Object:
    """Return a pod with one container."""
    spec = {"terminationGracePeriodSeconds": grace_seconds, "containers": [{"name": "main", "image": "web:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def run_pod(
    api: httpx.Client, pods: str, name: str, *, phase: str = "Running", ready: bool = True, **draft: Any
) -> Object:
    """Have a pod on a node that is in a phase; returns it."""
    assert api.post(pods, json=pod(name, **draft)).status_code == 201
    bind(api, pods, name)
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"status": {"phase": phase, "conditions": conditions}}
    answer = api.patch(f"{pods}/{name}/status", json=status, headers=MERGE)
    assert answer.status_code == 200, answer.text
    return answer.json()


def bind(api: httpx.Client, pods: str, name: str) -> None:
    """Give a pod its node."""
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}}
    assert api.post(f"{pods}/{name}/binding", json=body).status_code == 201


def delete(api: httpx.Client, path: str, **options: Any) -> httpx.Response:
    """Delete with options in the body."""
    return api.request("DELETE", path, json={"kind": "DeleteOptions", "apiVersion": "v1", **options})


def release(api: httpx.Client, path: str) -> httpx.Response:
    """Take all finalizers off an object."""
    return api.patch(path, json={"metadata": {"finalizers": None}}, headers=MERGE)


def eventually(look: Callable[[], Found], what: str) -> Found:
    """Return what `look` finds, once that is something: controllers tell nobody when they are done."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def is_gone(api: httpx.Client, path: str) -> bool:
    """Tell whether an object is not there."""
    return api.get(path).status_code == 404


def cause_of(answer: httpx.Response) -> Object:
    """Return the only cause of a refusal."""
    (cause,) = answer.json()["details"]["causes"]
    return cause
