"""Trouble that can be switched on: in answers to requests, and in parts of the platform."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, TypeVar

RequestTrouble = Literal[
    "500", "503", "429", "409", "401", "403", "404", "410", "timeout", "timeout-after", "reset", "close-watch"
]
"""`404` says that it does not find what is there, as KKP's REST API does of a seed that went out of its reach;
`timeout` never answers and does nothing; `timeout-after` acts and then never answers; `reset` cuts the connection
before acting; `close-watch` ends a watch at once."""

PlatformTrouble = Literal[
    "agent-crash-loop",  # subject: node name or * ; the CNI agent there crashes with `message`
    "helm-failure",  # subject: application name; an install attempt fails with `message`
    "stuck-pod",  # subject: namespace/name pattern; the pod ignores its deletion
    "node-never-joins",  # subject: MachineDeployment name or *; its new machines get no node
    "pod-never-ready",  # subject: namespace/name pattern
    "endpoint-late",  # subject: namespace/name pattern; the pod's CiliumEndpoint is not written while it is on
    "slow-control-plane",  # subject: cluster; the controller-manager rollout never completes while it is on
    # Of KKP's REST API alone; subject: the seed's name. Lists lack the clusters, and asking for one finds none of it.
    "seed-unreachable",  # a list says in its errorMessage that it is not whole
    "seed-left-out",  # a list says nothing; only the projects' clustersNumber, asked for at another moment, does
    "seed-gone",  # nor does the clustersNumber: the seed is left out of both for as long as this lasts
    "kubeconfig-disabled",  # the installation's settings allow nobody a kubeconfig
]


@dataclass(kw_only=True)
class RequestFault:
    """Trouble for requests whose method and path match. `times` counts down; None goes on until cleared."""

    trouble: RequestTrouble
    server: str = "*"
    """Name of the API server: a seed's, a user cluster's, `kkp` for the REST API, or * for all."""
    method: str = "*"
    path: str = ".*"
    """Regular expression searched in the path behind the server's prefix, as `/api/v1/namespaces/x/pods/y`."""
    times: int | None = 1
    retry_after_seconds: int | None = None
    id: int = 0


@dataclass(kw_only=True)
class PlatformFault:
    """Trouble in a part of the platform of one user cluster (or * for all)."""

    trouble: PlatformTrouble
    cluster: str = "*"
    subject: str = "*"
    """Shell-style pattern (fnmatch) of what is troubled."""
    message: str = ""
    times: int | None = None
    id: int = 0


F = TypeVar("F", RequestFault, PlatformFault)


@dataclass
class Faults:
    """All trouble that is on. One registry serves the whole lab."""

    requests: list[RequestFault] = field(default_factory=list)
    platform: list[PlatformFault] = field(default_factory=list)
    _last_id: int = 0

    def add(self, fault: RequestFault | PlatformFault) -> int:
        """Switch trouble on; returns its id."""
        self._last_id += 1
        fault.id = self._last_id
        if isinstance(fault, RequestFault):
            re.compile(fault.path)
            self.requests.append(fault)
        else:
            self.platform.append(fault)
        return fault.id

    def clear(self, fault_id: int | None = None) -> None:
        """Switch one trouble off, or all."""
        self.requests[:] = [f for f in self.requests if fault_id is not None and f.id != fault_id]
        self.platform[:] = [f for f in self.platform if fault_id is not None and f.id != fault_id]

    def for_request(self, server: str, method: str, path: str, *, watch: bool = False) -> RequestFault | None:
        """Return the first fault that meets a request, counting it down; only a watch meets `close-watch`."""
        for fault in self.requests:
            if fault.trouble == "close-watch" and not watch:
                continue
            if fault.server in ("*", server) and fault.method in ("*", method) and re.search(fault.path, path):
                return self._spend(fault, self.requests)
        return None

    def for_platform(self, trouble: PlatformTrouble, *, cluster: str, subject: str) -> PlatformFault | None:
        """Return the first fault of this kind that meets a cluster and subject, counting it down."""
        for fault in self.platform:
            if fault.trouble == trouble and fault.cluster in ("*", cluster) and fnmatchcase(subject, fault.subject):
                return self._spend(fault, self.platform)
        return None

    @staticmethod
    def _spend(fault: F, among: list[F]) -> F:
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                among.remove(fault)
        return fault
