"""The schemas of Cilium's custom resources, as far as the lab and its users write them; the rest is kept.

Source: pkg/k8s/apis/cilium.io/v2 of Cilium 1.19. Refuses to judge what policies mean.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_STRING: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer", "format": "int64"}
_ANYTHING: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_STATES = (
    *("creating", "waiting-for-identity", "not-ready", "waiting-to-regenerate", "regenerating", "restoring"),
    *("ready", "disconnecting", "disconnected", "invalid"),
)


def schema_of(plural: str) -> Schema:
    """Return the schema of a resource of Cilium's."""
    own = _FIELDS.get(plural, {"properties": {"spec": _ANYTHING, "status": _ANYTHING}})
    common = {"apiVersion": _STRING, "kind": _STRING, "metadata": {"type": "object"}}
    required = ["metadata", *own.get("required", ())]
    return {"type": "object", **own, "properties": {**common, **own["properties"]}, "required": required}


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _with(schema: Schema, **properties: Schema) -> Schema:
    """Return a schema that keeps unknown fields beside these."""
    return {**schema, "properties": properties}


def _asks_for(*fields: str) -> list[Schema]:
    return [{"required": [field]} for field in fields]


_ENDPOINT_STATUS = _with(
    _ANYTHING,
    **{
        "id": _INTEGER,
        "state": {"type": "string", "enum": list(_STATES)},
        "identity": _object(id=_INTEGER, labels=_list_of(_STRING)),
        "networking": {
            **_object(addressing=_list_of(_object(ipv4=_STRING, ipv6=_STRING)), node=_STRING),
            "required": ["addressing"],
        },
        "encryption": _object(key={"type": "integer"}),
        "external-identifiers": _ANYTHING,
    },
)
_NODE_SPEC = _with(
    _ANYTHING,
    addresses=_list_of(_object(ip=_STRING, type=_STRING)),
    encryption=_object(key={"type": "integer"}),
    health=_object(ipv4=_STRING, ipv6=_STRING),
    ipam=_with(_ANYTHING, podCIDRs=_list_of({"type": "string", "format": "cidr"})),
)
_RULE: Schema = {
    **_with(
        _ANYTHING,
        description=_STRING,
        endpointSelector=_ANYTHING,
        nodeSelector=_ANYTHING,
        ingress=_list_of(_ANYTHING),
        ingressDeny=_list_of(_ANYTHING),
        egress=_list_of(_ANYTHING),
        egressDeny=_list_of(_ANYTHING),
    ),
    "anyOf": _asks_for("ingress", "ingressDeny", "egress", "egressDeny"),
    "oneOf": _asks_for("endpointSelector", "nodeSelector"),
}
_POLICY: Schema = {"properties": {"spec": _RULE, "specs": _list_of(_RULE), "status": _ANYTHING}}

_FIELDS: dict[str, Schema] = {
    "ciliumendpoints": {"properties": {"status": _ENDPOINT_STATUS}},
    "ciliumidentities": {
        "properties": {"security-labels": {"type": "object", "additionalProperties": _STRING}},
        "required": ["security-labels"],
    },
    "ciliumnodes": {"properties": {"spec": _NODE_SPEC, "status": _ANYTHING}, "required": ["spec"]},
    "ciliumnetworkpolicies": _POLICY,
    "ciliumclusterwidenetworkpolicies": _POLICY,
}
