"""The documented procedure's own example on the KKP that it was written for: canal v3.21 to cilium v1.11, and back."""

from __future__ import annotations

import pytest

from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.kinds import CONFIG_MAPS
from clusters.steps.addon_inventory import ADDON_KINDS, addon_label
from clusters.steps.observing import observe_baseline
from migration.errors import PreflightFailed
from migration.models import ProxyMode
from migration.proxy_mode import configured_mode
from migration.verification import regressions
from tests.flows.belongings import belongings
from tests.flows.conftest import UserCluster
from tests.running_lab import lab_process

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SIZE = ("--clusters", "1", "--nodes", "2", "--pods", "16", "--grace-seconds", "0", "--speed", "200")


@pytest.fixture
def old_cluster(prefect_server, tmp_path_factory, monkeypatch):
    with lab_process(tmp_path_factory.mktemp("old") / "lab", "--kkp", "2.20", *SIZE) as running:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(running.connections))
        yield UserCluster(running.cluster_name(), running)


async def labelled(api, addon):
    return [item for kind, _ in ADDON_KINDS for item in await api.list(kind, labels=addon_label(addon))]


async def test_the_example_of_the_documented_procedure_and_back(old_cluster):
    async with old_cluster.apis() as (seed, api):
        start = await seed.cluster(old_cluster.name)
        before, baseline = await belongings(api), await observe_baseline(api)
    assert (str(start.cni), start.proxy_mode) == ("canal v3.21", "ipvs")

    there = await old_cluster.migrate(cilium_version="v1.11", proxy_mode=ProxyMode.EBPF)

    assert (str(there.current_cni), there.proxy_mode) == ("cilium v1.11", "ebpf")
    async with old_cluster.apis() as (_, api):
        assert await labelled(api, "canal") == []
        assert await belongings(api) == before
        assert regressions(baseline, await observe_baseline(api)) == ()

    back = await old_cluster.to_canal(canal_version="v3.21")

    assert (str(back.current_cni), back.proxy_mode) == ("canal v3.21", "ipvs")
    async with old_cluster.apis() as (_, api):
        assert await labelled(api, "cilium") == []
        assert await belongings(api) == before
        assert regressions(baseline, await observe_baseline(api)) == ()


async def test_kube_proxy_is_restarted_by_the_flow_where_kkp_does_not(old_cluster):
    report = await old_cluster.change_mode(ProxyMode.IPTABLES, rotate_nodes=False)

    assert report.proxy_mode == "iptables"
    async with old_cluster.apis() as (_, api):
        found = await api.get(CONFIG_MAPS, "kube-proxy", namespace="kube-system")
        assert configured_mode(found["data"]["config.conf"]) == "iptables"


async def test_what_that_kkp_does_not_know_is_refused(old_cluster):
    with pytest.raises(PreflightFailed, match="version"):
        await old_cluster.migrate(cilium_version="1.19.4")
