"""Both ways to KKP, its seed and its REST API: the same flows, the same outcomes, the same errors.

Whatever else is tested here by the seed runs by the REST API with `--way-in rest`.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.journal import read_journal
from clusters.kkp_api import client
from clusters.kubernetes_seed import KubernetesSeed
from deployments.connections import main
from flows.check_readiness import check_readiness
from migration.errors import Forbidden, InvalidRequest, PlatformFailed, Rejected, Unauthorized, Unreachable
from migration.models import CniType, ProxyMode
from migration.patches import UNSAFE_CNI_MIGRATION
from tasks.blocks import KkpApi
from tasks.saved_blocks import BLOCKS, remove_block

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CLUSTERS = 7
"""In three projects: three, two and two."""
BACKUPS = "/namespaces/kube-system/secrets"
WAYS = pytest.mark.parametrize("way", ["lab", "lab-api"], ids=["seed", "rest"])


def asked(lab):
    """How many requests the lab answered, to its seed and to the REST API."""
    counted = lab.remote.requests()
    return sum(counted.get("lab", {}).values()), sum(counted.get("kkp", {}).values())


async def network_of(cluster):
    """What KKP stores of its network, by the seed, whoever changed it."""
    async with cluster.apis() as (seed, _):
        assert isinstance(seed, KubernetesSeed)
        return str((await seed.cluster(cluster.name)).network)


@WAYS
async def test_a_cluster_goes_there_and_back(cluster, way):
    cluster = replace(cluster, connection=way)
    seed_before, rest_before = asked(cluster.lab)

    ready = await check_readiness(seed=way, cluster=cluster.name)
    there = await cluster.migrate(rotate_nodes=False)
    mode = await cluster.change_mode(ProxyMode.EBPF, rotate_nodes=False)
    taken_back = await cluster.revert(rotate_nodes=False)
    back = await cluster.to_canal(rotate_nodes=False, accept=("nodes-keep-cilium",))
    with pytest.raises(Rejected, match=r"1\.99\.0"):
        await cluster.migrate(rotate_nodes=False, cilium_version="1.99.0", accept=("version-not-offered",))
    seed_after, rest_after = asked(cluster.lab)

    assert ready.is_ready
    assert ("platform-unseen" in {finding.code for finding in ready.findings}) is (way == "lab-api")
    assert [found.outcome for found in (there, mode, taken_back, back)] == ["migrated"] * 2 + ["taken back", "migrated"]
    assert await network_of(cluster) == "canal v3.30, kube-proxy mode iptables"
    assert (seed_after > seed_before) is (way == "lab")
    assert (rest_after > rest_before) is (way == "lab-api")


class TestTroubleByRest:
    """What a seed's own flows survive is survived by KKP's REST API as well, which knows no precondition and no watch."""

    @pytest.fixture
    def by_rest(self, cluster):
        return replace(cluster, connection="lab-api")

    async def test_trouble_that_passes_is_outlived_in_one_run(self, by_rest, monkeypatch):
        monkeypatch.setattr(client, "REQUEST_SECONDS", 3.0)
        faults = (
            # What makes something is sent once, so this fails a try of a step.
            {"trouble": "503", "server": by_rest.name, "method": "POST", "path": BACKUPS},
            {"trouble": "timeout-after", "server": "kkp", "method": "PATCH"},
            {"trouble": "429", "server": "kkp", "method": "GET", "path": "/kubeconfig$", "times": 2},
            {"trouble": "reset", "server": "kkp", "method": "GET", "path": "/health$", "times": 5},
        )
        for fault in faults:
            by_rest.lab.remote.add_fault("request", **fault)

        report = await by_rest.migrate(rotate_nodes=False)

        assert report.outcome == "migrated"
        assert by_rest.lab.remote.faults() == []
        assert await network_of(by_rest) == "cilium 1.19.4, kube-proxy mode iptables"

    async def test_a_run_that_failed_is_finished_by_the_next_one(self, by_rest):
        by_rest.lab.remote.add_fault("request", "403", server=by_rest.name, method="DELETE", path="/daemonsets/canal$")
        with pytest.raises(Forbidden, match="/daemonsets/canal"):
            await by_rest.migrate(rotate_nodes=False)

        report = await by_rest.migrate(rotate_nodes=False)

        assert report.outcome == "migrated"
        async with by_rest.apis() as (_, api):
            (migration,) = (await read_journal(api)).migrations
        assert len(migration.runs) == 2
        assert await network_of(by_rest) == "cilium 1.19.4, kube-proxy mode iptables"

    async def test_a_run_that_failed_is_taken_back(self, by_rest):
        by_rest.lab.remote.add_fault(
            "platform", "helm-failure", cluster=by_rest.name, subject="cilium", message="no such image"
        )
        with pytest.raises(PlatformFailed, match="no such image"):
            await by_rest.migrate()
        assert await network_of(by_rest) == "cilium 1.19.4, kube-proxy mode iptables"
        by_rest.lab.remote.clear_faults()

        report = await by_rest.revert()

        assert report.outcome == "taken back"
        assert await network_of(by_rest) == "canal v3.30, kube-proxy mode iptables"
        async with by_rest.apis() as (seed, api):
            assert (await read_journal(api)).open_migration() is None
            assert UNSAFE_CNI_MIGRATION not in (await seed.cluster(by_rest.name)).labels

    async def test_a_seed_that_kkp_does_not_reach_for_a_moment_ends_no_run(self, by_rest):
        running = asyncio.create_task(by_rest.migrate(rotate_nodes=False))
        async with by_rest.apis() as (seed, _):
            while (await seed.cluster(by_rest.name)).cni.type is CniType.CANAL:
                await asyncio.sleep(0.02)
        # An answer each, so this lasts for a few looks at the Cluster.
        by_rest.lab.remote.add_fault("platform", "seed-gone", cluster=by_rest.name, times=6)

        assert (await running).outcome == "migrated"
        assert by_rest.lab.remote.faults() == []


class TestRefusals:
    """One clear error each, whichever way was taken."""

    @WAYS
    async def test_an_unknown_cluster(self, cluster_for_refusals, way):
        with pytest.raises(
            InvalidRequest, match=r"has no Cluster named 'nosuchname'.*The name is the ID that KKP shows"
        ):
            await cluster_for_refusals.migrate_as(way, "nosuchname")

    async def test_a_wrong_token(self, cluster_for_refusals, connections):
        found = yaml.safe_load((connections / "lab-api.kkp.yaml").read_text())
        (connections / "wrong.kkp.yaml").write_text(yaml.safe_dump({**found, "token": "n0t-it"}))
        kubeconfig = yaml.safe_load((connections / "lab.kubeconfig").read_text())
        kubeconfig["users"][0]["user"] = {"token": "n0t-it"}
        (connections / "old.kubeconfig").write_text(yaml.safe_dump(kubeconfig))

        for way, where in (("old", "seed old refused the credentials"), ("wrong", "KKP API wrong refused the token")):
            with pytest.raises(Unauthorized, match=where) as error:
                await cluster_for_refusals.migrate_as(way, cluster_for_refusals.name)
            assert "n0t-it" not in str(error.value)


class TestBlocks:
    """Connections on the Prefect server, saved by the command and named by a flow's parameter."""

    @pytest.fixture
    def files(self, connections, tmp_path):
        """What an operator has: a kubeconfig, and a token and an authority in files of their own."""
        found = yaml.safe_load((connections / "lab-api.kkp.yaml").read_text())
        (tmp_path / "token").write_text(found["token"] + "\n")
        (tmp_path / "ca.pem").write_bytes(base64.b64decode(found["certificateAuthorityData"]))
        (tmp_path / "seed").write_bytes((connections / "lab.kubeconfig").read_bytes())
        api = ("--url", found["url"], "--token-file", str(tmp_path / "token"), "--ca", str(tmp_path / "ca.pem"))
        yield {"seed": ("--kubeconfig", str(tmp_path / "seed")), "api": api, "secret": found["token"]}
        for name in ("of-a-seed", "of-an-api", "unusable"):
            main(["remove", name])

    def said(self, capsys, files, *arguments):
        status = main(list(arguments))
        captured = capsys.readouterr()
        assert files["secret"] not in captured.out + captured.err
        return status, captured.out + captured.err

    def test_the_command_is_idempotent_and_says_what_is_wrong(self, cluster_for_refusals, connections, files, capsys):
        def said(*arguments):
            return self.said(capsys, files, *arguments)

        assert said("save", "of-a-seed", *files["seed"])[1].startswith("Prefect block kkp-seed/of-a-seed: saved")
        assert said("save", "of-an-api", *files["api"])[1].startswith("Prefect block kkp-api/of-an-api: saved")
        assert "unchanged" in said("save", "of-a-seed", *files["seed"])[1]
        assert "unchanged" in said("save", "of-an-api", *files["api"])[1]
        assert "saved" in said("save", "of-an-api", *files["api"], "--project", "m5zd8kx2wq")[1]
        listed = said("list")[1]
        assert "of-a-seed  seed     Prefect block kkp-seed/of-a-seed" in listed
        assert f"lab-api    KKP API  {connections / 'lab-api.kkp.yaml'}" in listed
        assert said("check", "of-a-seed") == (
            0,
            f"of-a-seed, the seed's Kubernetes API: {CLUSTERS} clusters in 3 projects\n",
        )
        assert said("check", "of-an-api")[1].startswith("of-an-api, KKP's REST API: 2 clusters in 1 projects")
        assert said("save", "lab", *files["seed"]) == (
            1,
            f"lab is the name of {connections / 'lab.kubeconfig'} already: take another one, or remove that first\n",
        )
        assert "is the name of Prefect block kkp-seed/of-a-seed" in said("save", "of-a-seed", *files["api"])[1]
        assert "lower-case letters, digits and dashes" in said("save", "Of_a_Seed", *files["seed"])[1]
        assert "has no context 'nowhere'" in said("save", "unusable", *files["seed"], "--context", "nowhere")[1]
        assert said("check", "nosuchname")[0] == 1
        assert said("remove", "of-a-seed")[1] == "Prefect block of-a-seed: removed\n"
        assert said("remove", "of-a-seed")[1] == "Prefect block of-a-seed: was not there\n"
        assert said("remove", "lab")[0] == 1

    async def test_a_flow_finds_them_by_name(self, cluster_for_refusals, connections, files, monkeypatch):
        monkeypatch.delenv(ENVIRONMENT_VARIABLE)
        for arguments in (("of-a-seed", *files["seed"]), ("of-an-api", *files["api"])):
            assert await asyncio.to_thread(main, ["save", *arguments]) == 0

        for name in ("of-a-seed", "of-an-api"):
            assert (await check_readiness(seed=name, cluster=cluster_for_refusals.name)).is_ready
        with pytest.raises(InvalidRequest, match="configured: of-a-seed, of-an-api"):
            await cluster_for_refusals.migrate_as("nosuchname", cluster_for_refusals.name)

    async def test_one_that_was_saved_by_hand_and_can_not_be_used_is_named(self, cluster_for_refusals):
        block = KkpApi(url="https://kkp.example.com", token=SecretStr("s3cr3t"))
        object.__setattr__(block, "url", "http://kkp.example.com")
        await block.asave("unusable", overwrite=True)
        BLOCKS.forget()

        with pytest.raises(InvalidRequest, match=r"Prefect block kkp-api/unusable can't be used: .*no TLS") as error:
            await cluster_for_refusals.migrate_as("unusable", cluster_for_refusals.name)
        assert "s3cr3t" not in str(error.value)
        await asyncio.to_thread(main, ["remove", "unusable"])

    async def test_a_prefect_server_that_is_away_is_a_passing_trouble(self, prefect_server):
        with (
            temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
            pytest.raises(Unreachable, match="Prefect"),
        ):
            await BLOCKS.places()

    async def test_without_a_prefect_server_there_are_none(self, prefect_server):
        with temporary_settings({PREFECT_API_URL: ""}):
            assert await BLOCKS.places() == ()
            with pytest.raises(InvalidRequest, match="set PREFECT_API_URL"):
                await remove_block("of-a-seed")
