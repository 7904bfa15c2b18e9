"""Reads the request bodies that client-go's typed clients send as protobuf, whatever they are told.

kubectl's drain, `auth can-i`, `create namespace` and `create pdb` are among them. Answers are JSON, which those
clients accept. Knows the few messages below, by the field numbers of k8s.io/api v0.35, and refuses all others:
kubectl sends everything that it reads from files as JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from lab.apiserver.metadata import after_epoch
from lab.apiserver.problems import bad_request, unsupported_media_type
from lab.objects import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5

Message = dict[int, tuple[str, str]]
"""Field number -> JSON name and type; `[type]` is repeated, `{type}` a map from strings. Other fields are left out."""

_WITH_METADATA = {1: ("metadata", "ObjectMeta")}

_MESSAGES: dict[str, Message] = {
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        8: ("creationTimestamp", "Time"),
        11: ("labels", "{string}"),
        12: ("annotations", "{string}"),
        13: ("ownerReferences", "[OwnerReference]"),
        14: ("finalizers", "[string]"),
    },
    "OwnerReference": {
        5: ("apiVersion", "string"),
        1: ("kind", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "[string]"),
    },
    "Preconditions": {1: ("uid", "string"), 2: ("resourceVersion", "string")},
    "Eviction": {**_WITH_METADATA, 2: ("deleteOptions", "DeleteOptions")},
    "Binding": {**_WITH_METADATA, 2: ("target", "ObjectReference")},
    "ObjectReference": {
        1: ("kind", "string"),
        2: ("namespace", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        5: ("apiVersion", "string"),
    },
    "LocalObjectReference": {1: ("name", "string")},
    "Namespace": {**_WITH_METADATA, 2: ("spec", "NamespaceSpec")},
    "NamespaceSpec": {1: ("finalizers", "[string]")},
    "ConfigMap": {**_WITH_METADATA, 2: ("data", "{string}"), 3: ("binaryData", "{bytes}"), 4: ("immutable", "bool")},
    "Secret": {
        **_WITH_METADATA,
        2: ("data", "{bytes}"),
        3: ("type", "string"),
        4: ("stringData", "{string}"),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {
        **_WITH_METADATA,
        2: ("secrets", "[ObjectReference]"),
        3: ("imagePullSecrets", "[LocalObjectReference]"),
        4: ("automountServiceAccountToken", "bool"),
    },
    "Scale": {**_WITH_METADATA, 2: ("spec", "ScaleSpec")},
    "ScaleSpec": {1: ("replicas", "int")},
    "PodDisruptionBudget": {**_WITH_METADATA, 2: ("spec", "PodDisruptionBudgetSpec")},
    "PodDisruptionBudgetSpec": {
        1: ("minAvailable", "IntOrString"),
        2: ("selector", "LabelSelector"),
        3: ("maxUnavailable", "IntOrString"),
        4: ("unhealthyPodEvictionPolicy", "string"),
    },
    "LabelSelector": {1: ("matchLabels", "{string}"), 2: ("matchExpressions", "[LabelSelectorRequirement]")},
    "LabelSelectorRequirement": {1: ("key", "string"), 2: ("operator", "string"), 3: ("values", "[string]")},
    "SelfSubjectAccessReview": {**_WITH_METADATA, 2: ("spec", "SelfSubjectAccessReviewSpec")},
    "SelfSubjectAccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: ("namespace", "string"),
        2: ("verb", "string"),
        3: ("group", "string"),
        4: ("version", "string"),
        5: ("resource", "string"),
        6: ("subresource", "string"),
        7: ("name", "string"),
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    "SelfSubjectRulesReview": {**_WITH_METADATA, 2: ("spec", "SelfSubjectRulesReviewSpec")},
    "SelfSubjectRulesReviewSpec": {1: ("namespace", "string")},
    "SelfSubjectReview": _WITH_METADATA,
    "TokenRequest": {**_WITH_METADATA, 2: ("spec", "TokenRequestSpec")},
    "TokenRequestSpec": {
        1: ("audiences", "[string]"),
        4: ("expirationSeconds", "int"),
        3: ("boundObjectRef", "BoundObjectReference"),
    },
    "BoundObjectReference": {
        1: ("kind", "string"),
        2: ("apiVersion", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
    },
    "Role": {**_WITH_METADATA, 2: ("rules", "[PolicyRule]")},
    "ClusterRole": {**_WITH_METADATA, 2: ("rules", "[PolicyRule]")},
    "PolicyRule": {
        1: ("verbs", "[string]"),
        2: ("apiGroups", "[string]"),
        3: ("resources", "[string]"),
        4: ("resourceNames", "[string]"),
        5: ("nonResourceURLs", "[string]"),
    },
    "RoleBinding": {**_WITH_METADATA, 2: ("subjects", "[Subject]"), 3: ("roleRef", "RoleRef")},
    "ClusterRoleBinding": {**_WITH_METADATA, 2: ("subjects", "[Subject]"), 3: ("roleRef", "RoleRef")},
    "Subject": {1: ("kind", "string"), 2: ("apiGroup", "string"), 3: ("name", "string"), 4: ("namespace", "string")},
    "RoleRef": {1: ("apiGroup", "string"), 2: ("kind", "string"), 3: ("name", "string")},
}


def decode(body: bytes) -> Object:
    """Return the object of a body in Kubernetes' protobuf envelope; 415 for a kind that is not known here."""
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        kind = {number: bytes(value).decode() for number, value in _fields(envelope[1])}
        if kind.get(2, "") not in _MESSAGES:
            raise unsupported_media_type(("application/json", "application/yaml"))
        return {"apiVersion": kind.get(1, ""), "kind": kind[2], **_message(kind[2], envelope.get(2, b""))}
    except (IndexError, KeyError, UnicodeDecodeError, TypeError) as error:
        raise bad_request(f"the protobuf body could not be read: {error!r}") from error


