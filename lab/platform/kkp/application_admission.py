"""What KKP's webhook refuses of an ApplicationInstallation in a user cluster.

Source: KKP main, August 2026, pkg/validation/application_installation.go and pkg/cni/cilium/cilium.go
(docs/platform.md 1.4). Refuses to judge Helm values beyond the few that KKP enforces for its own Cilium. Deletion is
never refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml

from lab.objects import Object, is_being_deleted, key_of, labels_of
from lab.platform.kkp.admission import denied
from lab.platform.kkp.field_errors import forbidden, immutable, invalid, not_found, required
from lab.platform.kkp.values import Values, lookup, values_of

if TYPE_CHECKING:
    from lab.apiserver.server import AdmissionRequest

FindDefinition = Callable[[str], "Object | None"]
"""Returns the ApplicationDefinition of a name; they live on the seed, where this webhook is served from."""

MANAGED_BY = "apps.kubermatic.k8c.io/managed-by"
APPLICATION_TYPE = "apps.kubermatic.k8c.io/type"

APPLICATION_WEBHOOK = "applicationinstallations.apps.kubermatic.k8c.io"
_EXEMPT = {
    "cni": ("cni.chainingMode",),
    "ipam": ("ipam.operator.clusterPoolIPv4MaskSize", "ipam.operator.clusterPoolIPv6MaskSize"),
    "ipv6": (),
}
"""A subtree that may not change, and the values whose presence frees all of it again."""


def application_hook(find_definition: FindDefinition) -> Callable[[AdmissionRequest], None]:
    """Return the admission hook for ApplicationInstallations."""

    def admit(request: AdmissionRequest) -> None:
        if request.new is None or request.subresource or request.operation == "DELETE":
            return
        violations = _spec_violations(request.new, find_definition)
        if request.operation == "UPDATE" and request.old is not None:
            violations += _update_violations(request.new, request.old)
        if violations:
            text = (
                f"ApplicationInstallation validation request {uuid.uuid4()} denied for ApplicationInstallation "
                f"{key_of(request.new)} with error: [{' '.join(violations)}]"
            )
            raise denied(APPLICATION_WEBHOOK, text)

    return admit


def _spec_violations(new: Object, find_definition: FindDefinition) -> list[str]:
    spec = new.get("spec") or {}
    violations = []
    if not is_being_deleted(new):
        violations += _reference_violations(spec.get("applicationRef") or {}, find_definition)
    if spec.get("values") and spec.get("valuesBlock"):
        detail = "only values or valuesBlock can be set, but not both simultaneously"
        violations.append(forbidden("spec.values", detail))
    helm = (spec.get("deployOptions") or {}).get("helm") or {}
    has_timeout = str(helm.get("timeout", "0s")) not in ("0", "0s", "")
    path = "spec.deployOptions.helm"
    if helm.get("atomic") and not helm.get("wait"):
        violations.append(forbidden(path, "if atomic=true then wait must also be true"))
    if helm.get("wait") and not has_timeout:
        violations.append(forbidden(path, "if wait = true then timeout must be greater than 0"))
    if has_timeout and not helm.get("wait"):
        violations.append(forbidden(path, "if timeout is defined then wait must be true"))
    return violations


def _reference_violations(reference: Object, find_definition: FindDefinition) -> list[str]:
    definition = find_definition(str(reference.get("name")))
    if definition is None:
        return [not_found("spec.applicationRef.name", reference.get("name"))]
    if all(offered["version"] != reference.get("version") for offered in definition["spec"].get("versions") or ()):
        return [not_found("spec.applicationRef.version", reference.get("version"))]
    return []


def _update_violations(new: Object, old: Object) -> list[str]:
    violations = []
    for path in ("namespace.create", "namespace.name", "applicationRef.name"):
        violations += immutable(f"spec.{path}", lookup(new["spec"], path), lookup(old["spec"], path))
    violations += _label_violations(new, old, MANAGED_BY)
    if labels_of(old).get(MANAGED_BY) == "kkp":
        violations += _label_violations(new, old, APPLICATION_TYPE)
        if labels_of(new).get(APPLICATION_TYPE) == "cni" and new["metadata"]["name"] == "cilium":
            violations += _cilium_value_violations(new, old)
    return violations


def _label_violations(new: Object, old: Object, label: str) -> list[str]:
    if labels_of(new).get(label) == labels_of(old).get(label):
        return []
    return [invalid("metadata.labels", labels_of(new), f'label "{label}" is immutable')]


def _cilium_value_violations(new: Object, old: Object) -> list[str]:
    try:
        new_values, old_values = values_of(new), values_of(old)
    except yaml.YAMLError as error:
        return [invalid("spec.values", new["spec"].get("valuesBlock"), f"unable to unmarshal values: {error}")]
    violations = []
    for key, exempting in _EXEMPT.items():
        freed = any(lookup(values, path) is not None for path in exempting for values in (new_values, old_values))
        gone = key in old_values and not new_values.get(key)
        if gone or (not freed and new_values.get(key) != old_values.get(key)):
            violations.append(invalid(f"spec.values.{key}", _plain(new_values.get(key)), "value is immutable"))
    if "kubeProxyReplacement" not in new_values:
        violations.append(required("spec.values", "value kubeProxyReplacement is mandatory"))
    path = "operator.securityContext"
    if lookup(new_values, path) != lookup(old_values, path):
        violations.append(invalid(f"spec.values.{path}", _plain(lookup(new_values, path)), "value is immutable"))
    return violations


def _plain(value: Any) -> Values | str | None:
    return value if value is None or isinstance(value, dict) else str(value)
