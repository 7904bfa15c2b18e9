"""What is in deployments/kubernetes does what prefect-kubernetes and a real API server want, and gives no more away."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml
from kubernetes.client import ApiClient
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

from deployments.pools import KUBERNETES_TEMPLATE, job_template
from tests.control_plane import control_plane
from tests.running_lab import ROOT

FOLDER = ROOT / "deployments" / "kubernetes"
MANIFESTS = [each for each in yaml.safe_load_all((FOLDER / "worker.yaml").read_text()) if each]
NAMESPACE = "cni-migration"
IMAGE = "registry.example/cni-migration:0.1.0"
RUN = FlowRun(id=UUID(int=7), name="canal-to-cilium lab/hv2c7xk9tl", flow_id=UUID(int=8))


@pytest.fixture
async def job(monkeypatch):
    """The Job that a worker makes of a run."""
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.example/api")
    template = job_template("kubernetes", values={"image": IMAGE})
    configuration = await KubernetesWorkerJobConfiguration.from_template_and_values(template, {}, client=object())
    configuration.prepare_for_flow_run(RUN)
    return configuration.job_manifest


def test_the_template_has_every_variable_that_prefect_kubernetes_knows():
    theirs = KubernetesWorker.get_default_base_job_template()["variables"]["properties"]

    assert theirs.keys() <= json.loads(KUBERNETES_TEMPLATE.read_text())["variables"]["properties"].keys()


def test_a_job_runs_as_nobody_and_names_its_secrets_instead_of_holding_them(job):
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert container["image"] == IMAGE
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["volumes"][0]["secret"]["secretName"] == "cni-migration-connections"
    assert container["volumeMounts"][0]["mountPath"] == "/etc/cni-migration/connections"
    assert container["envFrom"] == [{"secretRef": {"name": "cni-migration-results", "optional": True}}]


def test_a_job_is_not_tried_again_by_kubernetes_and_has_time_to_end(job):
    environment = {each["name"]: each["value"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}

    assert job["spec"]["backoffLimit"] == 0
    assert environment["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    # Prefect 3.8.8 gives the process of a cancelled run 30 s, runner/_cancellation_manager.py.
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 2 * 30


def test_the_worker_and_the_image_agree_on_paths_and_names():
    dockerfile = (FOLDER / "Dockerfile").read_text()
    environment = dict(re.findall(r"^(?:ENV|   ) (\w+)=(\S+)", dockerfile, re.MULTILINE))
    mounts = job_template("kubernetes")["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"][
        0
    ]

    assert environment["CNI_MIGRATION_CONNECTIONS"] == mounts["volumeMounts"][0]["mountPath"]
    assert environment["HOME"] == mounts["volumeMounts"][1]["mountPath"] == "/tmp"


def test_the_image_copies_what_there_is_takes_only_hashed_packages_and_is_nobody():
    lines = [line.strip() for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()

    assert all((ROOT / each).exists() and f"!{each}" in ignored for each in copied)
    assert any("--require-hashes" in line for line in lines)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 65532:65532"]
    assert not [
        line for line in lines if line.startswith("ARG PYTHON_IMAGE") and re.search(r":(latest|3|slim)?$", line)
    ]


@pytest.mark.control_plane
def test_a_real_api_server_takes_all_of_it_and_lets_the_worker_do_no_more_than_it_needs(job, tmp_path):
    with control_plane(tmp_path / "plane") as plane, plane.client() as admin:
        for manifest in MANIFESTS:
            created(admin, manifest)
        with plane.client(token_of(admin, "cni-migration-worker")) as worker:
            made = created(worker, ApiClient().sanitize_for_serialization(job))
            path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"

            assert made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 90
            assert worker.get(path).json()["items"]
            assert worker.get(f"/api/v1/namespaces/{NAMESPACE}/pods").status_code == 200
            assert worker.delete(f"{path}/{made['metadata']['name']}").status_code == 200
            for forbidden in (f"/api/v1/namespaces/{NAMESPACE}/secrets", "/api/v1/pods", "/api/v1/nodes"):
                assert worker.get(forbidden).status_code == 403
        with plane.client(token_of(admin, "cni-migration-run")) as run:
            assert run.get(f"/api/v1/namespaces/{NAMESPACE}/pods").status_code == 403


def created(client: httpx.Client, manifest: dict[str, Any]) -> Any:
    version, kind = manifest["apiVersion"], manifest["kind"]
    plural = {"NetworkPolicy": "networkpolicies"}.get(kind, f"{kind.lower()}s")
    where = f"/namespaces/{manifest['metadata']['namespace']}" if "namespace" in manifest["metadata"] else ""
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    # prefect-kubernetes asks for `parallelism` and `completions` in the pod's spec, where no API server knows them.
    validation = {"fieldValidation": "Ignore" if kind == "Job" else "Strict"}
    answer = client.post(f"{root}{where}/{plural}", json=manifest, params=validation)
    assert answer.is_success, f"{kind}: {answer.text}"
    return answer.json()


def token_of(client: httpx.Client, account: str) -> str:
    answer = client.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token", json={"spec": {}})
    assert answer.is_success, answer.text
    return answer.json()["status"]["token"]
