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
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
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
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
    "regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LONGEST_ANNOTATIONS = 256 * 1024


def metadata_violations(resource: Resource, metadata: dict[str, Any]) -> list[Violation]:
    """Return what is wrong with names, labels and annotations."""
    return [
        *_name_violations(resource.plural, metadata),
        *_label_violations(metadata.get("labels") or {}),
        *_annotation_violations(metadata.get("annotations") or {}),
    ]


def _label_violations(labels: dict[str, str]) -> list[Violation]:
    found: list[Violation] = []
    for key, value in labels.items():
        if not _valid_key(key):
            found.append(Violation.invalid("metadata.labels", key, _KEY_RULE))
        if not _valid_label_value(value):
            rule = "must be no more than 63 bytes" if len(value) > 63 else _LABEL_VALUE_RULE
            found.append(Violation.invalid("metadata.labels", value, rule))
    return found


def _annotation_violations(annotations: dict[str, str]) -> list[Violation]:
    wrong = [key for key in annotations if not _valid_key(key.lower())]
    found = [Violation.invalid("metadata.annotations", key, _KEY_RULE) for key in wrong]
    if sum(len(key) + len(value) for key, value in annotations.items()) > _LONGEST_ANNOTATIONS:
        found.append(Violation.too_long("metadata.annotations", _LONGEST_ANNOTATIONS))
    return found


@lru_cache(maxsize=4096)
def _valid_key(key: str) -> bool:
    return bool(_LABEL_KEY.fullmatch(key))


@lru_cache(maxsize=4096)
def _valid_label_value(value: str) -> bool:
    return len(value) <= 63 and bool(_LABEL_VALUE.fullmatch(value))


def _name_violations(plural: str, metadata: dict[str, Any]) -> tuple[Violation, ...]:
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if prefix and name.startswith(prefix):
        part = _name_part_violations(plural, "metadata.generateName", prefix.rstrip("-") or prefix)
        if part:
            return (*part, *_name_part_violations(plural, "metadata.name", name))
    return _name_part_violations(plural, "metadata.name", name)


def _name_part_violations(plural: str, field: str, name: str) -> tuple[Violation, ...]:
    if not name:
        return (Violation.required("metadata.name", "name or generateName is required"),)
    if plural in _NAMED_FREELY:
        rule, pattern, longest = "may not contain '/' or '%'", _PATH_SEGMENT, 1024
    elif plural in _NAMED_LIKE_A_LABEL:
        rule, pattern, longest = _LABEL_RULE, _LABEL, 63
    else:
        rule, pattern, longest = _SUBDOMAIN_RULE, _SUBDOMAIN, 253
    if plural == "services":
        rule, pattern = _DNS_1035_RULE, _DNS_1035
    if "." in name and plural == "namespaces":
        rule = "must not contain dots"
    if len(name) > longest:
        return (Violation.invalid(field, name, f"must be no more than {longest} characters"),)
    return () if pattern.fullmatch(name) else (Violation.invalid(field, name, rule),)


_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def pod_violations(pod: Object) -> list[Violation]:
    """Return what is wrong with the spec of a new pod."""
    spec = pod.get("spec") or {}
    if not spec.get("containers"):
        return [Violation.required("spec.containers")]
    found: list[Violation] = []
    names: set[str] = set()
    restart = spec.get("restartPolicy", "Always")
    if restart not in _RESTART_POLICIES:
        found.append(Violation.unsupported("spec.restartPolicy", restart, _RESTART_POLICIES))
    for i, container in enumerate(spec["containers"]):
        found += _container_violations(f"spec.containers[{i}]", container, taken=names)
        names.add(container.get("name", ""))
    return found


def _container_violations(path: str, container: Object, *, taken: set[str]) -> list[Violation]:
    found = [Violation.required(f"{path}.{field}") for field in ("name", "image") if not container.get(field)]
    if container.get("name") and not _LABEL.fullmatch(container["name"]):
        found.append(Violation.invalid(f"{path}.name", container["name"], _LABEL_RULE))
        found.sort(key=lambda violation: violation.field != f"{path}.name")
    if container.get("imagePullPolicy", "Always") not in _PULL_POLICIES:
        wrong = container["imagePullPolicy"]
        found.append(Violation.unsupported(f"{path}.imagePullPolicy", wrong, _PULL_POLICIES))
    if container.get("name") in taken:
        found.append(Violation("FieldValueDuplicate", f"{path}.name", f'Duplicate value: "{container["name"]}"'))
    return found


_CHANGEABLE_IN_PODS = frozenset(
    {
        "activeDeadlineSeconds",
        "containers",
        "initContainers",
        "schedulingGates",
        "tolerations",
    }
)


def pod_update_violations(new: Object, old: Object) -> list[Violation]:
    """Return what a change of a pod's spec may not change: all but images, tolerations and deadlines."""
    fields = [name for name in {**old["spec"], **new["spec"]} if new["spec"].get(name) != old["spec"].get(name)]
    for listed in ("containers", "initContainers"):
        if len(new["spec"].get(listed) or ()) != len(old["spec"].get(listed) or ()):
            return [Violation.forbidden(f"spec.{listed}", "pod updates may not add or remove containers")]
    if "activeDeadlineSeconds" in fields:
        return _deadline_violations(new["spec"].get("activeDeadlineSeconds"), old["spec"].get("activeDeadlineSeconds"))
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


def _deadline_violations(new: int | None, old: int | None) -> list[Violation]:
    field = "spec.activeDeadlineSeconds"
    if new is not None and new <= 0:
        return [Violation.invalid(field, new, "must be between 1 and 2147483647, inclusive")]
    if old is None:
        return []
    if new is None:
        return [Violation.invalid(field, None, "must not update from a positive integer to nil value")]
    return [Violation.invalid(field, new, "must be less than or equal to previous value")] if new > old else []


def _without_images(containers: list[Object] | None) -> list[Object]:
    return [{k: v for k, v in container.items() if k != "image"} for container in containers or ()]


_SELECTED = frozenset({"Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"})


def workload_violations(new: Object, old: Object | None) -> list[Violation]:
    """Return what is wrong with the selector and pod template of an apps/v1 workload, or the template of a Job."""
    spec = new.get("spec") or {}
    if new["kind"] == "Job":
        return _template_violations(template := spec.get("template") or {}) or _restart_violations(template)
    if new["kind"] not in _SELECTED:
        return []
    selector = spec.get("selector")
    found = [] if selector else [Violation.required("spec.selector")]
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    wanted = (selector or {}).get("matchLabels") or {}
    if not selector or any(labels.get(key) != value for key, value in wanted.items()):
        detail = "`selector` does not match template `labels`"
        found.append(Violation.invalid("spec.template.metadata.labels", labels or None, detail))
    found += _template_violations(template)
    if old is not None and old["spec"].get("selector") != selector:
        found.append(Violation.invalid("spec.selector", selector, "field is immutable"))
    return found


def _restart_violations(template: Object) -> list[Violation]:
    if template["spec"].get("restartPolicy") in ("OnFailure", "Never"):
        return []
    return [Violation.required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')]


def _template_violations(template: Object) -> list[Violation]:
    """Return what is wrong with a workload's pods, of which there is at least one container to be had."""
    containers = (template.get("spec") or {}).get("containers")
    return [] if containers else [Violation.required("spec.template.spec.containers")]
