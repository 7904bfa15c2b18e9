"""A real API server takes the probes' objects as they are, and its restricted Pod Security profile lets them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clusters.kinds import NAMESPACES, NETWORK_POLICIES, PODS, SERVICES
from clusters.steps import probe_pods
from migration.probes import Server
from tests.control_plane import control_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(120)]

ID = "20260821080000-0a1b2c"
PLACE = probe_pods.PROBES_NAMESPACE
WARNED = "Warning"
"""Header in which the server names fields that it doesn't know."""


@pytest.fixture(scope="module")
def real_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        control_plane(tmp_path_factory.mktemp("probes") / "real", service_accounts=False) as plane,
        plane.client() as client,
    ):
        client.post(NAMESPACES.path(), json=probe_pods.namespace()).raise_for_status()
        yield client


def test_what_a_round_creates_is_accepted(real_api: httpx.Client) -> None:
    server = probe_pods.server_pod(Server("n1"), name="server-0", migration_id=ID, image="agnhost")
    client = probe_pods.client_pod("a:1", node="n1", name="client-0", migration_id=ID, image="agnhost")
    bodies = [
        *((PODS, body) for body in (server, client)),
        *((NETWORK_POLICIES, body) for body in probe_pods.policies(ID)),
        *((SERVICES, probe_pods.service(ID, headless=headless)) for headless in (True, False)),
    ]

    answers = [real_api.post(kind.path(namespace=PLACE), json=body) for kind, body in bodies]

    assert [
        (answer.status_code, answer.headers.get(WARNED), answer.text[:300])
        for answer in answers
        if answer.is_error or WARNED in answer.headers
    ] == []


def test_a_pod_that_does_not_fit_the_profile_would_be_refused(real_api: httpx.Client) -> None:
    body = probe_pods.client_pod("a:1", node="n1", name="client-1", migration_id=ID, image="agnhost")
    del body["spec"]["securityContext"]

    answer = real_api.post(PODS.path(namespace=PLACE), json=body)

    assert answer.status_code == 403
    assert 'violates PodSecurity "restricted' in answer.json()["message"]
