"""A run with exactly the rights of deployments/rbac, on the seed and in the user cluster."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusters import access
from clusters.connections import ENVIRONMENT_VARIABLE, find_connection
from clusters.journal import read_migration
from clusters.kinds import NODES, SECRETS
from clusters.lock import release_lock, renew_lock, try_lock
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps import cilium, cilium_removal, switching
from clusters.steps.addon_removal import remove_canal
from clusters.steps.bookkeeping import begin_migration, finish_migration
from clusters.steps.canal_arrival import wait_for_canal
from clusters.steps.cni_backup import back_up
from clusters.steps.machines import (
    close_old_nodes,
    open_closed_nodes,
    rotatable_machine_deployments,
    rotate_machine_deployment,
)
from clusters.steps.marks import record_marks
from clusters.steps.pods import restart_pods
from clusters.steps.proxy_mode import wait_for_proxy_mode
from clusters.steps.restoring import restore_policies
from clusters.steps.verification import record_baseline, verify
from clusters.survey import survey, survey_cluster
from migration.errors import Forbidden, InvalidRequest, PreflightFailed, Unauthorized
from migration.journal import NODES_TO_OPEN
from migration.models import (
    ClusterRef,
    CniType,
    ProxyMode,
    RestartOptions,
    RestartStrategy,
    Runbook,
    Severity,
    StepStatus,
)
from migration.readiness import findings, nothing_to_do
from migration.targets import reverting_request
from tests.clusters.conftest import SOON, VERSION
from tests.programs import find_kubectl
from tests.rbac import atoms_of_rule
from tests.rights import (
    account_token,
    apply,
    fleet_manifests,
    seed_manifests,
    set_rules,
    user_cluster_manifests,
    without,
)
from tests.running_lab import ROOT, Kubectl
from tests.seed_api import seed_api


def with_token(kubeconfig: dict[str, Any], token: str) -> str:
    users = [{"name": kubeconfig["users"][0]["name"], "user": {"token": token}}]
    return yaml.safe_dump({**kubeconfig, "users": users})


@pytest.fixture
async def limited(
    opened: OpenedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OpenedCluster]:
    """The cluster, opened by accounts that have the manifests' rights."""
    seed, name = seed_api(opened.seed), opened.ref.name
    await apply(seed, seed_manifests(name))
    await apply(opened.api, user_cluster_manifests())
    admin = (await opened.seed.way_into(await opened.seed.cluster(name))).kubeconfig
    lesser = with_token(admin, await account_token(opened.api, "kube-system"))
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": access.MIGRATION_KUBECONFIG},
        "data": {"kubeconfig": base64.b64encode(lesser.encode()).decode()},
    }
    await seed.create(SECRETS, body, namespace=f"cluster-{name}")
    kubeconfig = with_token(
        (await find_connection(opened.ref.seed)).kubeconfig, await account_token(seed, "cni-migration")
    )
    (tmp_path / "limited.kubeconfig").write_text(kubeconfig)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    async with open_cluster(ClusterRef(seed="limited", name=name), lambda line: None) as found:
        yield found


async def leave_out(api, kind: str, resource: str, verb: str) -> tuple[Any, Any]:
    """Take the first such rule out of a role of the user cluster; returns the role's manifest and the rule."""
    role = next(found for found in user_cluster_manifests() if found["kind"] == kind)
    index = next(
        number for number, rule in enumerate(role["rules"]) if resource in rule["resources"] and verb in rule["verbs"]
    )
    await set_rules(api, role, without(role["rules"], index))
    return role, role["rules"][index]


async def test_the_manifests_allow_all_that_is_asked_for(limited, cluster):
    found = await survey(limited, cluster.request.model_copy(update={"remove_crds": True}))

    assert found.denied == ()
    assert len(found.nodes) == 2
    assert found.policies is not None
    assert found.unseen == ()
    assert len(found.policies.calico) > 0


