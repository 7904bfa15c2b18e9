"""What a real kubectl makes of the controllers' work: rollout status, restart, history and undo of all three kinds."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
import uvicorn

from lab.apiserver.app import build_app
from lab.apiserver.server import ApiServer, User
from lab.faults import Faults
from tests.lab.workloads.conftest import Cluster, template

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kubectl
TOKEN = "rollouts"
RESOURCES = ("deployment/web", "daemonset/agent", "statefulset/db")


@pytest.fixture
async def kubectl(kubectl_binary: Path, tmp_path: Path):
    """A kubectl of a served cluster with one small workload of each kind."""
    server = ApiServer("test", tokens={TOKEN: User("admin", ("system:masters",))}, faults=Faults())
    cluster = Cluster(server=server)
    app = logged_in(build_app({"/clusters/test": server}))
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    web = uvicorn.Server(config)
    async with cluster.running():
        serving = asyncio.create_task(web.serve())
        await cluster.eventually("serving", lambda: web.started)
        port = web.servers[0].sockets[0].getsockname()[1]
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(f"http://127.0.0.1:{port}/clusters/test"))
        await cluster.create_node("node")
        await cluster.create_deployment(replicas=2)
        await cluster.create_daemon_set()
        await cluster.create_stateful_set(replicas=2)

        async def run(*arguments: str) -> str:
            process = await asyncio.create_subprocess_exec(
                str(kubectl_binary),
                "--kubeconfig",
                str(kubeconfig),
                *arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={"HOME": str(tmp_path)},
            )
            output = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
            assert process.returncode == 0, output
            return output

        yield run
        web.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def logged_in(app):
    """Give every request the token: kubectl sends none over plain HTTP."""

    async def with_token(scope, receive, send):
        headers = [*scope.get("headers", ()), (b"authorization", f"Bearer {TOKEN}".encode())]
        await app({**scope, "headers": headers}, receive, send)

    return with_token


def _kubeconfig(url: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": url}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab"}}],
            "current-context": "lab",
        }
    )


@pytest.mark.parametrize("resource", RESOURCES)
async def test_a_restart_rolls_out_and_can_be_undone(kubectl, resource):
    await kubectl("rollout", "status", resource, "--timeout=30s")
    names = await kubectl("get", "pods", "-o", "name")

    await kubectl("rollout", "restart", resource)
    await kubectl("rollout", "status", resource, "--timeout=30s")
    history = await kubectl("rollout", "history", resource)
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
    if not resource.startswith("statefulset"):
        assert await kubectl("get", "pods", "-o", "name") != names

    await kubectl("rollout", "undo", resource)
    await kubectl("rollout", "status", resource, "--timeout=30s")
    template = json.loads(await kubectl("get", resource, "-o", "json"))["spec"]["template"]
    assert "annotations" not in template["metadata"]


async def test_scaling_waiting_and_deleting_work_from_the_command_line(kubectl, tmp_path):
    await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    await kubectl("scale", "deployment/web", "--replicas=5")
    await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    await kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")
    assert "5/5" in await kubectl("get", "deployment", "web")

    manifest = tmp_path / "job.json"
    job = {"metadata": {"name": "once"}, "spec": {"template": template("once", restartPolicy="Never")}}
    manifest.write_text(json.dumps({"apiVersion": "batch/v1", "kind": "Job", **job}))
    await kubectl("create", "-f", str(manifest), "--validate=false")
    await kubectl("delete", "deployment/web", "daemonset/agent", "job/once", "--cascade=foreground", "--timeout=30s")
    left = await kubectl("get", "pods", "-o", "name")
    assert left.split() == ["pod/db-0", "pod/db-1"]
