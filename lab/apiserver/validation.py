"""Checks what kube-apiserver checks of every object and of pods. Refuses to know custom schemas and admission rules."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lab.apiserver.problems import Violation
from lab.objects import Object
from lab.resources import Resource

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH_SEGMENT = re.compile(r"[^/%]+")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

_NAMED_LIKE_A_LABEL = frozenset({"namespaces", "services"})
_NAMED_FREELY = frozenset({"clusterroles", "clusterrolebindings", "roles", "rolebindings"})

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)


def metadata_violations(resource: Resource, metadata: dict[str, Any]) -> list[Violation]:
    """Return what is wrong with a name and labels."""
    wrong = {
        key: value
        for key, value in (metadata.get("labels") or {}).items()
        if not isinstance(value, str) or not _valid_label(key, value)
    }
    found = [Violation.invalid("metadata.labels", _wrong_part(*item), _LABEL_VALUE_RULE) for item in wrong.items()]
    return [*_name_violations(resource.plural, metadata.get("name", "")), *found]


def _wrong_part(key: str, value: object) -> object:
    return value if _LABEL_KEY.fullmatch(key) else key


@lru_cache(maxsize=4096)
def _valid_label(key: str, value: str) -> bool:
    return bool(_LABEL_KEY.fullmatch(key) and len(value) <= 63 and _LABEL_VALUE.fullmatch(value))


def _name_violations(plural: str, name: str) -> tuple[Violation, ...]:
    if not name:
        return (Violation.required("metadata.name", "name or generateName is required"),)
    if plural in _NAMED_FREELY:
        rule, pattern, longest = "may not contain '/' or '%'", _PATH_SEGMENT, 1024
    elif plural in _NAMED_LIKE_A_LABEL:
        rule, pattern, longest = _LABEL_RULE, _LABEL, 63
    else:
        rule, pattern, longest = _SUBDOMAIN_RULE, _SUBDOMAIN, 253
    if len(name) > longest:
        return (Violation.invalid("metadata.name", name, f"must be no more than {longest} characters"),)
    return () if pattern.fullmatch(name) else (Violation.invalid("metadata.name", name, rule),)


def pod_violations(pod: Object) -> list[Violation]:
    """Return what is wrong with the spec of a new pod."""
    spec = pod.get("spec") or {}
    if not spec.get("containers"):
        return [Violation.required("spec.containers")]
    found: list[Violation] = []
    names: set[str] = set()
    for i, container in enumerate(spec["containers"]):
        found += _container_violations(f"spec.containers[{i}]", container, taken=names)
        names.add(container.get("name", ""))
    return found


def _container_violations(path: str, container: Object, *, taken: set[str]) -> list[Violation]:
    found = [Violation.required(f"{path}.{field}") for field in ("name", "image") if not container.get(field)]
    if container.get("name") in taken:
        found.append(Violation("FieldValueDuplicate", f"{path}.name", f'Duplicate value: "{container["name"]}"'))
    return found


_CHANGEABLE_IN_PODS = frozenset(
    {
        "activeDeadlineSeconds",
        "containers",
        "initContainers",
        "schedulingGates",
        "terminationGracePeriodSeconds",
        "tolerations",
    }
)


def pod_update_violations(new: Object, old: Object) -> list[Violation]:
    """Return what a change of a pod's spec may not change: all but images, tolerations and deadlines."""
    fields = [name for name in {**old["spec"], **new["spec"]} if new["spec"].get(name) != old["spec"].get(name)]
    refused = [name for name in fields if name not in _CHANGEABLE_IN_PODS]
    refused += [
        listed
        for listed in ("containers", "initContainers")
        if listed in fields and _without_images(new["spec"].get(listed)) != _without_images(old["spec"].get(listed))
    ]
    if not refused:
        return []
    detail = (
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    return [Violation.forbidden("spec", f"{detail}; changed: {', '.join(sorted(refused))}")]


def _without_images(containers: list[Object] | None) -> list[Object]:
    return [{k: v for k, v in container.items() if k != "image"} for container in containers or ()]


_SELECTED = frozenset({"Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"})


def workload_violations(new: Object, old: Object | None) -> list[Violation]:
    """Return what is wrong with the selector and pod template of an apps/v1 workload, or the template of a Job."""
    spec = new.get("spec") or {}
    if new["kind"] == "Job":
        return _template_violations(spec.get("template") or {})
    if new["kind"] not in _SELECTED:
        return []
    selector = spec.get("selector")
    if not selector:
        return [Violation.required("spec.selector")]
    if old is not None and old["spec"].get("selector") != selector:
        return [Violation.invalid("spec.selector", selector, "field is immutable")]
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        detail = "`selector` does not match template `labels`"
        return [Violation.invalid("spec.template.metadata.labels", labels, detail)]
    return _template_violations(template)


def _template_violations(template: Object) -> list[Violation]:
    """Return what is wrong with a workload's pods, of which there is at least one container to be had."""
    containers = (template.get("spec") or {}).get("containers")
    return [] if containers else [Violation.required("spec.template.spec.containers")]
