"""A real control plane in processes of its own: etcd, kube-apiserver and, if asked for, kube-controller-manager.

Everything is on loopback and in one folder, and ends with the block or with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from lab.credentials import Credentials, issue, kubeconfig, new_token, private_directory, write_private
from tests.programs import NO_CONTROL_PLANE, find_control_plane
from tests.running_lab import guard as running_guard
from tests.running_lab import tell_guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

START_SECONDS = 240.0
STOP_SECONDS = 10.0
HOST = "127.0.0.1"
SERVICE_CIDR = "10.240.16.0/20"  # KKP's default for Services
WORKLOAD_CONTROLLERS = (
    # What the part `workloads` of the lab plays: the lab itself has the nodes, their kubelets and the scheduler.
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "statefulset-controller",
)
SERVICE_ACCOUNT_CONTROLLER = "serviceaccount-controller"
ADMIN, WATCHED = "admin", "watched"


class ControlPlaneFailed(Exception):
    """A program ended, or did not become ready; the message has the last lines that it printed."""


@dataclass(frozen=True)
class ControlPlane:
    """A ready API server, and the ways into it. Users: `admin`, who may do everything; others by ServiceAccounts."""

    name: str
    folder: Path
    url: str
    etcd_url: str
    credentials: Credentials
    admin_token: str = field(repr=False)

    @property
    def certificate_file(self) -> Path:
        """The certificate authority that the API server's certificate is from."""
        return self.folder / "ca.crt"

    @property
    def audit_file(self) -> Path:
        """JSON lines, one for each request that has been answered; see `audit`."""
        return self.folder / "audit.log"

    def kubeconfig(self, token: str = "") -> str:
        """Return a kubeconfig, as YAML, for the admin or for whom a token is."""
        authority = self.credentials.certificate_authority
        token = token or self.admin_token
        return kubeconfig(name=self.name, url=self.url, certificate_authority=authority, token=token)

    @cached_property
    def kubeconfig_file(self) -> Path:
        """The admin's kubeconfig."""
        file = self.folder / "admin.kubeconfig"
        write_private(file, self.kubeconfig())
        return file

    def client(self, token: str = "") -> httpx.Client:
        """Return an HTTP client of the admin, or of whom a token is; whoever asks closes it."""
        headers = {"authorization": f"Bearer {token or self.admin_token}"}
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            verify=ssl.create_default_context(cafile=self.certificate_file),
            timeout=30,
        )

    def audit(self, user: str) -> list[dict[str, Any]]:
        """Return the audit events of the requests of a user, oldest first; of `admin` only deletions of pods are known."""
        events = (json.loads(line) for line in self.audit_file.read_text().splitlines())
        return [event for event in events if event["user"]["username"] == user]

    def forget_history(self) -> None:
        """Compact etcd, so that the continue tokens of lists have expired."""
        with httpx.Client(base_url=self.etcd_url, timeout=10) as etcd:
            revision = etcd.post("/v3/kv/range", json={"key": "AA==", "range_end": "AA=="}).json()["header"]["revision"]
            etcd.post("/v3/kv/compaction", json={"revision": revision, "physical": True}).raise_for_status()


@contextlib.contextmanager
def control_plane(
    folder: Path, *, name: str = "real", controllers: Iterable[str] = (), service_accounts: bool = True
) -> Iterator[ControlPlane]:
    """Run a control plane until the block ends; entered once it is ready. Without controllers, none of them runs.

    With `service_accounts=False` pods need no ServiceAccount, for tests that make namespaces and pods in one go.
    """
    programs = find_control_plane()
    assert programs, NO_CONTROL_PLANE
    private_directory(folder)
    credentials = issue(folder, host=HOST)
    etcd_port, peer_port, port = _free_ports(3)
    plane = ControlPlane(name, folder, f"https://{HOST}:{port}", f"http://{HOST}:{etcd_port}", credentials, new_token())
    _write_settings(plane)
    with contextlib.ExitStack() as stack:
        guard = stack.enter_context(running_guard())
        start = _Starter(folder, guard, stack)
        etcd = start(programs["etcd"], *_etcd_options(plane, peer_port))
        server = start(programs["kube-apiserver"], *_server_options(plane, port, service_accounts=service_accounts))
        _wait_until_ready(plane, {"etcd": etcd, "kube-apiserver": server})
        if wanted := tuple(controllers):
            start(programs["kube-controller-manager"], *_controller_options(plane, wanted))
        yield plane