def _message(name: str, raw: bytes) -> Object:
    known = _MESSAGES[name]
    found: Object = {}
    for number, value in _fields(raw):
        if number not in known:
            continue
        field, kind = known[number]
        if kind.startswith("["):
            found.setdefault(field, []).append(_value(kind[1:-1], value))
        elif kind.startswith("{"):
            entry = dict(_fields(value))
            found.setdefault(field, {})[bytes(entry.get(1, b"")).decode()] = _value(kind[1:-1], entry.get(2, b""))
        elif (read := _value(kind, value)) not in ("", {}):  # Go leaves empty strings and structs out of JSON
            found[field] = read
    return found


def _value(kind: str, value: Any) -> Any:
    if kind == "int":
        return value - (1 << 64) if value >> 63 else value
    if kind == "bool":
        return bool(value)
    if kind == "string":
        return bytes(value).decode()
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind in ("IntOrString", "Time"):
        return _unwrapped(kind, dict(_fields(value)))
    return _message(kind, value)


def _unwrapped(kind: str, fields: dict[int, Any]) -> Any:
    """Return the plain JSON of a message that is no object in JSON: an IntOrString is of type 0 if it is a number."""
    if kind == "Time":
        return after_epoch(fields[1]) if fields.get(1) else ""
    return _value("string", fields.get(3, b"")) if fields.get(1) else _value("int", fields.get(2, 0))


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        wire = tag & 7
        if wire == _VARINT:
            value: Any
            value, at = _varint(raw, at)
        elif wire == _BYTES:
            length, at = _varint(raw, at)
            value, at = raw[at : at + length], at + length
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if wire == _EIGHT_BYTES else 4
            value, at = raw[at : at + size], at + size
        else:
            raise bad_request(f"the protobuf body has a field of wire type {wire}")
        yield tag >> 3, value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = raw[at]
        result |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return result, at
        shift += 7
