"""The lab's platform on API servers that are not its own: what it refuses, and what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.control_plane import SERVICE_ACCOUNT_CONTROLLER, ControlPlane, control_plane
from tests.running_lab import lab_process, run_lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
SIZE = ("--nodes", "1", "--pods", "1", "--speed", "200")


def up(folder: Path, *options: str) -> tuple[int, str]:
    """Start a lab that can't start; returns exit status and complaint."""
    status, _, complaint = run_lab("up", "--directory", str(folder / "lab"), *options)
    return status, complaint


def kubeconfigs(seed: object, *clusters: object) -> tuple[str, ...]:
    return (
        "--seed-kubeconfig",
        str(seed),
        *(word for item in clusters for word in ("--cluster-kubeconfig", str(item))),
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--seed-kubeconfig", "a"), "belong together"),
        (("--cluster-kubeconfig", "a"), "belong together"),
        ((*kubeconfigs("a", "b"), "--clusters", "2"), "there are as many as kubeconfigs"),
        (kubeconfigs("nowhere", "b"), "cannot read kubeconfig nowhere: No such file or directory"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, complaint):
    status, said = up(tmp_path, *options)

    assert status == 2
    assert complaint in said


@pytest.mark.parametrize("content", ["", "[]", "{", "users: []", "clusters: 1"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path, content):
    (tmp_path / "seed").write_text(content)

    status, said = up(tmp_path, *kubeconfigs(tmp_path / "seed", tmp_path / "seed"))

    assert status == 2
    assert "is no kubeconfig with a current context, an embedded certificate authority and a token" in said


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ControlPlane, ControlPlane]]:
    folder = tmp_path_factory.mktemp("planes")
    with (
        control_plane(folder / "seed") as seed,
        control_plane(folder / "user", controllers=(SERVICE_ACCOUNT_CONTROLLER,)) as user,
    ):
        yield seed, user


@pytest.mark.control_plane
def test_one_api_server_can_t_be_two_clusters(planes, tmp_path):
    file = planes[0].kubeconfig_file

    status, said = up(tmp_path, *kubeconfigs(file, file))

    assert status == 2
    assert "each cluster has an API server of its own" in said


@pytest.mark.control_plane
def test_a_token_that_counts_for_nothing_is_named_with_its_file(planes, tmp_path):
    (tmp_path / "seed").write_text(planes[0].kubeconfig("wrong"))

    status, said = up(tmp_path, *kubeconfigs(tmp_path / "seed", planes[1].kubeconfig_file))

    assert status == 2
    assert f"the API server of {tmp_path / 'seed'} can't be used: Unauthorized" in said


@pytest.mark.control_plane
def test_it_leaves_no_webhook_that_nobody_answers_and_takes_no_servers_twice(planes, tmp_path):
    options = kubeconfigs(*(plane.kubeconfig_file for plane in planes))
    with lab_process(tmp_path / "first", *SIZE, *options):
        assert webhooks_of(planes) == [["kkp"], ["kkp"]]
    after = webhooks_of(planes)

    status, said = up(tmp_path, *options)

    assert after == [[], []]
    assert status == 2
    assert "is not fresh, it has Clusters" in said


def webhooks_of(planes: tuple[ControlPlane, ...]) -> list[list[str]]:
    found = []
    for plane in planes:
        with plane.client() as client:
            found.append([item["metadata"]["name"] for item in client.get(WEBHOOKS).json()["items"]])
    return found
