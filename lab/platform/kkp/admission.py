"""What KKP's webhooks do to a Cluster on the seed: fill in defaults, and refuse what breaks a rule.

Source: KKP main, August 2026, pkg/webhook/cluster and pkg/validation/cluster.go (docs/platform.md 1.1 to 1.3). Refuses
to look at anything but the two objects: no node, no workload and no maintenance window ever blocks a change. Enums and
required fields are the CRD schema's business; what it will refuse anyway is passed over here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.errors import ApiError
from lab.objects import Object, is_being_deleted, labels_of, name_of
from lab.platform.kkp.field_errors import aggregate, forbidden, immutable, invalid, not_supported, required
from lab.platform.kkp.profiles import Profile
from lab.platform.kkp.versions import Version, parse_version
from lab.platform.webhook import denial

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.apiserver.server import AdmissionRequest

UNSAFE_CNI_MIGRATION = "unsafe-cni-migration"
UNSAFE_CNI_UPGRADE = "unsafe-cni-upgrade"
UNSAFE_EXPOSE_STRATEGY_MIGRATION = "unsafe-expose-strategy-migration"
PROJECT_ID = "project-id"

CLUSTER_WEBHOOK = "clusters.kubermatic.io"
_MAX_NAME_LENGTH = 36
_PODS_CIDR = "172.25.0.0/16"
_SERVICES_CIDR = "10.240.16.0/20"


def denied(webhook: str, message: str) -> ApiError:
    """Return the error that a validating webhook's refusal becomes on its way through the API server."""
    return ApiError(403, f"{denial(webhook)}{message}", reason="Forbidden")


def cluster_hook(profile: Profile) -> Callable[[AdmissionRequest], None]:
    """Return the admission hook for Clusters of one release of KKP."""
    return lambda request: _admit(request, profile)


def _admit(request: AdmissionRequest, profile: Profile) -> None:
    """Leave KKP's defaults in a created or updated Cluster; raises ApiError 403 with every violation.

    Both webhooks are registered for `clusters`, not for `clusters/status`.
    """
    new = request.new
    if new is None or request.subresource or request.operation == "DELETE" or not _is_shaped(new):
        return
    refusal = defaulted_and_refused(new, request.old if request.operation == "UPDATE" else None, profile)
    if refusal:
        raise denied(CLUSTER_WEBHOOK, refusal)


def defaulted_and_refused(new: Object, old: Object | None, profile: Profile) -> str:
    """Leave KKP's defaults in a Cluster and return why it is refused, empty if it is not.

    The REST API calls the same functions as the webhooks do, before it writes anything.
    """
    if not is_being_deleted(new):
        _set_defaults(new["spec"], profile, created=old is None)
    violations = _label_violations(new, old) + _spec_violations(new, profile)
    violations += _name_violations(new) if old is None else _update_violations(new, old, profile)
    return aggregate(violations) if violations else ""


def _is_shaped(cluster: Object) -> bool:
    """Tell whether the mappings are mappings; where they are not, the schema refuses the object anyway."""
    spec = cluster.get("spec")
    if not isinstance(spec, dict):
        return False
    network = spec.get("clusterNetwork") or {}
    parts = [spec.get(name) for name in ("cniPlugin", "cloud", "clusterNetwork")]
    parts += [network.get(name) for name in ("pods", "services")] if isinstance(network, dict) else []
    return all(part is None or isinstance(part, dict) for part in parts)


def _set_defaults(spec: Object, profile: Profile, *, created: bool) -> None:
    if created:
        spec.setdefault("cniPlugin", {"type": profile.default_cni})
        _set_network_defaults(spec, profile)
    cni, network = spec.get("cniPlugin"), spec.get("clusterNetwork") or {}
    if cni and not cni.get("version"):
        cni["version"] = profile.cni_versions.default.get(str(cni.get("type")), "")
    if network.get("proxyMode") == "ipvs" and "ipvs" not in network:
        network["ipvs"] = {"strictArp": True}


