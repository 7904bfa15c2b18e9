"""A whole migration on real API servers by the account of `deployments/rbac`, with parameters that use every right of it.

The API servers' audit logs tell every request of the flow, and whether it was allowed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import yaml

from clusters.access import MIGRATION_KUBECONFIG, for_the_view, in_user_cluster
from clusters.api import KubeApi, open_api
from clusters.kinds import APPLICATION_INSTALLATIONS, NETWORK_POLICIES, SECRETS
from clusters.rights import Access
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps.cilium import remove_stale_cilium
from migration.errors import PlatformFailed
from migration.models import ClusterRef, Cni, CniType, MigrationRequest, RestartOptions, RestartStrategy
from tests.control_plane import ControlPlane
from tests.flows.conftest import UserCluster, cluster_of
from tests.least_privilege import requests_of_the_flow
from tests.rbac import Atom, atom_of_event, atoms_of, denied_events, unused
from tests.real_kkp import RealKkp, real_kkp
from tests.rights import seed_manifests, user_cluster_manifests

pytestmark = [
    pytest.mark.control_plane,
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

EVERYTHING: dict[str, Any] = {"remove_crds": True, "pods": RestartOptions(strategy=RestartStrategy.EVICT)}
SOON = timedelta(seconds=60)
SIZE = ("--nodes", "2", "--pods", "16", "--grace-seconds", "0", "--speed", "200")

# What settings of KKP and earlier migrations leave, and some of the rights are for.
NETWORK_POLICY: Any = {
    "metadata": {"name": "calico", "labels": {"kubermatic-addon": "canal"}},
    "spec": {"podSelector": {"matchLabels": {"k8s-app": "calico"}}, "policyTypes": ["Ingress"]},
}
APPLICATION: Any = {
    "apiVersion": "apps.kubermatic.k8c.io/v1",
    "kind": "ApplicationInstallation",
    "metadata": {"name": "cilium"},
    "spec": {
        "namespace": {"name": "kube-system", "create": False},
        "applicationRef": {"name": "cilium", "version": "1.19.4"},
        "values": {},
    },
}
RELEASE: Any = {
    "metadata": {
        "name": "sh.helm.release.v1.kube-system-cilium.v7",
        "labels": {"owner": "helm", "name": "kube-system-cilium", "version": "7"},
    },
    "type": "helm.sh/release.v1",
    "data": {"release": "eA=="},
}


@pytest.fixture(scope="module")
def kkp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKkp]:
    with real_kkp(tmp_path_factory.mktemp("rights"), *SIZE, workloads_by="lab") as running:
        yield running


@pytest.fixture(scope="module")
def cluster(kkp: RealKkp) -> Iterator[UserCluster]:
    with cluster_of(kkp) as found:
        yield found


async def test_a_migration_needs_no_more_and_leaves_none_unused(kkp, cluster, prefect_server):
    await read_as_administrator(kkp)
    await remove_what_earlier_migrations_leave(kkp)
    kkp.lab.remote.add_fault("platform", "helm-failure", subject="cilium", message="no image")
    with pytest.raises(PlatformFailed):
        await cluster.migrate(**EVERYTHING)
    kkp.lab.remote.clear_faults()
    await damage_a_backup(kkp)

    report = await cluster.migrate(**EVERYTHING)

    assert report.outcome == "migrated"
    events = requests_of_the_flow(kkp)
    assert [str(atom_of_event(event)) for event in denied_events(events)] == []
    assert sorted(map(str, unused(events, rights_of(kkp)))) == []


def rights_of(kkp: RealKkp) -> set[Atom]:
    """Return every single right that the manifests give, and that such a run asks for."""
    cilium = Cni(type=CniType.CILIUM, version="1.19.4")
    request = MigrationRequest(cluster=ClusterRef(seed="lab", name=kkp.cluster), desired_cni=cilium, **EVERYTHING)
    asked = {_atom(access) for access in (*in_user_cluster(request), *for_the_view(request))}
    given = atoms_of(user_cluster_manifests())
    assert asked <= given
    return atoms_of(seed_manifests(kkp.cluster)) | asked


def _atom(access: Access) -> Atom:
    resource = f"{access.resource}/{access.subresource}" if access.subresource else access.resource
    return Atom(verb=access.verb, group=access.group, resource=resource, namespace=access.namespace, name=access.name)


@asynccontextmanager
async def administrator(plane: ControlPlane) -> AsyncIterator[KubeApi]:
    async with open_api(yaml.safe_load(plane.kubeconfig()), where=plane.name) as api:
        yield api


async def read_as_administrator(kkp: RealKkp) -> None:
    """Open the cluster once with KKP's own kubeconfig, as is done where there is none with fewer rights."""
    namespace = f"cluster-{kkp.cluster}"
    async with administrator(kkp.seed) as seed:
        secret = await seed.get(SECRETS, MIGRATION_KUBECONFIG, namespace=namespace)
        await seed.delete(SECRETS, MIGRATION_KUBECONFIG, namespace=namespace, uid=secret["metadata"]["uid"])
        async with least_privileged(kkp) as opened:
            assert opened.way_in.is_administrator_s
        body = {"metadata": {"name": MIGRATION_KUBECONFIG}, "data": secret["data"]}
        await seed.create(SECRETS, body, namespace=namespace)


@asynccontextmanager
async def least_privileged(kkp: RealKkp) -> AsyncIterator[OpenedCluster]:
    async with open_cluster(ClusterRef(seed="lab", name=kkp.cluster), lambda _: None) as opened:
        yield opened


async def remove_what_earlier_migrations_leave(kkp: RealKkp) -> None:
    """Have a lone Helm release removed, then an ApplicationInstallation; leave a NetworkPolicy to be removed later."""
    async with administrator(kkp.user) as api, least_privileged(kkp) as opened:
        await api.create(NETWORK_POLICIES, NETWORK_POLICY, namespace="kube-system")
        await api.create(SECRETS, RELEASE, namespace="kube-system")
        await remove_stale_cilium(opened, deadline=SOON)
        await api.create(APPLICATION_INSTALLATIONS, APPLICATION, namespace="kube-system")
        await remove_stale_cilium(opened, deadline=SOON)


async def damage_a_backup(kkp: RealKkp) -> None:
    """Change what a backup of Canal's objects holds."""
    async with administrator(kkp.user) as api:
        names = [secret["metadata"]["name"] for secret in await backups(api)]
        name = next(name for name in names if "-canal-" in name)
        await api.patch(SECRETS, name, {"data": {"list": "eA=="}}, namespace="kube-system")


async def backups(api: KubeApi) -> list[Any]:
    return await api.list(SECRETS, namespace="kube-system", labels="cni-migration/id")
