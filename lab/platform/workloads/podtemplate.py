"""Pods from templates: their names, hashes, labels and owners. Refuses to change the template it is given."""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING

from lab.objects import Object, name_of, namespace_of, owner_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names: no vowels, so no words (Kubernetes apimachinery, pkg/util/rand)."""

_random = random.SystemRandom()


def random_suffix(length: int = 5) -> str:
    """Return letters that make a generated name unique."""
    return "".join(_random.choices(_ALPHABET, k=length))


def hash_of(data: object) -> str:
    """Return a short hash of JSON data, the same for equal data, fit for names and labels."""
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:10])


def with_label(template: Object, key: str, value: str) -> Object:
    """Return the pod template with one label more; everything else is shared with the given one."""
    metadata = template.get("metadata") or {}
    labelled = {**metadata, "labels": {**(metadata.get("labels") or {}), key: value}}
    return {**template, "metadata": labelled}


def without_label(template: Object, key: str) -> Object:
    """Return the pod template without a label; everything else is shared with the given one."""
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {k: v for k, v in (metadata.get("labels") or {}).items() if k != key}
    return {**template, "metadata": metadata}


def new_pod(owner: Object, template: Object, *, name: str = "", labels: Mapping[str, str] | None = None) -> Object:
    """Return a pod of the template that its owner controls, `<owner>-<5 letters>` unless named.

    What lies inside its spec is shared with the template: replace the spec's fields, never change them.
    """
    described = template.get("metadata") or {}
    metadata: Object = {
        "name": name or f"{name_of(owner)}-{random_suffix()}",
        "namespace": namespace_of(owner),
        "labels": {**(described.get("labels") or {}), **(labels or {})},
        "ownerReferences": [owner_reference(owner)],
    }
    if not name:
        metadata["generateName"] = f"{name_of(owner)}-"
    for field in ("annotations", "finalizers"):
        if described.get(field):
            metadata[field] = described[field]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(template["spec"])}


def tolerate(pod: Object, tolerations: Iterable[Object]) -> None:
    """Add the tolerations that a pod does not have yet."""
    held = pod["spec"].get("tolerations") or []
    pod["spec"]["tolerations"] = [*held, *(toleration for toleration in tolerations if toleration not in held)]