async def test_a_fleet_may_list_the_clusters_once_it_is_granted(limited, opened):
    with pytest.raises(Forbidden, match=r"may not be listed: .*deployments/rbac/fleet.yaml"):
        await limited.seed.list_clusters()

    seed, manifests = seed_api(opened.seed), fleet_manifests()
    await apply(seed, manifests)

    assert limited.ref.name in {found.ref.name for found in await limited.seed.list_clusters()}
    # The other tests here are about an account that may do no more than one cluster needs.
    await set_rules(seed, next(found for found in manifests if found["kind"] == "ClusterRole"), [])


async def test_they_allow_no_more(limited):
    with pytest.raises(Forbidden, match='cannot list resource "secrets" in API group "" at the cluster scope'):
        await limited.api.list(SECRETS)
    with pytest.raises(Forbidden, match='cannot list resource "secrets" in API group "" in the namespace "cluster-'):
        await seed_api(limited.seed).list(SECRETS, namespace=f"cluster-{limited.ref.name}")


@pytest.mark.parametrize(
    "rule",
    [
        ("ClusterRole", "nodes", "list"),
        ("ClusterRole", "endpointslices", "list"),
        ("Role", "secrets", "get"),
        ("Role", "applicationinstallations", "delete"),
    ],
    ids=lambda rule: f"{rule[1]}-{rule[2]}",
)
async def test_a_missing_rule_is_named_right_by_right(opened, limited, cluster, rule):
    role, missing = await leave_out(opened.api, *rule)

    found = await survey_or_refusal(limited, cluster)

    namespace = role["metadata"].get("namespace", "")
    expected = {f"{atom} on user cluster {cluster.name}" for atom in atoms_of_rule(missing, namespace)}
    assert set(found) == expected


async def survey_or_refusal(limited, cluster) -> tuple[str, ...]:
    try:
        return (await survey(limited, cluster.request)).denied
    except PreflightFailed as error:
        return tuple(finding.subject for finding in error.findings if finding.code == "permission-missing")


async def test_rights_without_which_nothing_can_be_seen_are_named_together(opened, limited, cluster):
    await leave_out(opened.api, "ClusterRole", "pods", "list")
    await leave_out(opened.api, "Role", "configmaps", "delete")

    with pytest.raises(PreflightFailed) as error:
        await survey(limited, cluster.request)

    said = str(error.value)
    for verb in ("get", "list", "watch", "create"):
        assert f"{verb} pods on user cluster {cluster.name}: the credentials don't allow it" in said
    assert 'delete configmaps "canal-config" in kube-system' in said
    assert "deployments/rbac" in said


async def test_a_right_that_only_dims_the_view_stops_nobody(opened, limited, cluster):
    await leave_out(opened.api, "ClusterRole", "persistentvolumes", "list")

    found = await survey(limited, cluster.request)

    where = f"on user cluster {cluster.name}"
    assert found.denied == ()
    assert set(found.unseen) == {f"list persistentvolumes {where}", f"list namespaces {where}"}
    assert found.policies is None
    assert "view-dimmed" in {finding.code for finding in findings(found, cluster.request)}


@pytest.mark.parametrize("kind", ["ClusterRole", "Role"])
async def test_what_is_missing_on_the_seed_is_named_though_the_cluster_stays_closed(opened, limited, cluster, kind):
    role = next(found for found in seed_manifests(cluster.name) if found["kind"] == kind)
    await set_rules(seed_api(opened.seed), role, without(role["rules"], 0))
    request = cluster.request.model_copy(update={"cluster": ClusterRef(seed="limited", name=cluster.name)})

    with pytest.raises(PreflightFailed) as error:
        await survey_cluster(request, limited.tell)

    rights = atoms_of_rule(role["rules"][0], role["metadata"].get("namespace", ""))
    expected = {f"{atom} on seed limited" for atom in rights}
    assert {finding.subject for finding in error.value.findings} == expected