def _etcd_options(plane: ControlPlane, peer_port: int) -> list[str]:
    peer = f"http://{HOST}:{peer_port}"
    return [
        f"--data-dir={plane.folder / 'etcd'}",
        "--unsafe-no-fsync",  # what it holds is thrown away
        "--log-level=error",
        f"--listen-client-urls={plane.etcd_url}",
        f"--advertise-client-urls={plane.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]


def _server_options(plane: ControlPlane, port: int, *, service_accounts: bool) -> list[str]:
    folder = plane.folder
    return [
        f"--etcd-servers={plane.etcd_url}",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",  # no Service may lead to loopback
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--cert-dir={folder / 'certificates'}",
        f"--tls-cert-file={plane.credentials.certificate_file}",
        f"--tls-private-key-file={plane.credentials.key_file}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'server.crt'}",
        f"--service-account-signing-key-file={folder / 'server.key'}",
        "--authorization-mode=RBAC",
        "--allow-privileged",
        f"--disable-admission-plugins={'' if service_accounts else 'ServiceAccount'}",
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={plane.audit_file}",
        # Without it pages come from etcd, and a compaction shows at once; with it, within 15 seconds
        # (Kubernetes 1.35, storage/cacher/compactor.go).
        "--feature-gates=ListFromCacheSnapshot=false",
        "--profiling=false",
        "--shutdown-delay-duration=0",
    ]


def _controller_options(plane: ControlPlane, controllers: Iterable[str]) -> list[str]:
    return [
        f"--kubeconfig={plane.kubeconfig_file}",
        f"--controllers={','.join(controllers)}",
        "--leader-elect=false",
        "--kube-api-qps=400",
        "--kube-api-burst=800",
        "--concurrent-gc-syncs=5",
        # On loopback and out of the way: nobody asks it for its health.
        f"--bind-address={HOST}",
        "--secure-port=0",
        "--profiling=false",
    ]


def _write_settings(plane: ControlPlane) -> None:
    write_private(plane.folder / "tokens.csv", f'{plane.admin_token},{ADMIN},1,"system:masters"\n')
    # The admin's requests, the platform's among them, would bury those that somebody wants to count; but for the ends
    # of pods, which kubelets report so.
    pods = [{"group": "", "resources": ["pods"]}]
    rules = [
        {"level": "Metadata", "userGroups": ["system:masters"], "verbs": ["delete"], "resources": pods},
        {"level": "None", "userGroups": ["system:masters"]},
        {"level": "Metadata"},
    ]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    (plane.folder / "audit-policy.yaml").write_text(yaml.safe_dump(policy))
    plane.audit_file.touch(mode=0o600)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(contextlib.closing(socket.socket())) for _ in range(count)]
        for bound in sockets:
            bound.bind((HOST, 0))
        return [bound.getsockname()[1] for bound in sockets]


@dataclass(frozen=True)
class _Starter:
    """Starts programs in process groups of their own, guarded, and stops them, the last started first."""

    folder: Path
    guard: subprocess.Popen[bytes]
    stack: contextlib.ExitStack

    def __call__(self, program: Path, *options: str) -> subprocess.Popen[bytes]:
        """Start a program; what it prints goes to a file of its name."""
        with (self.folder / f"{program.name}.log").open("wb") as output:
            process = subprocess.Popen(
                [str(program), *options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        tell_guard(self.guard, "+", process)
        self.stack.callback(self._stop, program.name, process)
        return process

    def _stop(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            tell_guard(self.guard, "-", process)
            raise ControlPlaneFailed(f"{name} ended by itself:\n{last_lines(self.folder, name)}")
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        tell_guard(self.guard, "-", process)


def last_lines(folder: Path, name: str) -> str:
    """Return the end of what a program printed."""
    return "\n".join((folder / f"{name}.log").read_text(errors="replace").splitlines()[-8:])


def _wait_until_ready(plane: ControlPlane, programs: Mapping[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    with plane.client() as client:
        while not _is_ready(client):
            ended = [name for name, process in programs.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                said = "\n".join(f"{name}: {last_lines(plane.folder, name)}" for name in ended or programs)
                raise ControlPlaneFailed(f"the control plane {'ended' if ended else 'was not ready in time'}:\n{said}")
            time.sleep(0.1)  # looks at another process, which tells nobody when it changes


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
