"""How Cilium gets into the user cluster, and how that fails (docs/platform.md 4)."""

from __future__ import annotations

import json

import pytest
import yaml

from lab.faults import PlatformFault
from lab.objects import Object
from lab.platform.kkp.applying import delete_all
from lab.platform.kkp.helm_releases import stored_releases
from lab.platform.kkp.values import values_of
from lab.resources import (
    ADDONS,
    APPLICATION_DEFINITIONS,
    APPLICATION_INSTALLATIONS,
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    NAMESPACES,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from tests.lab.kkp.harness import CLUSTER, NAMESPACE, Platform, names, running_platform

ANNOTATION = "kubermatic.io/initial-cni-values-request"
HELM = "app.kubernetes.io/managed-by=Helm"
FAILED = "release kube-system-cilium failed, and has been uninstalled due to atomic being set: "


async def _installed(platform: Platform, version: str = "1.18.10", **metadata: object) -> Object:
    await platform.switch("cilium", version, **metadata)
    await platform.until(lambda: platform.is_ready(version))
    found = await platform.installation()
    assert found is not None
    return found


async def _config(platform: Platform) -> dict[str, str]:
    return dict((await platform.user.client.get(CONFIG_MAPS, "cilium-config", namespace="kube-system"))["data"])


async def test_the_installation_is_as_kkp_writes_it(platform: Platform):
    found = await _installed(platform)
    assert found["metadata"]["labels"] == {
        "apps.kubermatic.k8c.io/managed-by": "kkp", "apps.kubermatic.k8c.io/type": "cni",
    }  # fmt: skip
    assert found["metadata"]["finalizers"] == ["kubermatic.k8c.io/cleanup-application-installation"]
    spec = found["spec"]
    assert spec["applicationRef"] == {"name": "cilium", "version": "1.18.10"}
    assert spec["namespace"] == {"name": "kube-system", "create": False}
    assert spec["deployOptions"] == {"helm": {"atomic": True, "wait": True, "timeout": "10m0s"}}
    assert (spec["reconciliationInterval"], spec["values"]) == ("1h0m0s", {})
    values = values_of(found)
    assert (values["kubeProxyReplacement"], values["sessionAffinity"]) == ("false", True)
    assert values["cni"] == {"exclusive": False, "chainingMode": "portmap"}
    assert values["ipam"]["operator"] == {
        "clusterPoolIPv4PodCIDRList": ["172.25.0.0/16"], "clusterPoolIPv4MaskSize": 24,
    }  # fmt: skip
    assert values["extraConfig"] == {"exclude-local-address": "169.254.20.10/32"}
    assert values["hubble"]["relay"]["enabled"] is True


async def test_a_successful_installation_tells_so(platform: Platform):
    found = await _installed(platform)
    status = found["status"]
    ready, retrieved = status["conditions"]["Ready"], status["conditions"]["ManifestsRetrieved"]
    assert (ready["status"], ready["reason"]) == ("True", "InstallationSuccessful")
    assert ready["observedGeneration"] == found["metadata"]["generation"]
    assert (retrieved["status"], retrieved["reason"]) == ("True", "DownloadSourceSuccessful")
    assert (status["method"], status["applicationVersion"]["version"]) == ("helm", "1.18.10")
    assert (status["helmRelease"]["name"], status["helmRelease"]["version"]) == ("kube-system-cilium", 1)
    assert status["helmRelease"]["info"]["status"] == "deployed"


async def test_the_release_is_stored_as_helm_does(platform: Platform):
    await _installed(platform)
    (secret,) = await platform.releases()
    assert (secret["metadata"]["name"], secret["type"]) == (
        "sh.helm.release.v1.kube-system-cilium.v1",
        "helm.sh/release.v1",
    )
    labels = secret["metadata"]["labels"]
    assert (labels["owner"], labels["name"], labels["status"], labels["version"]) == (
        "helm", "kube-system-cilium", "deployed", "1",
    )  # fmt: skip
    (release,) = await stored_releases(platform.user.client, "kube-system-cilium", "kube-system")
    assert (release.chart, release.chart_version, release.status) == ("cilium", "1.18.10", "deployed")


async def test_the_chart_brings_its_objects(platform: Platform):
    await _installed(platform)
    assert await names(platform.user, DAEMON_SETS, HELM) == {"cilium"}
    assert await names(platform.user, DEPLOYMENTS, HELM) == {"cilium-operator", "hubble-relay", "hubble-ui"}
    assert await names(platform.user, CONFIG_MAPS, HELM) == {"cilium-config", "hubble-relay-config", "hubble-ui-nginx"}
    assert await names(platform.user, NAMESPACES, HELM) == {"cilium-secrets"}
    assert await names(platform.user, CRON_JOBS, HELM) == {"hubble-generate-certs"}
    agent = await platform.user.client.get(DAEMON_SETS, "cilium", namespace="kube-system")
    assert agent["metadata"]["annotations"]["meta.helm.sh/release-name"] == "kube-system-cilium"
    assert agent["spec"]["template"]["spec"]["containers"][0]["image"].startswith(
        "quay.io/cilium/cilium:v1.18.10@sha256:"
    )
    config = await _config(platform)
    assert "tunnel-port" not in config
    assert (config["cni-chaining-mode"], config["cni-exclusive"]) == ("portmap", "false")
    assert config["cluster-pool-ipv4-cidr"] == "172.25.0.0/16"


@pytest.mark.parametrize(
    ("version", "is_hook"), [("1.13.14", False), ("1.14.16", True), ("1.18.10", True), ("1.19.4", False)]
)
async def test_certificates_are_a_hook_in_the_middle_charts(platform: Platform, version: str, is_hook: bool):
    await _installed(platform, version)
    (job,) = [name for name in await names(platform.user, JOBS) if name.startswith("hubble-generate-certs")]
    assert (job == "hubble-generate-certs") is is_hook
    assert (HELM.split("=", maxsplit=1)[0] in (await _job(platform, job))["metadata"]["labels"]) is not is_hook


async def _job(platform: Platform, name: str) -> Object:
    return await platform.user.client.get(JOBS, name, namespace="kube-system")


async def test_the_annotation_replaces_the_definitions_defaults_and_goes(platform: Platform):
    request = json.dumps({"tunnelPort": 8473, "envoy": {"enabled": False}})
    found = await _installed(platform, annotations={ANNOTATION: request})
    values = values_of(found)
    assert values["tunnelPort"] == 8473
    assert "enabled" not in values["hubble"]["relay"]
    assert "replicas" not in values["operator"]
    assert values["kubeProxyReplacement"] == "false"
    assert (await _config(platform))["tunnel-port"] == "8473"

    async def is_annotation_gone():
        return ANNOTATION not in ((await platform.cluster())["metadata"].get("annotations") or {})

    await platform.until(is_annotation_gone)


async def test_values_that_are_there_win_over_the_annotation(platform: Platform):
    await _installed(platform)
    request = json.dumps({"tunnelPort": 8473})
    await platform.patch_cluster(
        {"metadata": {"annotations": {ANNOTATION: request}}, "spec": {"cniPlugin": {"version": "1.19.4"}}}
    )
    await platform.until(lambda: platform.is_ready("1.19.4"))
    found = await platform.installation()
    assert found is not None
    assert "tunnelPort" not in values_of(found)


async def test_an_annotation_that_is_no_json_is_told_in_an_event(platform: Platform):
    await platform.switch("cilium", "1.18.10", annotations={ANNOTATION: "{"})

    async def event():
        found, _ = await platform.seed.client.list(EVENTS)
        return [item for item in found if item["message"].startswith("cannot unmarshal initial CNI values annotation")]

    found = await platform.until(event)
    assert (found[0]["type"], found[0]["involvedObject"]["name"]) == ("Warning", CLUSTER)


async def test_a_version_change_upgrades_and_keeps_one_release(platform: Platform):
    await _installed(platform, "1.17.16")
    await platform.patch_cluster({"spec": {"cniPlugin": {"version": "1.18.10"}}})
    await platform.until(lambda: platform.is_ready("1.18.10"))
    (secret,) = await platform.releases()
    assert secret["metadata"]["name"] == "sh.helm.release.v1.kube-system-cilium.v2"
    agent = await platform.user.client.get(DAEMON_SETS, "cilium", namespace="kube-system")
    assert "v1.18.10@" in agent["spec"]["template"]["spec"]["containers"][0]["image"]


async def test_leaving_ebpf_changes_only_the_config():
    async with running_platform(cni_type="cilium", cni_version="1.18.10", proxy_mode="ebpf") as platform:
        await platform.until(platform.is_ready)
        before = await platform.user.client.get(DAEMON_SETS, "cilium", namespace="kube-system")
        assert (await _config(platform))["kube-proxy-replacement"] == "true"
        assert await platform.addon("kube-proxy") is None
        await platform.patch_cluster(
            {
                "metadata": {"labels": {"unsafe-cni-migration": ""}},
                "spec": {"clusterNetwork": {"proxyMode": "iptables"}},
            }
        )

        async def is_config_changed():
            return (await _config(platform))["kube-proxy-replacement"] == "false"

        await platform.until(is_config_changed)
        await platform.until(platform.is_ready)
        after = await platform.user.client.get(DAEMON_SETS, "cilium", namespace="kube-system")
        assert after["spec"] == before["spec"]


async def test_entering_ebpf_rolls_the_agents(platform: Platform):
    await _installed(platform)
    before = await platform.user.client.get(DAEMON_SETS, "cilium", namespace="kube-system")
    await platform.patch_cluster({"spec": {"clusterNetwork": {"proxyMode": "ebpf"}}})

    async def is_rolled():
        found = await platform.user.client.get(DAEMON_SETS, "cilium", namespace="kube-system")
        return found["metadata"]["generation"] > before["metadata"]["generation"] and found

    after = await platform.until(is_rolled)
    environment = after["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {item["name"]: item["value"] for item in environment} == {
        "KUBERNETES_SERVICE_HOST": "lab.example", "KUBERNETES_SERVICE_PORT": "6443",
    }  # fmt: skip


async def test_six_failures_end_the_attempts(platform: Platform):
    platform.faults.add(PlatformFault(trouble="helm-failure", subject="cilium", message="no space left on device"))
    await platform.switch("cilium", "1.18.10")

    async def ready():
        found = await platform.installation()
        condition = ((found or {}).get("status") or {}).get("conditions", {}).get("Ready", {})
        return condition if condition.get("reason") == "InstallationFailedRetriesExceeded" else None

    condition = await platform.until(ready)
    assert condition["message"] == f"Max number of retries was exceeded. Last error: {FAILED}no space left on device"
    found = await platform.installation()
    assert found is not None
    assert found["status"]["failures"] == 6
    assert await platform.releases() == []
    assert await names(platform.user, DAEMON_SETS, HELM) == set()


async def test_a_failure_that_passes_is_tried_again(platform: Platform):
    platform.faults.add(PlatformFault(trouble="helm-failure", subject="cilium", message="EOF", times=2))
    found = await _installed(platform)
    assert found["status"]["failures"] == 0
    events, _ = await platform.user.client.list(EVENTS)
    assert [item["count"] for item in events if item["message"].endswith(f"{FAILED}EOF")] == [2]


async def test_a_changed_spec_gives_new_attempts(platform: Platform):
    fault = platform.faults.add(PlatformFault(trouble="helm-failure", subject="cilium", message="EOF"))
    await platform.switch("cilium", "1.18.10")

    async def is_given_up():
        found = await platform.installation()
        return ((found or {}).get("status") or {}).get("failures") == 6

    await platform.until(is_given_up)
    platform.faults.clear(fault)
    await platform.patch_cluster({"spec": {"cniPlugin": {"version": "1.19.4"}}})
    await platform.until(lambda: platform.is_ready("1.19.4"))


async def test_helm_waits_for_the_agents_but_not_for_the_last_two(platform: Platform):
    platform.workloads.held_back.add("cilium")
    await platform.switch("cilium", "1.18.10")
    await platform.until(lambda: platform.find(DAEMON_SETS, "cilium"))
    found = await platform.installation()
    assert found is not None
    assert found["status"]["conditions"]["Ready"]["reason"] == "InstallationInProgress"

    fields = ("desiredNumberScheduled", "updatedNumberScheduled")
    status = {"observedGeneration": 1, **dict.fromkeys(fields, 3), "numberReady": 1}
    await platform.user.client.patch(
        DAEMON_SETS, "cilium", {"status": status}, namespace="kube-system", subresource="status"
    )
    await platform.until(platform.is_ready)


async def test_a_stored_release_that_is_the_same_is_never_installed_again(platform: Platform):
    await _installed(platform)
    await platform.switch("canal", "v3.30")
    (release,) = await stored_releases(platform.user.client, "kube-system-cilium", "kube-system")
    await delete_all(platform.user.client, release.manifest)

    patch = {"metadata": {"annotations": {"look": "again"}}}
    asked = await platform.user.client.patch(APPLICATION_INSTALLATIONS, "cilium", patch, namespace="kube-system")

    async def has_looked_again():
        found = await platform.installation()
        assert found is not None
        return (
            found["metadata"]["resourceVersion"] != asked["metadata"]["resourceVersion"] and await platform.is_ready()
        )

    await platform.until(has_looked_again)
    await platform.switch("cilium", "1.18.10")
    await platform.until(platform.is_ready)
    assert await platform.find(DAEMON_SETS, "cilium") is None
    assert len(await platform.releases()) == 1


async def test_the_installation_stays_when_the_cluster_returns_to_canal(platform: Platform):
    await _installed(platform)
    await platform.switch("canal", "v3.30")
    await platform.until(lambda: platform.addon("canal"))
    await platform.until(platform.is_settled)
    assert await platform.is_ready()
    assert await platform.find(DAEMON_SETS, "cilium") is not None


async def test_deleting_the_installation_uninstalls_but_leaves_what_hooks_made(platform: Platform):
    await _installed(platform)
    await platform.switch("canal", "v3.30")
    await platform.user.client.delete(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")

    async def is_gone():
        return await platform.installation() is None

    await platform.until(is_gone)
    assert await platform.releases() == []
    for resource in (DAEMON_SETS, DEPLOYMENTS, CONFIG_MAPS, CRON_JOBS, SERVICE_ACCOUNTS):
        assert await names(platform.user, resource, HELM) == set()
    assert "hubble-generate-certs" in await names(platform.user, JOBS)


async def test_an_installation_whose_release_is_gone_can_still_be_deleted(platform: Platform):
    await _installed(platform)
    await platform.switch("canal", "v3.30")
    for secret in await platform.releases():
        await platform.user.client.delete(SECRETS, secret["metadata"]["name"], namespace="kube-system")
    await platform.user.client.delete(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")

    async def is_gone():
        return await platform.installation() is None

    await platform.until(is_gone)
    assert await platform.find(DAEMON_SETS, "cilium") is not None


async def test_nothing_installs_a_version_below_1_13(platform: Platform):
    await platform.switch("cilium", "v1.11")

    async def is_canal_addon_gone():
        return await platform.addon("canal") is None

    await platform.until(is_canal_addon_gone)
    assert await platform.installation() is None


async def test_a_paused_cluster_keeps_its_installation_being_deleted(platform: Platform):
    await _installed(platform)
    await platform.switch("canal", "v3.30")
    await platform.patch_cluster({"spec": {"pause": True}})
    await platform.user.client.delete(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")
    await platform.until(lambda: platform.find(DAEMON_SETS, "cilium"))
    found = await platform.installation()
    assert found is not None
    assert "deletionTimestamp" in found["metadata"]


async def test_without_nodes_nothing_is_installed():
    async with running_platform(cni_type="cilium", cni_version="1.18.10", nodes=0) as platform:
        found = await platform.until(platform.installation)
        assert "status" not in found


async def test_objects_of_somebody_else_are_not_taken_over(platform: Platform):
    body = {"metadata": {"name": "cilium", "namespace": "kube-system"}}
    await platform.user.client.create(SERVICE_ACCOUNTS, body)
    await platform.switch("cilium", "1.18.10")

    async def has_failed():
        found = await platform.installation()
        return ((found or {}).get("status") or {}).get("conditions", {}).get("Ready", {}).get("status") == "False"

    await platform.until(has_failed)
    found = await platform.installation()
    assert found is not None
    assert "invalid ownership metadata" in found["status"]["conditions"]["Ready"]["message"]


async def test_legacy_addons_are_removed_first(platform: Platform):
    addon = {
        "metadata": {"name": "cilium", "namespace": NAMESPACE},
        "spec": {"name": "cilium", "cluster": {"name": CLUSTER}, "isDefault": True},
    }
    await platform.seed.client.create(ADDONS, addon)

    async def has_finalizer():
        found = await platform.addon("cilium")
        return found is not None and found["metadata"].get("finalizers")

    await platform.until(has_finalizer)
    await platform.switch("cilium", "1.18.10")

    async def is_gone():
        return await platform.addon("cilium") is None

    await platform.until(is_gone)


async def test_the_definition_offers_what_kkp_can_install(platform: Platform):
    found = await platform.seed.client.list(APPLICATION_DEFINITIONS)
    (definition,) = found[0]
    versions = [entry["version"] for entry in definition["spec"]["versions"]]
    assert (len(versions), versions[0], versions[-1]) == (26, "1.13.0", "1.19.4")
    assert yaml.safe_load(definition["spec"]["defaultValuesBlock"])["hubble"]["tls"]["auto"]["method"] == "cronJob"
