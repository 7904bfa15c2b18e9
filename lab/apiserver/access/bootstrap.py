"""The roles and bindings that every API server begins with, as far as the lab has use for them.

Source: Kubernetes v1.35, plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go. Left out are those of Kubernetes'
own components and the aggregated `admin`, `edit` and `view`, which a controller fills.
"""

from __future__ import annotations

from lab.apiserver.admission import Caller
from lab.apiserver.registry import Registry
from lab.objects import Object
from lab.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES

_GROUP = "rbac.authorization.k8s.io"
_PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", *_PUBLIC[2:]]
_SELF_REVIEWS = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]

_ROLES: tuple[tuple[str, list[Object], tuple[str, ...]], ...] = (
    (
        "cluster-admin",
        [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}],
        ("system:masters",),
    ),
    ("system:discovery", [{"verbs": ["get"], "nonResourceURLs": _DISCOVERY}], ("system:authenticated",)),
    (
        "system:basic-user",
        [
            {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": _SELF_REVIEWS},
            {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
        ],
        ("system:authenticated",),
    ),
    (
        "system:public-info-viewer",
        [{"verbs": ["get"], "nonResourceURLs": _PUBLIC}],
        ("system:authenticated", "system:unauthenticated"),
    ),
)
"""Name, rules, and the groups that have it."""


def create_first_roles(registry: Registry, by: Caller) -> None:
    """Have the roles exist that every API server begins with."""
    for name, rules, groups in _ROLES:
        registry.create(CLUSTER_ROLES, {"metadata": _metadata(name), "rules": rules}, by=by)
        subjects = [{"kind": "Group", "apiGroup": _GROUP, "name": group} for group in groups]
        reference = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name}
        body = {"metadata": _metadata(name), "subjects": subjects, "roleRef": reference}
        registry.create(CLUSTER_ROLE_BINDINGS, body, by=by)


def _metadata(name: str) -> Object:
    return {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }
