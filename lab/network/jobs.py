"""Programs that end: containers that only sleep, and the job that makes Hubble's certificates."""

from __future__ import annotations

import base64
import re
from typing import ClassVar

from lab.errors import ApiError
from lab.network.agents import SYSTEM_NAMESPACE, NodePrograms
from lab.network.certificates import Authority
from lab.objects import Object, uid_of
from lab.platform.podruntime import ProgramCrashed
from lab.platform.runtime import ignoring
from lab.resources import SECRETS

_NOT_FOUND, _CONFLICT = 404, 409
LEAF_SECRETS = {
    "hubble-server-certs": "*.default.hubble-grpc.cilium.io",
    "hubble-relay-client-certs": "*.hubble-relay.cilium.io",
}
"""Secrets that certgen writes beside cilium-ca with KKP's values, and the names in them (docs/platform.md 4.6)."""


class SleepJob:
    """`sleep N` in a container that is not restarted when it ends."""

    finishes: ClassVar[bool] = True

    def __init__(self, context: NodePrograms, seconds: float) -> None:
        self._context = context
        self._seconds = seconds

    async def start(self, _pod: Object) -> None:
        """Return after N platform seconds."""
        await self._context.clock.sleep(self._seconds)

    async def stop(self, _pod: Object) -> None:
        """Do nothing: the sleep ends with its process."""


class CertificateJob:
    """Cilium's certgen. It reaches the API server through its Service only, so it needs a working pod network."""

    finishes: ClassVar[bool] = True

    def __init__(self, context: NodePrograms) -> None:
        self._context = context

    async def start(self, pod: Object) -> None:
        """Leave cilium-ca and the certificates signed by it in Secrets; none that exists is changed."""
        context = self._context
        node = context.nodes.of(str(pod["spec"]["nodeName"]))
        if context.sandboxes.of(uid_of(pod)) is None or not node.service_rules:
            raise ProgramCrashed("failed to get secret kube-system/cilium-ca: dial tcp 10.240.16.1:443: i/o timeout")
        authority = await self._authority()
        for name, host in LEAF_SECRETS.items():
            leaf = authority.sign(host)
            data = {"ca.crt": authority.certificate, "tls.crt": leaf.certificate, "tls.key": leaf.key}
            await self._keep(name, "kubernetes.io/tls", data)

    async def stop(self, _pod: Object) -> None:
        """Do nothing: what is written stays, even after an uninstall (docs/platform.md 4.6)."""

    async def _authority(self) -> Authority:
        try:
            found = await self._context.site.client.get(SECRETS, "cilium-ca", namespace=SYSTEM_NAMESPACE)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise ProgramCrashed(f"failed to get secret kube-system/cilium-ca: {error}") from error
            authority = Authority.new("Cilium CA")
            await self._keep("cilium-ca", "Opaque", {"ca.crt": authority.certificate, "ca.key": authority.key})
            return authority
        data = found["data"]
        return Authority.known(base64.b64decode(data["ca.crt"]), base64.b64decode(data["ca.key"]))

    async def _keep(self, name: str, kind: str, data: dict[str, bytes]) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE},
            "type": kind,
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
        with ignoring(_CONFLICT):
            await self._context.site.client.create(SECRETS, body)


def sleep_seconds(pod: Object) -> float | None:
    """Return N when the pod is not restarted always and its first container runs `sleep N`, else None."""
    spec = pod["spec"]
    if spec.get("restartPolicy", "Always") == "Always":
        return None
    container = spec["containers"][0]
    command = [*(container.get("command") or ()), *(container.get("args") or ())]
    if len(command) == 2 and command[0] == "sleep" and re.fullmatch(r"\d+(\.\d+)?", command[1]):
        return float(command[1])
    return None
