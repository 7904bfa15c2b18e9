"""Checks leases, events and budgets, of which kube-apiserver refuses what makes no sense. Refuses to know other kinds.

Follows pkg/apis/coordination, pkg/apis/core and pkg/apis/policy (validation) of Kubernetes v1.35.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lab.apiserver.problems import Violation, bad_request
from lab.objects import Object

_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})(Z|[+-]\d\d:\d\d)")
_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"


def kind_violations(new: Object) -> list[Violation]:
    """Return what is wrong with an object of one of these kinds, nothing for others; 400 for a malformed time."""
    check = _CHECKS.get(new["kind"])
    return check(new) if check is not None else []


def _lease(new: Object) -> list[Violation]:
    spec, found = new.get("spec") or {}, []
    for name in ("acquireTime", "renewTime"):
        _check_time("Lease", spec.get(name))
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        found.append(Violation.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        detail = "must be greater than or equal to 0"
        found.append(Violation.invalid("spec.leaseTransitions", transitions, detail))
    return found


def _check_time(kind: str, value: str | None) -> None:
    if value is None or _MICRO_TIME.fullmatch(value):
        return
    seconds = _SECOND.match(value)
    rest, wanted = (value[seconds.end() :], ".000000") if seconds else (value, "2006")
    raise bad_request(
        f'{kind} in version "v1" cannot be handled as a {kind}: parsing time "{value}" as "{_LAYOUT}": '
        f'cannot parse "{rest}" as "{wanted}"'
    )


def _event(new: Object) -> list[Violation]:
    """An event lies where what it is about lies; one about a thing of the whole cluster in `default`."""
    if new.get("eventTime"):
        return []
    about = (new.get("involvedObject") or {}).get("namespace") or ""
    if (about or "default") == new["metadata"].get("namespace"):
        return []
    return [Violation.invalid("involvedObject.namespace", about, "does not match event.namespace")]


def _budget(new: Object) -> list[Violation]:
    spec = new.get("spec") or {}
    if spec.get("minAvailable") is None or spec.get("maxUnavailable") is None:
        return []
    shown = {
        name[0].upper() + name[1:]: spec.get(name)
        for name in ("minAvailable", "selector", "maxUnavailable", "unhealthyPodEvictionPolicy")
    }
    return [Violation.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")]


_CHECKS: dict[str, Callable[[Object], list[Violation]]] = {
    "Lease": _lease,
    "Event": _event,
    "PodDisruptionBudget": _budget,
}
