"""The controller-manager's rollout after a change of CNI, and the gate that it closes (docs/platform.md 3.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.faults import PlatformFault
from lab.objects import Object
from lab.platform.kkp import allocates_pod_cidrs
from lab.resources import ADDONS, DEPLOYMENTS
from tests.lab.kkp.harness import CLUSTER, NAMESPACE, NO_DELAYS, Platform, running_platform


async def _manager(platform: Platform) -> Object:
    return await platform.seed.client.get(DEPLOYMENTS, "controller-manager", namespace=NAMESPACE)


def _arguments(manager: Object) -> list[str]:
    return [argument.split("=")[0] for argument in manager["spec"]["template"]["spec"]["containers"][0]["args"]]


async def _is_up_to_date(platform: Platform) -> bool:
    return bool((await platform.condition("SeedResourcesUpToDate"))["status"] == "True")


async def test_a_fresh_cluster_stays_healthy(platform: Platform):
    status = (await platform.cluster())["status"]
    assert set(status["extendedHealth"].values()) == {"HealthStatusUp"}
    assert status["conditions"]["SeedResourcesUpToDate"]["message"] == "All control plane components are up to date"
    assert status["phase"] == "Running"


async def test_cilium_takes_the_pod_ranges_from_the_controller_manager(platform: Platform):
    assert "--allocate-node-cidrs" in _arguments(await _manager(platform))
    await platform.switch("cilium", "1.18.10")
    await platform.until(platform.is_ready)
    assert not {"--allocate-node-cidrs", "--cluster-cidr", "--configure-cloud-routes"} & set(
        _arguments(await _manager(platform))
    )
    await platform.switch("canal", "v3.30")

    async def is_back():
        return "--allocate-node-cidrs" in _arguments(await _manager(platform))

    await platform.until(is_back)


async def test_the_application_waits_for_the_controller_manager():
    delays = replace(NO_DELAYS, controller_manager_rollout=10)
    async with running_platform(delays=delays) as platform:
        await platform.until(platform.is_settled)
        await platform.switch("cilium", "1.18.10")

        async def is_rolling():
            return not await _is_up_to_date(platform)

        await platform.until(is_rolling)
        cluster = await platform.cluster()
        assert cluster["status"]["extendedHealth"]["controller"] == "HealthStatusProvisioning"
        message = cluster["status"]["conditions"]["SeedResourcesUpToDate"]["message"]
        assert message == "Some control plane components did not finish updating"
        assert await platform.installation() is None
        assert allocates_pod_cidrs(await _manager(platform))

        await platform.until(platform.installation)
        assert await _is_up_to_date(platform)
        assert not allocates_pod_cidrs(await _manager(platform))


async def test_a_rollout_that_hangs_keeps_the_gate_closed(platform: Platform):
    fault = platform.faults.add(PlatformFault(trouble="slow-control-plane", cluster=CLUSTER))
    await platform.switch("cilium", "1.18.10")

    async def is_looking_again():
        return (await platform.condition("CNIControllerReconciledSuccessfully")).get("status") == "False"

    await platform.until(is_looking_again)
    assert await platform.installation() is None
    assert (await platform.cluster())["status"]["extendedHealth"]["controller"] == "HealthStatusProvisioning"

    platform.faults.clear(fault)
    await platform.until(platform.is_ready)


async def test_the_cni_condition_is_false_even_after_success(platform: Platform):
    await platform.switch("cilium", "1.18.10")
    await platform.until(platform.is_ready)
    assert (await platform.condition("CNIControllerReconciledSuccessfully"))["status"] == "False"


async def test_a_rollout_restart_on_the_seed_is_seen_in_the_health(platform: Platform):
    patch = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
    changed = await platform.seed.client.patch(DEPLOYMENTS, "scheduler", patch, namespace=NAMESPACE)

    async def is_observed():
        found = await platform.seed.client.get(DEPLOYMENTS, "scheduler", namespace=NAMESPACE)
        return found["status"]["observedGeneration"] == changed["metadata"]["generation"]

    await platform.until(is_observed)
    await platform.until(lambda: _is_up_to_date(platform))


async def test_no_addon_is_installed_while_the_apiserver_is_down(platform: Platform):
    await platform.seed.client.patch(DEPLOYMENTS, "apiserver", {"spec": {"replicas": 0}}, namespace=NAMESPACE)

    async def is_down():
        health = (await platform.cluster())["status"]["extendedHealth"]
        return health["apiserver"] == health["konnectivity"] == "HealthStatusDown"

    await platform.until(is_down)
    await platform.seed.client.delete(ADDONS, "kube-proxy", namespace=NAMESPACE)
    addon = await platform.addon("kube-proxy")
    assert addon is not None
    assert "deletionTimestamp" in addon["metadata"]


@pytest.mark.parametrize(
    ("arguments", "updated", "allocates"),
    [
        (["--allocate-node-cidrs=true"], 1, True),
        (["--allocate-node-cidrs=true"], 0, False),
        ([], 1, False),
        ([], 0, True),
    ],
)
def test_pod_ranges_are_handed_out_by_what_is_rolled_out_whatever_the_cluster_says(
    arguments: list[str], updated: int, allocates: bool
):
    status = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": updated, "readyReplicas": 1}
    manager = {
        "metadata": {"generation": 2},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"args": arguments}]}}},
        "status": {**status, "availableReplicas": 1},
    }
    assert allocates_pod_cidrs(manager) is allocates
