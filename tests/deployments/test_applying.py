"""One command puts everything on a Prefect server, as often as one likes; what people set there on purpose stays."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from prefect.client.schemas.schedules import CronSchedule

from deployments.deploying import state_of
from tests.running_lab import ROOT
from tests.running_prefect import prefect_process

pytestmark = pytest.mark.timeout(600)
APPLY = ("-m", "deployments.apply", "--pool-type", "process")
MIGRATE = "canal-to-cilium/canal-to-cilium"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with prefect_process(tmp_path_factory.mktemp("applying"), {}) as running:
        first = running.python(*APPLY, "--limit", "looks=7")
        assert first.returncode == 0, first.stderr
        assert "created    work queue kkp-migrations/urgent\n             no limit" in first.stdout
        assert f"created    deployment {MIGRATE}" in first.stdout
        yield running


async def snapshot(client):
    """Everything that was put there, but for when."""
    deployments = {each.name: state_of(each) for each in await client.read_deployments()}
    queues = await client.read_work_queues(work_pool_name="kkp-migrations")
    limits = {each.name: (each.concurrency_limit, each.priority, each.description) for each in queues}
    return deployments, limits, (await client.read_work_pool("kkp-migrations")).base_job_template


async def test_the_queues_go_in_their_order_and_have_their_limits(server, client):
    _, limits, _ = await snapshot(client)

    by_priority = sorted((priority, name, limit) for name, (limit, priority, _) in limits.items() if name != "default")
    assert [(name, limit) for _, name, limit in by_priority] == [
        ("urgent", None),
        ("looks", 7),
        ("migrations", 10),
        ("fleet", 3),
    ]


async def test_applying_again_changes_nothing_and_keeps_what_people_set(server, client):
    found = await client.read_deployment_by_name(MIGRATE)
    (example,) = found.schedules
    await client.update_deployment_schedule(found.id, example.id, active=True)
    await client.create_deployment_schedules(found.id, [(CronSchedule(cron="0 0 1 1 *", timezone="UTC"), False)])
    await client.pause_deployment(found.id)
    await client.request("PATCH", f"/deployments/{found.id}", json={"concurrency_limit": 2})

    again = server.python(*APPLY)
    before = await snapshot(client)
    last = server.python(*APPLY)

    assert again.returncode == 0, again.stderr
    assert "looks\n             limit 7 stays, though new pools get limit 5" in again.stdout
    assert f"deployment {MIGRATE}\n" in again.stdout
    for kept in ("it is paused, and stays so", "its concurrency limit 2 stays", "schedule saturday-night stays active"):
        assert f"             {kept}\n" in again.stdout
    assert "which is not in prefect.yaml, stays, inactive" in again.stdout
    assert f"nothing changed on {server.api_url}" in last.stdout
    assert await snapshot(client) == before


async def test_prefect_deploy_asks_nothing_in_a_terminal_and_twice_changes_nothing(server, client):
    first = deployed_in_a_terminal(server)
    before = await snapshot(client)
    second = deployed_in_a_terminal(server)

    assert (first.returncode, second.returncode) == (0, 0), first.stdout + second.stdout
    assert await snapshot(client) == before


async def test_what_somebody_changed_against_the_file_is_put_back_and_told(server, client):
    found = await client.read_deployment_by_name("check-readiness/check-readiness")
    await client.request("PATCH", f"/deployments/{found.id}", json={"tags": ["mine"]})

    done = server.python(*APPLY)

    assert "changed    deployment check-readiness/check-readiness" in done.stdout
    assert 'tags: ["mine"] became ["kkp", "cni", "readiness"]' in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--pool-type", "kubernetes", "--image", "x"),
            "is of type process, not kubernetes: no pool can change its type",
        ),
        (("--pool-type", "process", "--job-variable", "color=red"), "the job template knows no color, only"),
        (("--pool-type", "process", "--notify", "slack-webhook/ops"), "There is no block slack-webhook/ops"),
    ],
)
def test_what_can_not_be_is_one_message(server, options, said):
    done = server.python("-m", "deployments.apply", *options)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_or_is_of_another_version(server):
    away = server.python("-c", f"import os; os.environ['PREFECT_API_URL'] = 'http://127.0.0.1:9/api'\n{APPLIES}")
    older = server.python("-c", f"import prefect; prefect.__version__ = '3.7.1'\n{APPLIES}")

    assert "http://127.0.0.1:9/api did not do as asked" in away.stderr
    assert "nothing is done: start this again" in away.stderr
    assert "and here is 3.7.1, for which this project was tested" in older.stderr
    assert (away.returncode, older.returncode) == (1, 1)


APPLIES = "import sys; from deployments.apply import main; sys.exit(main(['--pool-type', 'process']))"


def deployed_in_a_terminal(server) -> subprocess.CompletedProcess[str]:
    """`prefect deploy --all` as a person runs it: where it can ask, and nobody answers."""
    ours, theirs = pty.openpty()
    try:
        environment = {name: value for name, value in server.environment.items() if name != "PREFECT_CLI_PROMPT"}
        return subprocess.run(
            [sys.executable, "-m", "prefect", "deploy", "--all"],
            cwd=ROOT,
            env={**environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
