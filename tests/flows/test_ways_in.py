"""Both ways to KKP, its seed and its REST API: the same flows, the same outcomes, the same errors."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.kkp_api import polling
from clusters.kubernetes_seed import KubernetesSeed
from deployments.connections import main
from flows.check_readiness import check_readiness
from migration.errors import InvalidRequest, Rejected, Unauthorized, Unreachable
from migration.models import ProxyMode
from tasks.blocks import KkpApi
from tasks.saved_blocks import BLOCKS, remove_block

pytestmark = [
    pytest.mark.timeout(400),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CLUSTERS = 3
WAYS = pytest.mark.parametrize("way", ["lab", "lab-api"], ids=["seed", "rest"])


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    """KKP is near, and two hundred times as fast."""
    monkeypatch.setattr(polling, "POLL_SECONDS", 0.3)


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
            f"of-a-seed, the seed's Kubernetes API: {CLUSTERS} clusters in {CLUSTERS} projects\n",
        )
        assert said("check", "of-an-api")[1].startswith("of-an-api, KKP's REST API: 1 clusters in 1 projects")
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