def kubeconfig_of_another(cluster) -> bytes:
    return next(
        Path(item["kubeconfig"]).read_bytes() for item in cluster.lab.clusters() if item["name"] != cluster.name
    )


async def test_another_cluster_s_kubeconfig_is_a_blocker(opened, limited, cluster):
    data = {"kubeconfig": base64.b64encode(kubeconfig_of_another(cluster)).decode()}
    await seed_api(opened.seed).patch(
        SECRETS, access.MIGRATION_KUBECONFIG, {"data": data}, namespace=f"cluster-{cluster.name}"
    )
    request = cluster.request.model_copy(update={"cluster": ClusterRef(seed="limited", name=cluster.name)})

    found = findings(await survey_cluster(request, limited.tell), request)

    assert [item.code for item in found if item.severity is Severity.BLOCKER] == ["another-api-server"]


@pytest.mark.parametrize("token", ["with\nnewline", "with\x00nul"])
async def test_a_token_that_can_t_be_one_is_told_before_it_is_sent(opened, limited, cluster, token):
    admin = (await opened.seed.way_into(await opened.seed.cluster(cluster.name))).kubeconfig
    data = {"kubeconfig": base64.b64encode(with_token(admin, token).encode()).decode()}
    await seed_api(opened.seed).patch(
        SECRETS, access.MIGRATION_KUBECONFIG, {"data": data}, namespace=f"cluster-{cluster.name}"
    )

    with pytest.raises(InvalidRequest, match=r"the token in the kubeconfig of user cluster .* has characters"):
        async with open_cluster(ClusterRef(seed="limited", name=cluster.name), limited.tell):
            pass


async def test_credentials_that_are_refused_are_told_with_their_secret(opened, limited, cluster):
    admin = (await opened.seed.way_into(await opened.seed.cluster(cluster.name))).kubeconfig
    data = {"kubeconfig": base64.b64encode(with_token(admin, "expired").encode()).decode()}
    await seed_api(opened.seed).patch(
        SECRETS, access.MIGRATION_KUBECONFIG, {"data": data}, namespace=f"cluster-{cluster.name}"
    )

    secret = f"Secret cluster-{cluster.name}/cni-migration-kubeconfig on seed limited"
    with pytest.raises(Unauthorized, match=f"renew the kubeconfig that leads there. It came from {secret}"):
        async with open_cluster(ClusterRef(seed="limited", name=cluster.name), limited.tell) as found:
            await found.api.list(SECRETS)


@pytest.mark.kubectl
async def test_the_documented_commands_make_the_accounts_and_their_kubeconfigs(cluster, tmp_path, monkeypatch):
    text = (ROOT / "docs/operating.md").read_text()
    section = text.partition("## Rights\n")[2].partition("\n## ")[0]
    commands = "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL)).replace("hv2c7xk9tl", cluster.name)
    binary = find_kubectl()
    assert binary is not None
    (tmp_path / "deployments").symlink_to(ROOT / "deployments")
    (tmp_path / "seed.kubeconfig").write_bytes(cluster.lab.seed_kubeconfig.read_bytes())
    (tmp_path / "connections").mkdir()

    Kubectl(binary, cluster.lab.seed_kubeconfig, tmp_path).shell(f"set -e; cd {tmp_path}\n{commands}")

    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "connections"))
    async with open_cluster(ClusterRef(seed="production", name=cluster.name), lambda line: None) as found:
        assert found.way_in.source == f"Secret cluster-{cluster.name}/cni-migration-kubeconfig on seed production"
        assert (await survey(found, cluster.request)).denied == ()


