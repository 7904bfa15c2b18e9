"""The Machine template of MachineDeployments and MachineSets: which of them are the same, and what they are named."""

from __future__ import annotations

import json
import secrets
import zlib
from typing import Any

from lab.objects import Object

HASH_LABEL = "machine-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' letters for generated names: no vowels, so no words (apimachinery pkg/util/rand)."""


def without_hash(template: Object) -> Object:
    """Return the template as its MachineDeployment has it, without the hash label of its MachineSet."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != HASH_LABEL}
    metadata.pop("creationTimestamp", None)
    return {"metadata": {**metadata, "labels": labels}, "spec": template.get("spec") or {}}


def template_hash(template: Object) -> str:
    """Return the value of the hash label for a template."""
    return str(zlib.crc32(json.dumps(without_hash(template), sort_keys=True).encode()))


def with_hash(template: Object, value: str) -> Object:
    """Return the template with the hash label."""
    plain: dict[str, Any] = without_hash(template)
    labels = {**plain["metadata"]["labels"], HASH_LABEL: value}
    return {**plain, "metadata": {**plain["metadata"], "labels": labels}}


def encoded(text: str) -> str:
    """Return a text in letters that are safe in names, always the same for the same text."""
    return "".join(_ALPHABET[ord(letter) % len(_ALPHABET)] for letter in text)


def random_suffix() -> str:
    """Return five random letters, as `generateName` appends."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(5))
