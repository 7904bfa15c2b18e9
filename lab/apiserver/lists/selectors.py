"""Label and field selectors: parsed once, then asked of many objects. Refuses to know where objects are kept."""

from __future__ import annotations

import re

from lab.apiserver.lists.labels import Predicate, label_predicates
from lab.apiserver.problems import bad_request
from lab.objects import Object
from lab.resources import Resource

_FIELDS: dict[str, frozenset[str]] = {
    "pods": frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        }
    ),
    "events": frozenset(
        {
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        }
    ),
    "nodes": frozenset({"spec.unschedulable"}),
    "secrets": frozenset({"type"}),
    "namespaces": frozenset({"status.phase"}),
    "services": frozenset({"spec.clusterIP", "spec.type"}),
    "jobs.batch": frozenset({"status.successful"}),
}
"""By group resource (pkg/apis/core/v1/conversion.go, pkg/apis/batch/v1/conversion.go of Kubernetes v1.35)."""
_ABSENT = {"spec.hostNetwork": "false", "spec.unschedulable": "false"}
"""What a field counts as where an object lacks it (pkg/registry/core/{pod,node}/strategy.go); others count as empty."""
_NAME_AND_NAMESPACE = frozenset({"metadata.name", "metadata.namespace"})


class Selection:
    """Which objects a list, watch or deletecollection is about."""

    __slots__ = ("_predicates", "name", "namespace")

    def __init__(self, *, namespace: str = "", name: str | None = None, predicates: tuple[Predicate, ...] = ()) -> None:
        self.namespace = namespace
        self.name = name
        self._predicates = predicates

    @property
    def everything(self) -> bool:
        """Tell whether no object is left out."""
        return not self.namespace and self.name is None and not self._predicates

    @property
    def by_content(self) -> bool:
        """Tell whether labels or fields decide, so that an object may enter or leave."""
        return bool(self._predicates)

    def holds(self, found: Object) -> bool:
        """Tell whether an object is selected."""
        metadata = found["metadata"]
        if self.namespace and metadata.get("namespace") != self.namespace:
            return False
        if self.name is not None and metadata["name"] != self.name:
            return False
        return all(predicate(found) for predicate in self._predicates)


def select(resource: Resource, *, namespace: str = "", labels: str = "", fields: str = "") -> Selection:
    """Return the selection that a request's namespace, labelSelector and fieldSelector describe; 400 if malformed."""
    predicates = list(label_predicates(labels)) if labels else []
    name: str | None = None
    for path, value, wanted in _field_terms(fields) if fields else ():
        _check_field(resource, path)
        if path == "metadata.name" and wanted and name is None:
            name = value
        elif path == "metadata.namespace" and wanted and not namespace:
            namespace = value
        else:
            predicates.append(_field_predicate(path, value, wanted=wanted))
    return Selection(namespace=namespace, name=name, predicates=tuple(predicates))


def matches_selector(selector: Object | None, labels: dict[str, str]) -> bool:
    """Tell whether a LabelSelector object selects these labels; none selects nothing."""
    if selector is None:
        return False
    wanted: dict[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression_holds(item, labels) for item in selector.get("matchExpressions") or ())


def _expression_holds(expression: Object, labels: dict[str, str]) -> bool:
    value = labels.get(expression["key"])
    operator: str = expression["operator"]
    values: list[str] = expression.get("values") or []
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    return (value is not None) == (operator == "Exists")


def _field_terms(selector: str) -> list[tuple[str, str, bool]]:
    terms = []
    for term in filter(None, re.split(r"(?<!\\),", selector)):
        match = re.match(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        path, operator, value = match.groups()
        terms.append((path, re.sub(r"\\([\\,=])", r"\1", value), operator != "!="))
    return terms


def _check_field(resource: Resource, path: str) -> None:
    known = _FIELDS.get(resource.group_resource)
    if known is None:
        if path not in _NAME_AND_NAMESPACE:
            raise bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    elif path != "metadata.name" and path not in known and not (path == "metadata.namespace" and resource.namespaced):
        if resource.kind == "Job":
            raise bad_request(f'field label "{path}" not supported for Job')
        raise bad_request(f"field label not supported: {path}")


def _field_predicate(path: str, value: str, *, wanted: bool) -> Predicate:
    steps, absent = path.split("."), _ABSENT.get(path, "")

    def holds(found: Object) -> bool:
        here: object = found
        for step in steps:
            here = here.get(step) if isinstance(here, dict) else None
        return ((absent if here is None else _as_text(here)) == value) is wanted

    return holds


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
