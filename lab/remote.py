"""The running lab as another process reaches it: through the files in its directory and its interface at /lab."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from lab.control import BadInput, FaultKind
from lab.directory import LabDirectory, NoLabRuns

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 10.0


class RemoteLab:
    """Calls to the interface of the lab that runs in a directory; raises BadInput and NoLabRuns with its words."""

    def __init__(self, directory: str | Path) -> None:
        self._access = LabDirectory(directory).access()

    def state(self) -> dict[str, Any]:
        """Return clusters, speed and whether all is settled."""
        return self._call("GET", "/lab/state")

    def set_speed(self, speed: float) -> dict[str, Any]:
        """Let the lab's time pass at this speed; returns the state."""
        return self._call("POST", "/lab/speed", body={"speed": speed})

    def requests(self) -> dict[str, Any]:
        """Return, by server, how many requests of each verb and resource were answered."""
        return self._call("GET", "/lab/requests")

    def rest_api(self) -> dict[str, Any]:
        """Return the URL of KKP's REST API, and tokens: an owner's, a viewer's, a service account's, and others."""
        return self._call("GET", "/lab/kkp")

    def outage(self, cluster: str | None = None) -> dict[str, Any]:
        """Return the outage measured in a user cluster, which may be left out where there is only one."""
        return self._call("GET", "/lab/outage", cluster=cluster)

    def reset_outage(self, cluster: str | None = None) -> None:
        """Measure from now on, in one user cluster or in all."""
        self._call("POST", "/lab/outage/reset", cluster=cluster)

    def forget_history(self) -> None:
        """Make every resourceVersion and continue token that clients hold too old, as a compaction of etcd does."""
        self._call("POST", "/lab/history/forget")

    def nodes(self, cluster: str | None = None) -> dict[str, list[str]]:
        """Return the CNI configuration files of each node of a user cluster."""
        return dict(self._call("GET", "/lab/nodes", cluster=cluster)["nodes"])

    def reboot(self, cluster: str | None, node: str) -> None:
        """Have a node go down now; it comes back by itself, with the files on its disk and nothing else."""
        self._call("POST", "/lab/nodes/reboot", cluster=cluster, node=node)

    def remove_cni_configuration(self, cluster: str | None, node: str, file: str) -> None:
        """Delete a file of /etc/cni/net.d on a node, as an operator would who is logged in there."""
        self._call("DELETE", "/lab/nodes/cni", cluster=cluster, node=node, file=file)

    def faults(self) -> list[dict[str, Any]]:
        """Return the trouble that is on."""
        return list(self._call("GET", "/lab/faults")["faults"])

    def add_fault(self, kind: FaultKind, trouble: str, **fields: Any) -> int:
        """Switch trouble on; returns its id."""
        return int(self._call("POST", "/lab/faults", body={"kind": kind, "trouble": trouble, **fields})["id"])

    def clear_faults(self, fault_id: int | None = None) -> None:
        """Switch one trouble off, or all."""
        self._call("DELETE", "/lab/faults", id=None if fault_id is None else str(fault_id))

    def _call(self, method: str, path: str, *, body: Any = None, **query: str | None) -> dict[str, Any]:
        asked = {name: value for name, value in query.items() if value is not None}
        target = f"{path}?{urlencode(asked)}" if asked else path
        origin = urlsplit(self._access.origin)
        context = ssl.create_default_context(cafile=str(self._access.certificate_file))
        connection = http.client.HTTPSConnection(
            origin.hostname or "", origin.port, timeout=TIMEOUT_SECONDS, context=context
        )
        headers = {"Authorization": f"Bearer {self._access.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, target, body=None if body is None else json.dumps(body), headers=headers)
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoLabRuns(f"the lab at {self._access.origin} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            raise BadInput(str(answer.get("error", f"the lab answered {response.status}")))
        return dict(answer)
