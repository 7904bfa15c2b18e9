"""What is wrong with a CustomResourceDefinition, in the words of apiextensions-apiserver.

Source: pkg/apis/apiextensions/validation of Kubernetes v1.35; schemas are judged by `structural`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lab.apiserver.definitions.lifecycle import is_established
from lab.apiserver.definitions.structural import structural_violations
from lab.apiserver.problems import Violation
from lab.objects import Object

APPROVAL = "api-approved.kubernetes.io"

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_PROTECTED = re.compile(r"(.*\.)?(k8s\.io|kubernetes\.io)")
_PATH = re.compile(r"(\.[A-Za-z0-9_\-]+|\.?\[[^\]]*\])+")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")


def definition_violations(new: Object, old: Object | None) -> list[Violation]:
    """Return what is wrong with a definition, and what of an established one may not change."""
    return [
        *_of_name(new),
        *_of_group_and_scope(new["spec"]),
        *_of_versions(new["spec"]),
        *_of_names(new["spec"].get("names") or {}),
        *(_of_changes(new["spec"], old["spec"]) if old is not None and is_established(old) else ()),
        *stored_version_violations(new),
        *_of_approval(new),
        *_of_conversion(new["spec"]),
    ]


def _of_name(new: Object) -> Iterator[Violation]:
    spec, name = new["spec"], new["metadata"].get("name", "")
    names = spec.get("names") or {}
    if name != f"{names.get('plural', '')}.{spec.get('group', '')}":
        yield Violation.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def _of_group_and_scope(spec: Object) -> Iterator[Violation]:
    group, scope = spec.get("group"), spec.get("scope")
    if not group:
        yield Violation.required("spec.group")
    elif "." not in group:
        yield Violation.invalid("spec.group", group, "should be a domain with at least one dot")
    if not scope:
        yield Violation.required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield Violation.unsupported("spec.scope", scope, ("Cluster", "Namespaced"))


def _of_versions(spec: Object) -> Iterator[Violation]:
    versions = spec.get("versions") or []
    for i, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield Violation.required(f"spec.versions[{i}].schema.openAPIV3Schema")
        if not _LABEL.fullmatch(version.get("name", "")):
            yield Violation.invalid(f"spec.versions[{i}].name", version.get("name", ""), _LABEL_RULE)
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        yield Violation.invalid("spec.versions", spec.get("versions"), detail)
    if len({version.get("name") for version in versions}) < len(versions):
        yield Violation.invalid("spec.versions", versions, "must contain unique version names")
    for path, part, content in _parts(versions):
        yield from _CHECKS[part](content, path)


def _parts(versions: list[Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield what versions have, with its path: what all have alike is told of once, as of the definition itself."""
    for part in ("schema", "subresources", "additionalPrinterColumns"):
        contents = [version.get(part) for version in versions]
        if contents and contents[0] and all(content == contents[0] for content in contents):
            yield f"spec.{'validation' if part == 'schema' else part}", part, contents[0]
            continue
        for i, content in enumerate(contents):
            if content:
                yield f"spec.versions[{i}].{part}", part, content


def _of_schema(content: Any, path: str) -> Iterator[Violation]:
    if content.get("openAPIV3Schema"):
        yield from structural_violations(content["openAPIV3Schema"], f"{path}.openAPIV3Schema")


def _of_subresources(content: Any, path: str) -> Iterator[Violation]:
    scale = content.get("scale")
    if scale is None:
        return
    for name, root in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status"), ("labelSelectorPath", "")):
        value, where = scale.get(name), f"{path}.scale.{name}"
        if not value:
            if root:
                yield Violation.required(where)
        elif not _PATH.fullmatch(value):
            yield Violation.invalid(where, value, "must be a simple json path starting with .")
        elif root and not value.startswith(f"{root}."):
            yield Violation.invalid(where, value, f"should be a json path under {root}")