def _set_network_defaults(spec: Object, profile: Profile) -> None:
    network = spec.setdefault("clusterNetwork", {})
    network.setdefault("proxyMode", profile.default_proxy_mode(str(spec.get("version"))))
    network.setdefault("pods", {"cidrBlocks": [_PODS_CIDR]})
    network.setdefault("services", {"cidrBlocks": [_SERVICES_CIDR]})
    network.setdefault("dnsDomain", "cluster.local")
    network.setdefault("nodeCidrMaskSizeIPv4", 24)
    network.setdefault("konnectivityEnabled", True)
    network.setdefault("nodeLocalDNSCacheEnabled", True)
    if not network.get("ipFamily"):
        network["ipFamily"] = "IPv4" if len((network["pods"] or {}).get("cidrBlocks") or ()) < 2 else "IPv4+IPv6"


def _name_violations(new: Object) -> list[str]:
    name = name_of(new)
    if len(name) > _MAX_NAME_LENGTH:
        detail = f"cluster name exceeds maximum allowed length of {_MAX_NAME_LENGTH} characters"
        return [invalid("metadata.name", name, detail)]
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        return [invalid("metadata.name", name, "cluster name must be valid rfc1035 label")]
    return []


def _label_violations(new: Object, old: Object | None) -> list[str]:
    project = labels_of(new).get(PROJECT_ID, "")
    if old is not None and project != labels_of(old).get(PROJECT_ID, ""):
        return [invalid("metadata.labels", project, f"the {PROJECT_ID} label is immutable")]
    if not project:
        return [required("metadata.labels", f'Cluster resources must have a "{PROJECT_ID}" label')]
    return []


def _spec_violations(new: Object, profile: Profile) -> list[str]:
    spec = new["spec"]
    violations = []
    if not spec.get("humanReadableName"):
        violations.append(required("spec.humanReadableName", "no name specified"))
    if spec.get("version") not in profile.kubernetes_versions:
        violations.append(not_supported("spec.version", spec.get("version"), profile.kubernetes_versions))
    cni, network = spec.get("cniPlugin"), spec.get("clusterNetwork") or {}
    if cni:
        violations += _cni_violations(cni, network, profile)
    return violations + _network_violations(network, cni, profile)


def _cni_violations(cni: Object, network: Object, profile: Profile) -> list[str]:
    violations = []
    cni_type, version = str(cni.get("type")), cni.get("version", "")
    known = profile.cni_versions
    if cni_type in known.default and version not in known.allowed(cni_type):
        violations.append(not_supported("spec.cniPlugin.version", version, known.allowed(cni_type)))
    parsed = parse_version(version)
    if cni_type == "canal" and network.get("ipFamily") == "IPv4+IPv6" and parsed and parsed < (3, 22, 0):
        violations.append(forbidden("spec.cniPlugin", "dual-stack not allowed on Canal CNI version lower than 3.22"))
    return violations


def _network_violations(network: Object, cni: Object | None, profile: Profile) -> list[str]:
    # KKP names this part `networkConfig` in its messages although the field is `clusterNetwork`.
    path = "spec.networkConfig"
    violations = []
    if (domain := network.get("dnsDomain", "cluster.local")) != "cluster.local":
        violations.append(invalid(f"{path}.dnsDomain", domain, "dnsDomain must be 'cluster.local'"))
    if network.get("proxyMode") == "ebpf" and (cni is None or cni.get("type") == "canal"):
        violations.append(invalid(f"{path}.proxyMode", "ebpf", "ebpf proxy mode is not valid for canal CNI"))
    konnectivity = network.get("konnectivityEnabled")
    if network.get("proxyMode") == "ebpf" and konnectivity is not True:
        detail = "ebpf proxy mode can be used only when Konnectivity is enabled"
        violations.append(invalid(f"{path}.proxyMode", "ebpf", detail))
    if konnectivity is False and "konnectivity-always" in profile.traits:
        detail = "Konnectivity can no longer be disabled"
        violations.append(invalid(f"{path}.konnectivityEnabled", konnectivity, detail))
    return violations


def _update_violations(new: Object, old: Object, profile: Profile) -> list[str]:
    spec, before, labels = new["spec"], old["spec"], labels_of(new)
    return (
        _version_update_violations(spec, before, profile)
        + _cloud_update_violations(spec.get("cloud") or {}, before.get("cloud") or {})
        + _expose_strategy_violations(spec, before, labels)
        + _network_update_violations(spec.get("clusterNetwork") or {}, before.get("clusterNetwork") or {}, labels)
        + _cni_update_violations(spec, before, labels)
    )


