"""The API resources that the lab knows from the start. Custom resources arrive as CustomResourceDefinitions."""

from __future__ import annotations

from dataclasses import dataclass

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource type as discovery describes it. `subresources` names those it has, as `status` or `scale`."""

    group: str = ""
    version: str = "v1"
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    custom: bool = False

    def __hash__(self) -> int:
        """Hash what tells resources apart, and no more: they are the keys of nearly every mapping in the lab."""
        return hash((self.group, self.plural))

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`plural.group`, as error messages and RBAC name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """The singular name."""
        return self.kind.lower()


_STATUS = frozenset({"status"})
_SCALED = frozenset({"status", "scale"})


def _core(plural: str, kind: str, *short: str, namespaced: bool = True, sub: frozenset[str] = frozenset()) -> Resource:
    return Resource(plural=plural, kind=kind, short_names=short, namespaced=namespaced, subresources=sub)


def _in(
    group: str, plural: str, kind: str, *short: str, namespaced: bool = True, sub: frozenset[str] = frozenset()
) -> Resource:
    return Resource(group=group, plural=plural, kind=kind, short_names=short, namespaced=namespaced, subresources=sub)


NAMESPACES = _core("namespaces", "Namespace", "ns", namespaced=False, sub=frozenset({"status", "finalize"}))
NODES = _core("nodes", "Node", "no", namespaced=False, sub=_STATUS)
PODS = _core("pods", "Pod", "po", sub=frozenset({"status", "eviction", "log", "binding"}))
CONFIG_MAPS = _core("configmaps", "ConfigMap", "cm")
SECRETS = _core("secrets", "Secret")
SERVICES = _core("services", "Service", "svc", sub=_STATUS)
ENDPOINTS = _core("endpoints", "Endpoints", "ep")
SERVICE_ACCOUNTS = _core("serviceaccounts", "ServiceAccount", "sa", sub=frozenset({"token"}))
EVENTS = _core("events", "Event", "ev")
PERSISTENT_VOLUMES = _core("persistentvolumes", "PersistentVolume", "pv", namespaced=False, sub=_STATUS)
PERSISTENT_VOLUME_CLAIMS = _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", sub=_STATUS)

DAEMON_SETS = _in("apps", "daemonsets", "DaemonSet", "ds", sub=_STATUS)
DEPLOYMENTS = _in("apps", "deployments", "Deployment", "deploy", sub=_SCALED)
REPLICA_SETS = _in("apps", "replicasets", "ReplicaSet", "rs", sub=_SCALED)
STATEFUL_SETS = _in("apps", "statefulsets", "StatefulSet", "sts", sub=_SCALED)
CONTROLLER_REVISIONS = _in("apps", "controllerrevisions", "ControllerRevision")
JOBS = _in("batch", "jobs", "Job", sub=_STATUS)
CRON_JOBS = _in("batch", "cronjobs", "CronJob", "cj", sub=_STATUS)
POD_DISRUPTION_BUDGETS = _in("policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", sub=_STATUS)
NETWORK_POLICIES = _in("networking.k8s.io", "networkpolicies", "NetworkPolicy", "netpol")
ENDPOINT_SLICES = _in("discovery.k8s.io", "endpointslices", "EndpointSlice")
LEASES = _in("coordination.k8s.io", "leases", "Lease")
CLUSTER_ROLES = _in("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = _in("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
ROLES = _in("rbac.authorization.k8s.io", "roles", "Role")
ROLE_BINDINGS = _in("rbac.authorization.k8s.io", "rolebindings", "RoleBinding")
CUSTOM_RESOURCE_DEFINITIONS = _in(
    "apiextensions.k8s.io",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    "crd",
    "crds",
    namespaced=False,
    sub=_STATUS,
)
VALIDATING_WEBHOOKS = _in(
    "admissionregistration.k8s.io",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
MUTATING_WEBHOOKS = _in(
    "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", namespaced=False
)
API_SERVICES = _in("apiregistration.k8s.io", "apiservices", "APIService", namespaced=False, sub=_STATUS)
STORAGE_CLASSES = _in("storage.k8s.io", "storageclasses", "StorageClass", "sc", namespaced=False)
PRIORITY_CLASSES = _in("scheduling.k8s.io", "priorityclasses", "PriorityClass", "pc", namespaced=False)

BUILT_IN: tuple[Resource, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Resource))


def _custom(
    group: str, version: str, plural: str, kind: str, *, namespaced: bool = True, sub: frozenset[str] = frozenset()
) -> Resource:
    return Resource(
        group=group, version=version, plural=plural, kind=kind, namespaced=namespaced, subresources=sub, custom=True
    )


# Custom resources that the platform's controllers speak; the API server learns them from their definitions.
CLUSTERS = _custom("kubermatic.k8c.io", "v1", "clusters", "Cluster", namespaced=False, sub=_STATUS)
PROJECTS = _custom("kubermatic.k8c.io", "v1", "projects", "Project", namespaced=False, sub=_STATUS)
ADDONS = _custom("kubermatic.k8c.io", "v1", "addons", "Addon", sub=_STATUS)
APPLICATION_DEFINITIONS = _custom(
    "apps.kubermatic.k8c.io", "v1", "applicationdefinitions", "ApplicationDefinition", namespaced=False
)
APPLICATION_INSTALLATIONS = _custom(
    "apps.kubermatic.k8c.io", "v1", "applicationinstallations", "ApplicationInstallation", sub=_STATUS
)
MACHINES = _custom("cluster.k8s.io", "v1alpha1", "machines", "Machine")
MACHINE_SETS = _custom("cluster.k8s.io", "v1alpha1", "machinesets", "MachineSet", sub=_SCALED)
MACHINE_DEPLOYMENTS = _custom("cluster.k8s.io", "v1alpha1", "machinedeployments", "MachineDeployment", sub=_SCALED)
CILIUM_ENDPOINTS = _custom("cilium.io", "v2", "ciliumendpoints", "CiliumEndpoint", sub=_STATUS)
CILIUM_NODES = _custom("cilium.io", "v2", "ciliumnodes", "CiliumNode", namespaced=False, sub=_STATUS)
CILIUM_IDENTITIES = _custom("cilium.io", "v2", "ciliumidentities", "CiliumIdentity", namespaced=False)
CILIUM_NETWORK_POLICIES = _custom("cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy", sub=_STATUS)
CILIUM_CLUSTERWIDE_NETWORK_POLICIES = _custom(
    "cilium.io",
    "v2",
    "ciliumclusterwidenetworkpolicies",
    "CiliumClusterwideNetworkPolicy",
    namespaced=False,
    sub=_STATUS,
)
CALICO_NETWORK_POLICIES = _custom("crd.projectcalico.org", "v1", "networkpolicies", "NetworkPolicy")
CALICO_GLOBAL_NETWORK_POLICIES = _custom(
    "crd.projectcalico.org", "v1", "globalnetworkpolicies", "GlobalNetworkPolicy", namespaced=False
)
