"""Fixtures: one lab that the tests of this folder share, and a real kubectl for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.programs import NO_KUBECTL, find_kubectl
from tests.running_lab import Kubectl, RunningLab, lab_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="package")
def running_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """One user cluster of 3 nodes, quick; shared, so tests leave it as they found it."""
    directory = tmp_path_factory.mktemp("lab") / "running"
    with lab_process(directory, "--clusters", "1", "--nodes", "3", "--pods", "40", "--speed", "100") as running:
        yield running


@pytest.fixture(scope="session")
def kubectl_binary() -> Path:
    """A real kubectl; only tests marked `kubectl` ask for it, and those are left out where there is none."""
    found = find_kubectl()
    assert found, NO_KUBECTL
    return Path(shutil.which(found) or found)


@pytest.fixture
def new_kubectl(kubectl_binary: Path, tmp_path: Path) -> Callable[[Path], Kubectl]:
    """Give a kubectl for a kubeconfig."""
    return lambda kubeconfig: Kubectl(kubectl_binary, kubeconfig, tmp_path)


@pytest.fixture
def kubectl(running_lab: RunningLab, new_kubectl: Callable[[Path], Kubectl]) -> Kubectl:
    """A kubectl of the shared lab's user cluster."""
    return new_kubectl(running_lab.cluster_kubeconfig())


@pytest.fixture
def seed_kubectl(running_lab: RunningLab, new_kubectl: Callable[[Path], Kubectl]) -> Kubectl:
    """A kubectl of the shared lab's seed."""
    return new_kubectl(running_lab.seed_kubeconfig)
