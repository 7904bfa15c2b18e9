"""A KKP on real API servers, reached with the rights of `deployments/rbac` and no others."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import yaml

from clusters.access import MIGRATION_KUBECONFIG
from clusters.api import open_api
from clusters.kinds import SECRETS
from lab.credentials import private_directory, write_private
from tests.rights import ACCOUNT, account_token, apply, seed_manifests, user_cluster_manifests

if TYPE_CHECKING:
    from pathlib import Path

    from tests.control_plane import ControlPlane
    from tests.real_kkp import RealKkp

NAMESPACE_ON_SEED, NAMESPACE_IN_USER_CLUSTER = "cni-migration", "kube-system"
USER_ON_SEED = f"system:serviceaccount:{NAMESPACE_ON_SEED}:{ACCOUNT}"
USER_IN_USER_CLUSTER = f"system:serviceaccount:{NAMESPACE_IN_USER_CLUSTER}:{ACCOUNT}"


def least_privileged_connections(kkp: RealKkp, folder: Path) -> Path:
    """Apply both manifests, and return a directory with a connection that may do what these say, and no more."""
    return asyncio.run(_connections(kkp, folder))


async def token_in_user_cluster(kkp: RealKkp) -> str:
    """Return a token of the account in the user cluster, which must be there."""
    async with open_api(yaml.safe_load(kkp.user.kubeconfig()), where="user cluster") as admin:
        return await account_token(admin, NAMESPACE_IN_USER_CLUSTER)


def requests_of_the_flow(kkp: RealKkp) -> list[dict[str, Any]]:
    """Return the audit events of everything that the flows have asked of the seed and of the user cluster."""
    return [*kkp.seed.audit(USER_ON_SEED), *kkp.user.audit(USER_IN_USER_CLUSTER)]


async def _connections(kkp: RealKkp, folder: Path) -> Path:
    async with open_api(yaml.safe_load(kkp.user.kubeconfig()), where="user cluster") as admin:
        await apply(admin, user_cluster_manifests())
        user_kubeconfig = kkp.user.kubeconfig(await account_token(admin, NAMESPACE_IN_USER_CLUSTER))
    async with open_api(yaml.safe_load(kkp.seed.kubeconfig()), where="seed") as admin:
        await apply(admin, seed_manifests(kkp.cluster))
        await leave_user_kubeconfig(admin, kkp.cluster, user_kubeconfig)
        return _written(kkp.seed, await account_token(admin, NAMESPACE_ON_SEED), folder)


async def leave_user_kubeconfig(admin: Any, cluster: str, kubeconfig: str) -> None:
    """Leave the Secret on the seed that a run takes before the administrator's kubeconfig."""
    data = {"kubeconfig": base64.b64encode(kubeconfig.encode()).decode()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": MIGRATION_KUBECONFIG}, "data": data}
    await admin.create(SECRETS, body, namespace=f"cluster-{cluster}")


def _written(seed: ControlPlane, token: str, folder: Path) -> Path:
    directory = private_directory(folder)
    write_private(directory / "lab.kubeconfig", seed.kubeconfig(token))
    return directory