def _version_update_violations(new: Object, old: Object, profile: Profile) -> list[str]:
    target, current = parse_version(str(new.get("version"))), parse_version(str(old.get("version")))
    known = profile.kubernetes_versions
    if target == current or target is None or current is None or new.get("version") not in known:
        return []
    reachable = [v for v in known if (parse_version(v) or current)[1] in (current[1], current[1] + 1)]
    return [] if new["version"] in reachable else [not_supported("spec.version", new["version"], reachable)]


def _cloud_update_violations(new: Object, old: Object) -> list[str]:
    if new.get("dc") != old.get("dc"):
        return [forbidden("spec.cloud", "changing the datacenter is not allowed")]
    if new.get("providerName") != old.get("providerName"):
        return [forbidden("spec.cloud", "not allowed to change the cloud provider")]
    return []


def _expose_strategy_violations(new: Object, old: Object, labels: dict[str, str]) -> list[str]:
    if UNSAFE_EXPOSE_STRATEGY_MIGRATION in labels or not old.get("exposeStrategy"):
        return []
    return immutable("spec.exposeStrategy", new.get("exposeStrategy"), old["exposeStrategy"])


def _network_update_violations(new: Object, old: Object, labels: dict[str, str]) -> list[str]:
    path = "spec.clusterNetwork"
    violations = immutable(f"{path}.ipFamily", new.get("ipFamily"), old["ipFamily"]) if old.get("ipFamily") else []
    for part in ("pods", "services"):
        blocks = (old.get(part) or {}).get("cidrBlocks")
        if blocks:
            violations += immutable(f"{path}.{part}.cidrBlocks", (new.get(part) or {}).get("cidrBlocks"), blocks)
    # Only the key counts, whatever its value (docs/platform.md 1.2).
    if old.get("proxyMode") and UNSAFE_CNI_MIGRATION not in labels:
        violations += immutable(f"{path}.proxyMode", new.get("proxyMode"), old["proxyMode"])
    for part in ("dnsDomain", "nodeLocalDNSCacheEnabled"):
        if old.get(part) not in (None, ""):
            violations += immutable(f"{path}.{part}", new.get(part), old[part])
    return violations


def _cni_update_violations(new_spec: Object, old_spec: Object, labels: dict[str, str]) -> list[str]:
    new, old = new_spec.get("cniPlugin"), old_spec.get("cniPlugin")
    if not old:
        return []
    if not new:
        return [required("spec.cniPlugin", "CNI plugin settings cannot be removed")]
    if new.get("type") != old.get("type"):
        # With the label KKP returns here: a change of type is never also held to the one-minor rule.
        if UNSAFE_CNI_MIGRATION in labels:
            return []
        detail = f"cannot change CNI plugin type, unless {UNSAFE_CNI_MIGRATION} label is present"
        return [forbidden("spec.cniPlugin.type", detail)]
    if new.get("version") == old.get("version"):
        return []
    return _cni_version_update_violations(new, old, str(new_spec.get("version", "")), labels)


def _cni_version_update_violations(new: Object, old: Object, kubernetes: str, labels: dict[str, str]) -> list[str]:
    path = "spec.cniPlugin.version"
    target, current = parse_version(new["version"]), parse_version(old["version"])
    for text, parsed in ((new["version"], target), (old["version"], current)):
        if parsed is None:
            return [invalid(path, text, f"couldn't parse CNI version `{text}`: invalid semantic version")]
    assert target is not None and current is not None  # noqa: PT018, S101 - for the type checker
    near = target[0] == current[0] and abs(target[1] - current[1]) <= 1
    if near or UNSAFE_CNI_UPGRADE in labels or _is_listed_transition(new["type"], current, target, kubernetes):
        return []
    detail = (
        f"cannot upgrade CNI from {old['version']} to {new['version']}, only one minor version difference is allowed "
        f"unless {UNSAFE_CNI_UPGRADE} label is present"
    )
    return [forbidden(path, detail)]


def _is_listed_transition(cni_type: str, current: Version, target: Version, kubernetes: str) -> bool:
    # The only entry of KKP's table of allowed transitions: Canal below 3.22 to 3.22 on Kubernetes 1.23 and later.
    release = parse_version(kubernetes) or (0, 0, 0)
    return cni_type == "canal" and release >= (1, 23, 0) and current < (3, 22, 0) and target[:2] == (3, 22)
