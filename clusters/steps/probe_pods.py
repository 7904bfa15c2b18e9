"""The objects that a round of probes consists of, as they are created. Names carry the migration's id.

They fit the restricted Pod Security profile, ask for next to nothing, and end by themselves should nobody remove them.
Sources: Kubernetes `test/images/agnhost` (its programs), documentation "Pod Security Standards".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clusters.backups import MIGRATION_LABEL
from clusters.journal import LABELS
from migration.probes import PORT, Role, Server

PROBES_NAMESPACE: Final = "cni-migration-probes"
ROLE_LABEL: Final = "cni-migration/probe"
CLIENT: Final = "client"
LONGEST_SECONDS: Final = 1800
"""After which a pod ends that a killed run has left."""
TRY_SECONDS: Final = 3
NOBODY: Final = 65534

Body = dict[str, Any]


def namespace() -> Body:
    """Return the namespace of all probes."""
    labels = {**LABELS, "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROBES_NAMESPACE, "labels": labels}}


def server_name(migration_id: str, number: int) -> str:
    """Return the name of the pod of a plan's server."""
    return f"server-{migration_id}-{number}"


def client_name(migration_id: str, number: int, attempt: int) -> str:
    """Return the name of the pod of a plan's probe."""
    return f"client-{migration_id}-{number}-{attempt}"


def service_name(migration_id: str, *, headless: bool) -> str:
    """Return the name of one of our two Services: one with an address, one that is a name for pods."""
    return f"{'each' if headless else 'any'}-{migration_id}"


def server_pod(server: Server, *, name: str, migration_id: str, image: str) -> Body:
    """Return a pod that answers on our port."""
    container = {
        "name": "server",
        "args": ["netexec", f"--http-port={PORT}"],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
    }
    return _pod(container, name=name, node=server.node, role=server.role, migration_id=migration_id, image=image)


def client_pod(destination: str, *, node: str, name: str, migration_id: str, image: str) -> Body:
    """Return a pod that opens one connection and says in its container's last words how that went."""
    container = {
        "name": "client",
        "args": ["connect", destination, f"--timeout={TRY_SECONDS}s", "--protocol=tcp"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return _pod(container, name=name, node=node, role=CLIENT, migration_id=migration_id, image=image)


def service(migration_id: str, *, headless: bool) -> Body:
    """Return a Service of the open servers."""
    spec: Body = {
        "selector": {ROLE_LABEL: str(Role.OPEN)},
        "ports": [{"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
    }
    if headless:
        spec["clusterIP"] = "None"
    metadata = _metadata(service_name(migration_id, headless=headless), migration_id)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def policies(migration_id: str) -> tuple[Body, Body]:
    """Return the policies that let nobody to the closed server, and our clients to the guarded one."""
    clients = {"podSelector": {"matchLabels": {ROLE_LABEL: CLIENT}}}
    rule = {"from": [clients], "ports": [{"port": PORT, "protocol": "TCP"}]}
    return _policy(Role.CLOSED, [], migration_id), _policy(Role.GUARDED, [rule], migration_id)


def _policy(role: Role, ingress: list[Body], migration_id: str) -> Body:
    selector = {"matchLabels": {ROLE_LABEL: str(role)}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(f"{role}-{migration_id}", migration_id),
        "spec": {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": ingress},
    }


def _metadata(name: str, migration_id: str, labels: Mapping[str, str] | None = None) -> Body:
    ours = {**LABELS, MIGRATION_LABEL: migration_id, **(labels or {})}
    return {"name": name, "namespace": PROBES_NAMESPACE, "labels": ours}


def _pod(container: Body, *, name: str, node: str, role: str, migration_id: str, image: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(name, migration_id, {ROLE_LABEL: str(role)}),
        "spec": {
            "affinity": {"nodeAffinity": _only_on(node)},
            # Tainted nodes have pods that need a network as well.
            "tolerations": [{"operator": "Exists"}],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LONGEST_SECONDS,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": NOBODY,
                "runAsGroup": NOBODY,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "resources": {
                        "requests": {"cpu": "5m", "memory": "16Mi"},
                        "limits": {"cpu": "100m", "memory": "64Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    **container,
                }
            ],
        },
    }


def _only_on(node: str) -> Body:
    """Return the affinity by which DaemonSets have their pods on a node: its label may say another name."""
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": fields}]}}