def _of_columns(content: Any, path: str) -> Iterator[Violation]:
    for i, column in enumerate(content):
        if not column.get("name"):
            yield Violation.required(f"{path}[{i}].name")
        if not column.get("type"):
            yield Violation.required(f"{path}[{i}].type", f"must be one of {','.join(_COLUMN_TYPES)}")
        elif column["type"] not in _COLUMN_TYPES:
            detail = f"must be one of {','.join(_COLUMN_TYPES)}"
            yield Violation.invalid(f"{path}[{i}].type", column["type"], detail)
        if not column.get("jsonPath"):
            yield Violation.required(f"{path}[{i}].JSONPath")
        elif not _PATH.fullmatch(column["jsonPath"]):
            detail = "must be a simple json path starting with ."
            yield Violation.invalid(f"{path}[{i}].JSONPath", column["jsonPath"], detail)


_CHECKS = {"schema": _of_schema, "subresources": _of_subresources, "additionalPrinterColumns": _of_columns}


def _of_names(names: Object) -> Iterator[Violation]:
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field)
        mixed = field in ("kind", "listKind")
        if not value:
            yield Violation.required(f"spec.names.{field}")
        elif not _LABEL.fullmatch(value.lower() if mixed else value):
            rule = f"may have mixed case, but should otherwise match: {_LABEL_RULE}" if mixed else _LABEL_RULE
            yield Violation.invalid(f"spec.names.{field}", value, rule)
    for field in ("shortNames", "categories"):
        for i, value in enumerate(names.get(field) or ()):
            if not _LABEL.fullmatch(value):
                yield Violation.invalid(f"spec.names.{field}[{i}]", value, _LABEL_RULE)
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield Violation.invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")


def _of_changes(new: Object, old: Object) -> Iterator[Violation]:
    names = new.get("names") or {}
    fields = {
        "group": (new.get("group"), old["group"]),
        "scope": (new.get("scope"), old["scope"]),
        "names.kind": (names.get("kind"), old["names"]["kind"]),
        "names.plural": (names.get("plural"), old["names"]["plural"]),
    }
    for field, (wanted, held) in fields.items():
        if wanted != held:
            yield Violation.invalid(f"spec.{field}", wanted, "field is immutable")


def stored_version_violations(new: Object) -> Iterator[Violation]:
    """Yield what is wrong with the list of versions in which objects may lie in the store."""
    field, stored = "status.storedVersions", (new.get("status") or {}).get("storedVersions") or []
    if not stored:
        yield Violation.invalid(field, None, "must have at least one stored version")
        return
    versions = new["spec"].get("versions") or []
    for version in versions:
        if version.get("storage") and version["name"] not in stored:
            yield Violation.invalid(field, stored, f"must have the storage version {version['name']}")
    for i, name in enumerate(stored):
        if name not in {version.get("name") for version in versions}:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield Violation.invalid(f"{field}[{i}]", name, detail)


def _of_approval(new: Object) -> Iterator[Violation]:
    if not _PROTECTED.fullmatch(new["spec"].get("group") or ""):
        return
    field = f"metadata.annotations[{APPROVAL}]"
    rule = f'protected groups must have approval annotation "{APPROVAL}"'
    source = "see https://github.com/kubernetes/enhancements/pull/1111"
    approval = (new["metadata"].get("annotations") or {}).get(APPROVAL)
    if not approval:
        yield Violation.required(field, f"{rule}, {source}")
    elif not approval.startswith("unapproved") and "://" not in approval:
        detail = f'{rule} with either a URL or a reason starting with "unapproved", {source}'
        yield Violation.invalid(field, approval, detail)


def _of_conversion(spec: Object) -> Iterator[Violation]:
    conversion = spec.get("conversion") or {}
    strategy = conversion.get("strategy")
    if strategy not in ("None", "Webhook"):
        yield Violation.unsupported("spec.conversion.strategy", strategy, ("None", "Webhook"))
    elif strategy == "Webhook":
        detail = "required when strategy is set to Webhook"
        webhook = conversion.get("webhook") or {}
        if not webhook.get("clientConfig"):
            yield Violation.required("spec.conversion.webhookClientConfig", detail)
        if not webhook.get("conversionReviewVersions"):
            yield Violation.required("spec.conversion.conversionReviewVersions")
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        yield Violation.invalid("spec.preserveUnknownFields", spec["preserveUnknownFields"], detail)
