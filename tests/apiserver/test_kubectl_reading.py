"""What a current kubectl makes of the server: explanations, validation of what it sends, tables and lists of resources."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.apiserver.conftest import LabServer
from tests.programs import NO_KUBECTL, find_kubectl
from tests.running_lab import Kubectl, eventually

pytestmark = pytest.mark.kubectl


@pytest.fixture(scope="module")
def kubectl(server, tmp_path_factory) -> Kubectl:
    """A kubectl of the admin."""
    found = find_kubectl()
    assert found, NO_KUBECTL
    kubeconfig = server.lab.cluster_kubeconfig() if isinstance(server, LabServer) else server.kubeconfig_file
    return Kubectl(Path(shutil.which(found) or found), kubeconfig, tmp_path_factory.mktemp("kubectl"))


def config_map(name, **more):
    lines = ["apiVersion: v1", "kind: ConfigMap", f"metadata: {{name: {name}}}", "data: {x: '1'}"]
    return "\n".join([*lines, *(f"{key}: {value}" for key, value in more.items())])


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        (["pods"], ["KIND:       Pod", "VERSION:    v1", "  spec\t<PodSpec>", "  metadata\t<ObjectMeta>"]),
        (
            ["pods.spec.containers"],
            ["FIELD: containers <[]Container>", "  image\t<string>", "  args\t<[]string>", "  env\t<[]EnvVar>"],
        ),
        (
            ["deployments", "--api-version=apps/v1"],
            ["GROUP:      apps", "KIND:       Deployment", "VERSION:    v1", "  spec\t<DeploymentSpec>"],
        ),
        (["deployment.spec.replicas"], ["FIELD: replicas <integer>"]),
        (["ds.spec.selector.matchLabels"], ["FIELD: matchLabels <map[string]string>"]),
        (["nodes.status.capacity"], ["FIELD: capacity <map[string]Quantity>"]),
        (["pdb.spec.maxUnavailable"], ["FIELD: maxUnavailable <IntOrString>"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and "." in value[0] else None,
)
def test_kubectl_explains_kinds_and_fields(kubectl, what, lines):
    explained = kubectl("explain", *what).splitlines()

    for line in lines:
        assert any(shown.startswith(line) for shown in explained), (line, explained)


def test_kubectl_explains_custom_resources(kubectl, served_things):
    explained = eventually(lambda: kubectl.run("explain", "things.spec").stdout, what="the explanation")

    assert "KIND:       Thing" in explained
    assert "FIELD: spec <Object>" in explained


def test_a_field_that_is_not_there_is_not_explained(kubectl):
    done = kubectl.run("explain", "pods.spec.colour")

    assert (done.returncode, done.stderr) == (1, 'error: field "colour" does not exist\n')


@pytest.mark.parametrize("verb", ["create", "apply"])
def test_kubectl_sends_what_is_valid(kubectl, namespace, verb):
    assert kubectl(verb, "-n", namespace, "-f", "-", stdin=config_map("good")) == "configmap/good created\n"


def test_kubectl_applies_again(kubectl, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=config_map("again"))

    unchanged = kubectl("apply", "-n", namespace, "-f", "-", stdin=config_map("again"))
    changed = kubectl("apply", "-n", namespace, "-f", "-", stdin=config_map("again", immutable="true"))

    assert (unchanged, changed) == ("configmap/again unchanged\n", "configmap/again configured\n")


@pytest.mark.parametrize("verb", ["create", "apply"])
def test_an_unknown_field_is_refused(kubectl, namespace, verb):
    done = kubectl.run(verb, "-n", namespace, "-f", "-", stdin=config_map("bad", colour="red"))

    assert done.returncode == 1
    assert 'strict decoding error: unknown field "colour"' in done.stderr
    assert "NotFound" in kubectl.run("get", "-n", namespace, "configmap", "bad").stderr


@pytest.mark.parametrize("verb", ["create", "apply"])
def test_an_unknown_field_may_be_warned_about(kubectl, namespace, verb):
    done = kubectl.run(verb, "-n", namespace, "--validate=warn", "-f", "-", stdin=config_map("odd", colour="red"))

    assert (done.returncode, done.stdout) == (0, "configmap/odd created\n")
    assert done.stderr == 'Warning: unknown field "colour"\n'


def test_a_field_of_another_type_is_refused(kubectl, namespace):
    manifest = config_map("bad").replace("'1'", "1")

    done = kubectl.run("create", "-n", namespace, "-f", "-", stdin=manifest)

    assert done.returncode == 1
    assert "json: cannot unmarshal number into Go struct field ConfigMap.data of type string" in done.stderr


def test_kubectl_shows_a_table(kubectl, namespace):
    kubectl("create", "-n", namespace, "-f", "-", stdin=config_map("shown"))

    header, row = kubectl("get", "-n", namespace, "configmap", "shown").splitlines()

    assert header.split() == ["NAME", "DATA", "AGE"]
    assert row.split()[:2] == ["shown", "1"]


def test_kubectl_says_that_there_is_nothing(kubectl, namespace):
    done = kubectl.run("get", "-n", namespace, "pods")

    assert (done.returncode, done.stderr) == (0, f"No resources found in {namespace} namespace.\n")


def test_kubectl_says_that_there_is_no_such_resource(kubectl):
    done = kubectl.run("get", "colours")

    assert done.returncode == 1
    assert done.stderr == 'error: the server doesn\'t have a resource type "colours"\n'


def test_kubectl_lists_resources(kubectl):
    lines = kubectl("api-resources", "--api-group=apps", "--no-headers").splitlines()

    assert [line.split() for line in lines] == [
        ["controllerrevisions", "apps/v1", "true", "ControllerRevision"],
        ["daemonsets", "ds", "apps/v1", "true", "DaemonSet"],
        ["deployments", "deploy", "apps/v1", "true", "Deployment"],
        ["replicasets", "rs", "apps/v1", "true", "ReplicaSet"],
        ["statefulsets", "sts", "apps/v1", "true", "StatefulSet"],
    ]


def test_kubectl_pages_through_a_long_list(kubectl, api, namespace):
    for number in range(7):
        api.post(f"/api/v1/namespaces/{namespace}/configmaps", json={"metadata": {"name": f"c{number}"}})

    listed = kubectl("get", "-n", namespace, "configmaps", "--chunk-size=3", "-o", "name").splitlines()

    assert [line for line in listed if "kube-root-ca" not in line] == [f"configmap/c{number}" for number in range(7)]
