"""Checks ConfigMaps, Secrets, Services and Nodes, of which kube-apiserver refuses some content and some changes.

Follows pkg/apis/core/validation of Kubernetes v1.35. Refuses to know other kinds.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lab.apiserver.problems import Violation
from lab.objects import Object

_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def content_violations(new: Object, old: Object | None) -> list[Violation]:
    """Return what is wrong with an object of one of these kinds, nothing for others."""
    check = _CHECKS.get(new["kind"])
    return check(new, old) if check is not None else []


def _config_map(new: Object, old: Object | None) -> list[Violation]:
    if old is not None and old.get("immutable"):
        return _frozen_violations(new, old)
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    found = _key_violations("data", data)
    detail = "duplicate of key present in binaryData"
    found += [Violation.invalid(f"data[{key}]", key, detail) for key in data if key in binary]
    return found + _key_violations("binaryData", binary)


def _secret(new: Object, old: Object | None) -> list[Violation]:
    found = _key_violations("data", new.get("data") or {})
    if old is not None and new.get("type") != old.get("type"):
        found.append(Violation.invalid("type", new.get("type", ""), "field is immutable"))
    if old is not None and old.get("immutable"):
        found += _frozen_violations(new, old)
    return found


def _key_violations(field: str, data: Object) -> list[Violation]:
    return [Violation.invalid(f"{field}[{key}]", key, _KEY_RULE) for key in data if not _KEY.fullmatch(key)]


def _frozen_violations(new: Object, old: Object) -> list[Violation]:
    detail = "field is immutable when `immutable` is set"
    thawed = [] if new.get("immutable") else [Violation.forbidden("immutable", detail)]
    changed = [name for name in ("data", "binaryData") if (new.get(name) or {}) != (old.get(name) or {})]
    return thawed + [Violation.forbidden(name, detail) for name in changed]


def _service(new: Object, old: Object | None) -> list[Violation]:
    spec = new.get("spec") or {}
    ports, found = spec.get("ports") or [], []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and spec.get("type") != "ExternalName":
        found.append(Violation.required("spec.ports"))
    if len(ports) > 1:
        found += [Violation.required(f"spec.ports[{i}].name") for i, port in enumerate(ports) if not port.get("name")]
    held = (old or {}).get("spec") or {}
    stays = held.get("clusterIP") and "ExternalName" not in (held.get("type"), spec.get("type"))
    if stays and spec.get("clusterIP") != held["clusterIP"]:
        detail = "may not change once set"
        found.append(Violation.invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], detail))
    return found


def _node(new: Object, old: Object | None) -> list[Violation]:
    held, wanted = ((found or {}).get("spec") or {} for found in (old, new))
    if held.get("podCIDRs") and wanted.get("podCIDRs") != held["podCIDRs"]:
        detail = 'node updates may not change podCIDR except from "" to valid'
        return [Violation.forbidden("spec.podCIDRs", detail)]
    return []


_CHECKS: dict[str, Callable[[Object, Object | None], list[Violation]]] = {
    "ConfigMap": _config_map,
    "Secret": _secret,
    "Service": _service,
    "Node": _node,
}
