"""One killable stack for a file, and a cluster of its lab for each test."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from clusters.api import KubeApi, open_api
from tests.resuming.stack import Stack, killable_stack

CLUSTERS = 11
LAB = (f"--clusters={CLUSTERS}", "--nodes=2", "--pods=16", "--grace-seconds=0", "--speed=200")

CHANGING = ("create", "update", "patch", "delete", "deletecollection")
BOOKKEEPING = ("configmaps", "leases", "selfsubjectaccessreviews")


@dataclass(frozen=True)
class Victim:
    """A cluster on Canal, and trouble for requests to its API server."""

    name: str
    stack: Stack
    api: KubeApi

    def hang_at(self, method: str, path: str, *, acted: bool = False) -> None:
        """Have the next such request never be answered, and done before or not at all: there a run can be killed."""
        trouble = "timeout-after" if acted else "timeout"
        self.stack.lab.add_fault("request", trouble, server=self.name, method=method, path=path)

    def refuse_for_now(self, method: str, path: str) -> None:
        """Have every such request fail in a way that is tried again."""
        self.stack.lab.add_fault("request", "503", server=self.name, method=method, path=path, times=None)

    def forbid(self, method: str, path: str) -> None:
        """Have every such request be forbidden, which ends a run."""
        self.stack.lab.add_fault("request", "403", server=self.name, method=method, path=path, times=None)

    async def is_refused(self) -> None:
        """Return once a run has met the refusal."""
        await self.stack.until(lambda: "ServerFault" in self.stack.runner.output(), what="a refused request")

    def changes(self) -> Counter[str]:
        """Return which changes its API server was asked for so far, and how often; but for journal, lock and records."""
        return changes(self.stack, self.name)

    async def hangs(self) -> None:
        """Return once a run hangs there."""
        await self.stack.until(lambda: not self.stack.lab.faults(), what="the request that hangs")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with killable_stack(tmp_path_factory.mktemp("resuming"), *LAB) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def usual(stack: Stack) -> Counter[str]:
    """Migrate a cluster without any trouble, and tell which changes that takes."""
    name = stack.unused.pop()
    run = await stack.start("canal-to-cilium", name, rotate_nodes=False)
    assert (await stack.ended(run))["state"]["type"] == "COMPLETED"
    return changes(stack, name)


def changes(stack: Stack, cluster: str) -> Counter[str]:
    counted = stack.lab.requests()[cluster]
    return Counter({what: times for what, times in counted.items() if _is_change(*what.split(" ", 1))})


def _is_change(verb: str, resource: str) -> bool:
    # Each attempt at a step writes evidence of its own. Secrets are deleted for the migration's sake alone.
    is_evidence = resource == "secrets" and verb in ("create", "patch")
    return verb in CHANGING and not resource.startswith(BOOKKEEPING) and not is_evidence


@pytest.fixture
def no_faults_left(stack: Stack) -> Iterator[None]:
    yield
    stack.lab.clear_faults()


@pytest_asyncio.fixture(loop_scope="module")
async def victim(stack: Stack, no_faults_left: None) -> AsyncIterator[Victim]:
    assert stack.unused, "the tests use up one cluster each: raise CLUSTERS"
    name = stack.unused.pop()
    async with open_api(stack.kubeconfig(name), where=f"user cluster {name}") as api:
        yield Victim(name, stack, api)
