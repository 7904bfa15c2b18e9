"""Who gets into KKP's REST API, how far, and in which words the others are refused."""

from __future__ import annotations

import base64
import ssl
import stat
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from tests.running_lab import lab_process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.restapi.conftest import RestLab


@pytest.mark.parametrize(
    ("authorization", "message", "details"),
    [
        (None, "not authorized", ["haven't found a Bearer token in the Authorization header"]),
        ("Bearer", "not authorized", ["haven't found a Bearer token in the Authorization header"]),
        ("Bearer wrong", "access denied, invalid token: oidc: malformed jwt", None),
    ],
)
def test_nobody_gets_in_without_a_token(rest_lab: RestLab, authorization, message, details):
    with rest_lab.anonymous(authorization) as client:
        answer = client.get("/api/v1/me")

    expected = {"code": 401, "message": message, **({"details": details} if details else {})}
    assert (answer.status_code, answer.json()) == (401, {"error": expected})


def test_the_first_seven_characters_of_the_header_are_not_looked_at(rest_lab: RestLab):
    with rest_lab.anonymous(f"bEaReR:{rest_lab.tokens['owner']}") as client:
        assert client.get("/api/v1/me").json()["email"] == "owner@lab.example"


@pytest.mark.parametrize(
    ("person", "query", "count"),
    [
        ("owner", "", 3),
        ("viewer", "", 3),
        ("service-account", "", 1),
        ("service-account", "?displayAll=true", 1),
        ("administrator", "", 0),
        ("administrator", "?displayAll=true", 3),
    ],
)
def test_people_see_their_projects_and_administrators_all_if_they_ask(as_person, person, query, count):
    projects = as_person(person).get(f"/api/v1/projects{query}").json()

    assert len(projects) == count
    assert all(item["status"] == "Active" and item["clustersNumber"] == 1 for item in projects)


@pytest.mark.parametrize(
    ("person", "method", "tail", "code", "message"),
    [
        ("service-account", "GET", "", 403, "forbidden: \"serviceaccount-k4t9bn2wzd@sa.kubermatic.io\" doesn't belong to project {project}"),
        ("viewer", "GET", "", 200, ""),
        ("viewer", "PATCH", "", 403, 'clusters.kubermatic.k8c.io "{cluster}" is forbidden: User "viewer@lab.example" cannot update resource "clusters" in API group "kubermatic.k8c.io" at the cluster scope'),
        ("viewer", "POST", "/machinedeployments/workers-1/restart", 500, 'failed to update machine deployment: machinedeployments.cluster.k8s.io "workers-1" is forbidden: User "viewer@lab.example" cannot update resource "machinedeployments" in API group "cluster.k8s.io" in the namespace "kube-system"'),
        ("viewer", "DELETE", "/applicationinstallations/kube-system/cilium", 403, 'applicationinstallations.apps.kubermatic.k8c.io "cilium" is forbidden: User "viewer@lab.example" cannot delete resource "applicationinstallations" in API group "apps.kubermatic.k8c.io" in the namespace "kube-system"'),
        ("administrator", "PATCH", "", 200, ""),
    ],
)  # fmt: skip
def test_people_do_what_they_are_in_a_project(  # noqa: PLR0917 - the columns of its table
    rest_lab: RestLab, as_person, person, method, tail, code, message
):
    body = {"json": {"labels": {"seen": "true"}}} if method == "PATCH" else {}
    answer = as_person(person).request(method, rest_lab.path(1) + tail, **body)

    assert answer.status_code == code, answer.text
    expected = message.format(project=rest_lab.projects[1], cluster=rest_lab.clusters[1])
    assert not message or answer.json() == {"error": {"code": code, "message": expected}}


@pytest.mark.parametrize(("person", "who"), [("owner", "admin"), ("service-account", "admin"), ("viewer", "viewer")])
def test_the_kubeconfig_opens_the_cluster_as_wide_as_the_role(rest_lab: RestLab, as_person, person, who):
    answer = as_person(person).get(f"{rest_lab.path()}/kubeconfig")
    config = yaml.safe_load(answer.text)

    assert answer.headers["content-type"] == "application/yaml"
    assert f"kubeconfig-{who}-{rest_lab.clusters[0]}" in answer.headers["content-disposition"]
    with _client(config) as client:
        assert client.get("/api/v1/pods").status_code == 200
        assert client.get("/api/v1/nodes").status_code == (200 if who == "admin" else 403)
        assert client.get("/api/v1/namespaces/kube-system/secrets").status_code == (200 if who == "admin" else 403)


def _client(config) -> httpx.Client:
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    return httpx.Client(base_url=cluster["server"], headers={"Authorization": f"Bearer {user['token']}"}, verify=trust)


def test_the_connection_file_leads_in_and_is_readable_by_its_owner_alone(rest_lab: RestLab):
    file = rest_lab.running.connections / "lab-api.kkp.yaml"
    found = yaml.safe_load(file.read_text())

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(found) == {"url", "token", "certificateAuthorityData"}
    trust = ssl.create_default_context(cadata=base64.b64decode(found["certificateAuthorityData"]).decode())
    headers = {"Authorization": f"Bearer {found['token']}"}
    assert httpx.get(f"{found['url']}/api/v1/version", headers=headers, verify=trust).json() == {"api": "v2.31.0"}


def test_another_seed_has_other_clusters_and_leaves_no_file(tmp_path: Path):
    small = ("--clusters", "1", "--nodes", "1", "--pods", "0", "--speed", "1000", "--seed-name", "north")
    with lab_process(tmp_path / "lab", *small) as running:
        names = {file.name for file in running.connections.iterdir()}
        cluster, welcome = running.clusters()[0], (tmp_path / "lab.log").read_text()
        tokens = running.remote.rest_api()["tokens"].values()

    assert names == {"north.kubeconfig", "north-api.kkp.yaml"}
    assert (cluster["humanReadableName"], cluster["name"]) == ("north-1", "q26kdvdmrt")
    assert "north-api to KKP's REST API at https://" in welcome
    assert not [token for token in tokens if token in welcome]
    assert not list((tmp_path / "lab" / "connections").iterdir())
