"""What a seed and its user clusters hold before any controller runs. Refuses to create anything itself.

Source: KKP main, August 2026, sdk/apis/kubermatic/v1/cluster.go and pkg/applicationdefinitions
(docs/platform.md 1 and 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from lab.objects import Object, timestamp
from lab.platform.kkp.admission import PROJECT_ID
from lab.platform.kkp.application_admission import APPLICATION_TYPE, MANAGED_BY
from lab.platform.kkp.control_plane import (
    CONTROLLER_MANAGER,
    components,
    controller_manager_arguments,
    rolled_out_status,
)
from lab.platform.kkp.profiles import TODAY, Profile
from lab.platform.kkp.rendering import render
from lab.platform.kkp.values import as_block
from lab.resources import (
    APPLICATION_DEFINITIONS,
    CLUSTERS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    NAMESPACES,
    STATEFUL_SETS,
    Resource,
)

DATACENTER = "lab-dc1"
PROVIDER = "openstack"
_CHART_REPOSITORY = "oci://quay.io/kubermatic-mirror/helm-charts"
_HTTPS_PORT = 443
_RECONCILED = (
    *("ClusterController", "AddonController", "AddonInstallerController", "CloudController", "UpdateController"),
    *("MonitoringController", "MachineDeployment"),
)


def seed_objects(profile: Profile = TODAY) -> list[tuple[Resource, Object]]:
    """Return what a fresh seed needs, in the order to create it: definitions, KKP's namespace, Cilium's application."""
    definitions = render("seed-definitions", {"proxy_modes": list(profile.proxy_modes)}, profile.traits)
    return [
        *((CUSTOM_RESOURCE_DEFINITIONS, found) for found in definitions),
        (NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubermatic"}}),
        *([(APPLICATION_DEFINITIONS, cilium_definition(profile))] if profile.has_applications else ()),
    ]


def user_cluster_definitions(profile: Profile = TODAY) -> list[tuple[Resource, Object]]:
    """Return the CustomResourceDefinitions that every user cluster has."""
    definitions = render("user-cluster-definitions", {}, profile.traits)
    return [(CUSTOM_RESOURCE_DEFINITIONS, found) for found in definitions]


def cilium_definition(profile: Profile = TODAY) -> Object:
    """Return the ApplicationDefinition `cilium`: exactly the versions that KKP can install (docs/platform.md 2.3)."""
    return {
        "apiVersion": APPLICATION_DEFINITIONS.api_version,
        "kind": APPLICATION_DEFINITIONS.kind,
        "metadata": {"name": "cilium", "labels": {MANAGED_BY: "kkp", APPLICATION_TYPE: "cni"}},
        "spec": {
            "displayName": "Cilium",
            "description": "Cilium, a CNI based on eBPF",
            "method": "helm",
            "defaultValuesBlock": as_block(
                {
                    "envoy": {"enabled": False},
                    "hubble": {
                        "relay": {"enabled": True},
                        "ui": {"enabled": True},
                        "tls": {"auto": {"method": "cronJob"}},
                    },
                    "operator": {"replicas": 1},
                }
            ),
            "versions": [_offered(version) for version in profile.application_versions],
        },
    }


def _offered(version: str) -> Object:
    helm = {"chartName": "cilium", "chartVersion": version, "url": _CHART_REPOSITORY}
    return {"version": version, "template": {"source": {"helm": helm}}}


def cluster_objects(  # noqa: PLR0913 - what a lab chooses about a cluster, all by keyword
    name: str, *, human_readable_name: str, project: str, cni_type: str, cni_version: str, proxy_mode: str,
    version: str, url: str, labels: Mapping[str, str], profile: Profile = TODAY,
    datacenter: str = DATACENTER, provider: str = PROVIDER,
) -> list[tuple[Resource, Object]]:  # fmt: skip
    """Return a Cluster that runs already, its seed namespace, and its control plane in there.

    The Cluster's status is part of it and has to be written through the status subresource.
    """
    cluster: Object = {
        "apiVersion": CLUSTERS.api_version,
        "kind": CLUSTERS.kind,
        "metadata": {"name": name, "labels": {**labels, PROJECT_ID: project}},
        "spec": {
            **_cluster_spec(proxy_mode),
            "cloud": _cloud(name, datacenter, provider),
            "humanReadableName": human_readable_name,
            "version": version,
            "cniPlugin": {"type": cni_type, "version": cni_version},
        },
        "status": _cluster_status(name, version, url, profile),
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"cluster-{name}"}}
    return [(CLUSTERS, cluster), (NAMESPACES, namespace), *_control_plane(cluster)]


def _cloud(name: str, datacenter: str, provider: str) -> dict[str, Any]:
    credentials = {"name": f"credential-{provider}-{name}", "namespace": "kubermatic"}
    return {"dc": datacenter, "providerName": provider, provider: {"credentialsReference": credentials}}


def _cluster_spec(proxy_mode: str) -> dict[str, Any]:
    return {
        "containerRuntime": "containerd",
        "clusterNetwork": {
            "ipFamily": "IPv4",
            "pods": {"cidrBlocks": ["172.25.0.0/16"]},
            "services": {"cidrBlocks": ["10.240.16.0/20"]},
            "nodeCidrMaskSizeIPv4": 24,
            "dnsDomain": "cluster.local",
            "proxyMode": proxy_mode,
            **({"ipvs": {"strictArp": True}} if proxy_mode == "ipvs" else {}),
            "nodeLocalDNSCacheEnabled": True,
            "konnectivityEnabled": True,
        },
        "exposeStrategy": "NodePort",
        "features": {"apiserverNetworkPolicy": True, "externalCloudProvider": True},
        "componentsOverride": {
            "apiserver": {"replicas": 2, "nodePortRange": "30000-32767"},
            "etcd": {"clusterSize": 3, "diskSize": "5Gi"},
        },
        "kubernetesDashboard": {"enabled": True},
        "enableUserSSHKeyAgent": True,
        "pause": False,
    }


def _cluster_status(name: str, version: str, url: str, profile: Profile) -> dict[str, Any]:
    where = urlsplit(url)
    versioned = ("controlPlane", "apiserver", "controllerManager", "scheduler", "oldestNodeVersion")
    return {
        "namespaceName": f"cluster-{name}",
        "phase": "Running",
        "userEmail": "ops@lab.example",
        "address": {
            "url": url,
            "port": where.port or _HTTPS_PORT,
            "externalName": where.hostname or "",
            "internalURL": f"apiserver-external.cluster-{name}.svc.cluster.local.",
            "ip": where.hostname or "",
        },
        "versions": dict.fromkeys(versioned, version),
        "extendedHealth": dict.fromkeys(components(profile), "HealthStatusUp"),
        "conditions": _conditions(profile),
    }


def _conditions(profile: Profile) -> dict[str, Any]:
    now = timestamp()
    common = {"status": "True", "kubermaticVersion": profile.kubermatic_version, "lastHeartbeatTime": now}
    common["lastTransitionTime"] = now
    controllers = [*_RECONCILED, *(["ApplicationInstallationController"] if profile.has_applications else ())]
    plain = [f"{controller}ReconciledSuccessfully" for controller in controllers]
    plain += ["ClusterInitialized", "EtcdClusterInitialized"]
    up_to_date = "All control plane components are up to date"
    return {
        **{condition: {**common, "reason": "", "message": ""} for condition in plain},
        "SeedResourcesUpToDate": {**common, "reason": "ClusterUpdateSuccessful", "message": up_to_date},
        "UpdateProgress": {**common, "reason": "UpToDate", "message": ""},
    }


def _control_plane(cluster: Object) -> list[tuple[Resource, Object]]:
    (parts,) = render("control-plane", {"kubernetes": cluster["spec"]["version"]})
    return [_workload(part, cluster) for part in parts]


def _workload(part: dict[str, Any], cluster: Object) -> tuple[Resource, Object]:
    resource = STATEFUL_SETS if part.get("kind") == STATEFUL_SETS.kind else DEPLOYMENTS
    labels = {"app": part["name"], "cluster": cluster["metadata"]["name"]}
    container: dict[str, Any] = {"name": part["name"], "image": part["image"]}
    if part["name"] == CONTROLLER_MANAGER:
        container["args"] = controller_manager_arguments(cluster)
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": part["replicas"], "selector": {"matchLabels": labels}, "template": template}
    workload: Object = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": part["name"], "namespace": cluster["status"]["namespaceName"], "labels": labels},
        "spec": {**spec, "serviceName": part["name"]} if resource is STATEFUL_SETS else spec,
    }
    workload["status"] = rolled_out_status(workload)
    return resource, workload