async def test_a_whole_migration_needs_no_more(limited, cluster):
    request = cluster.request
    assert await try_lock(limited.api, "a run") is None
    begun = await begin_migration(limited, request)
    assert begun is not None
    await record_baseline(limited, begun.id)
    await back_up(limited, begun.id)
    await cilium.remove_stale_cilium(limited, deadline=SOON)
    await switching.allow_cni_migration(limited)
    await switching.switch_cni(limited, begun)
    await cilium.wait_for_cilium(limited, version=VERSION, deadline=SOON)
    await renew_lock(limited.api, "a run")
    await restart_pods(
        limited, begun.id, RestartOptions(strategy=RestartStrategy.EVICT), target=CniType.CILIUM, deadline=SOON
    )
    await cilium.verify_pods_on_cilium(limited, request.pods, deadline=SOON)
    removed = await remove_canal(limited, begun.id, remove_crds=True, deadline=SOON)
    for machine_deployment in await rotatable_machine_deployments(limited):
        await rotate_machine_deployment(limited, begun, machine_deployment, deadline=3 * SOON)
    await verify(limited, begun.id, deadline=SOON)
    await finish_migration(limited, begun.id)
    await release_lock(limited.api, "a run")

    assert removed.status is StepStatus.CHANGED
    assert "nothing to do" in (nothing_to_do(await survey(limited, request), request) or "")


async def test_the_way_back_needs_no_more(limited, opened, cluster, beside):
    away = await read_migration(opened.api, beside.id)
    await restart_pods(opened, away.id, cluster.request.pods, target=CniType.CILIUM, deadline=SOON)
    await remove_canal(opened, away.id, remove_crds=False, deadline=SOON)
    await finish_migration(opened, away.id)
    wanted = {"desired_proxy_mode": ProxyMode.IPTABLES, "remove_crds": True}
    request = reverting_request(cluster.request, away).model_copy(update=wanted)

    assert (await survey(limited, request)).denied == ()
    begun = await begin_migration(limited, request)
    assert begun is not None
    await back_up(limited, begun.id)
    await cilium_removal.prepare_cilium_removal(limited, begun.id, deadline=SOON)
    await switching.allow_cni_migration(limited)
    await switching.switch_cni(limited, await read_migration(limited.api, begun.id))
    await wait_for_canal(limited, version=begun.desired_cni.version, deadline=SOON)
    await wait_for_proxy_mode(limited, await read_migration(limited.api, begun.id), deadline=SOON)
    await restore_policies(limited, begun)
    removed = await cilium_removal.remove_cilium(limited, begun.id, deadline=SOON)
    await restart_pods(limited, begun.id, request.pods, target=CniType.CANAL, deadline=SOON)
    await cilium_removal.remove_cilium_definitions(limited, begun.id, deadline=SOON)
    await close_old_nodes(limited, await read_migration(limited.api, begun.id))
    await finish_migration(limited, begun.id)

    assert removed.status is StepStatus.CHANGED


async def test_opening_nodes_again_needs_no_more(limited, opened, migration):
    names = [node["metadata"]["name"] for node in await opened.api.list(NODES)]
    for name in names:
        await opened.api.patch(NODES, name, {"spec": {"unschedulable": True}})
    uids = " ".join(node["metadata"]["uid"] for node in await opened.api.list(NODES))
    returning = await record_marks(opened, migration.id, {NODES_TO_OPEN: uids})

    assert (await open_closed_nodes(limited, returning)).summary == f"{len(names)} nodes uncordoned"


async def test_another_proxy_mode_needs_no_more(limited, cluster):
    wanted = {"runbook": Runbook.CHANGE_PROXY_MODE, "desired_cni": None, "desired_proxy_mode": ProxyMode.NFTABLES}
    request = cluster.request.model_copy(update=wanted)

    assert (await survey(limited, request)).denied == ()
    begun = await begin_migration(limited, request)
    assert begun is not None
    await record_baseline(limited, begun.id)
    await switching.allow_cni_migration(limited)
    changed = await switching.switch_proxy_mode(limited, begun)
    await wait_for_proxy_mode(limited, await read_migration(limited.api, begun.id), deadline=SOON)
    await finish_migration(limited, begun.id)

    assert changed.status is StepStatus.CHANGED
