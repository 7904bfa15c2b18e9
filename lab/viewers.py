"""Those who may only look at a user cluster: KKP gives a project's viewers a kubeconfig of their own.

Source: KKP main, pkg/controller/user-cluster-controller-manager/rbac and Kubernetes' role `view`, which shows neither
Secrets nor nodes. Refuses to create anything itself.
"""

from __future__ import annotations

from lab.objects import Object
from lab.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Resource

VIEWERS = "viewers"
_NAME = "system:kubermatic:viewers"
_GROUP = "rbac.authorization.k8s.io"
_LOOK = ["get", "list", "watch"]
_CORE = (
    *("configmaps", "endpoints", "events", "namespaces", "persistentvolumeclaims", "pods", "pods/log", "pods/status"),
    *("serviceaccounts", "services"),
)


def viewer_objects() -> list[tuple[Resource, Object]]:
    """Return what lets viewers look."""
    rules = [
        {"apiGroups": [""], "resources": list(_CORE), "verbs": _LOOK},
        {"apiGroups": ["apps", "batch", "policy", "networking.k8s.io"], "resources": ["*"], "verbs": _LOOK},
    ]
    role = {"metadata": {"name": _NAME}, "rules": rules}
    binding = {
        "metadata": {"name": _NAME},
        "subjects": [{"kind": "Group", "apiGroup": _GROUP, "name": VIEWERS}],
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": _NAME},
    }
    return [(CLUSTER_ROLES, role), (CLUSTER_ROLE_BINDINGS, binding)]
