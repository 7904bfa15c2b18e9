"""The kinds of objects that this project reads or changes, as the API server addresses them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Kind:
    """A resource type: where it lives in the API."""

    group: str
    version: str
    plural: str
    namespaced: bool = True
    custom: bool = False
    """Whether a CustomResourceDefinition brings it, so that it may not exist yet."""

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path; without a namespace it spans all of them."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)

    @property
    def group_resource(self) -> str:
        """`plural.group`, as RBAC messages have it, and as the name of its CustomResourceDefinition."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


NODES = Kind("", "v1", "nodes", namespaced=False)
NAMESPACES = Kind("", "v1", "namespaces", namespaced=False)
PODS = Kind("", "v1", "pods")
CONFIG_MAPS = Kind("", "v1", "configmaps")
SECRETS = Kind("", "v1", "secrets")
SERVICES = Kind("", "v1", "services")
SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts")
PERSISTENT_VOLUMES = Kind("", "v1", "persistentvolumes", namespaced=False)
ENDPOINT_SLICES = Kind("discovery.k8s.io", "v1", "endpointslices")
DAEMON_SETS = Kind("apps", "v1", "daemonsets")
DEPLOYMENTS = Kind("apps", "v1", "deployments")
STATEFUL_SETS = Kind("apps", "v1", "statefulsets")
JOBS = Kind("batch", "v1", "jobs")
CRON_JOBS = Kind("batch", "v1", "cronjobs")
LEASES = Kind("coordination.k8s.io", "v1", "leases")
POD_DISRUPTION_BUDGETS = Kind("policy", "v1", "poddisruptionbudgets")
NETWORK_POLICIES = Kind("networking.k8s.io", "v1", "networkpolicies")
ROLES = Kind("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS = Kind("rbac.authorization.k8s.io", "v1", "rolebindings")
CLUSTER_ROLES = Kind("rbac.authorization.k8s.io", "v1", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = Kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings", namespaced=False)
CUSTOM_RESOURCE_DEFINITIONS = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
API_SERVICES = Kind("apiregistration.k8s.io", "v1", "apiservices", namespaced=False)
VALIDATING_WEBHOOKS = Kind("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", namespaced=False)
MUTATING_WEBHOOKS = Kind("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", namespaced=False)
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False)

CLUSTERS = Kind("kubermatic.k8c.io", "v1", "clusters", namespaced=False)
APPLICATION_DEFINITIONS = Kind("apps.kubermatic.k8c.io", "v1", "applicationdefinitions", namespaced=False, custom=True)
APPLICATION_INSTALLATIONS = Kind("apps.kubermatic.k8c.io", "v1", "applicationinstallations", custom=True)
MACHINE_DEPLOYMENTS = Kind("cluster.k8s.io", "v1alpha1", "machinedeployments", custom=True)
MACHINES = Kind("cluster.k8s.io", "v1alpha1", "machines", custom=True)
CILIUM_ENDPOINTS = Kind("cilium.io", "v2", "ciliumendpoints", custom=True)
CILIUM_NODES = Kind("cilium.io", "v2", "ciliumnodes", namespaced=False, custom=True)
