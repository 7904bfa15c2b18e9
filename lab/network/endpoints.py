"""One CiliumEndpoint for each sandbox that Cilium made, written as the agent of its node writes it.

Refuses to act for a node without a running agent: such endpoints are left to garbage collection (docs/platform.md 6.3).
"""

from __future__ import annotations

import itertools
from typing import ClassVar

from lab.errors import ApiError
from lab.network.agents import NodePrograms
from lab.network.identities import CiliumIdentities, Identity
from lab.network.reachability import Cni
from lab.network.sandboxes import Sandbox, node_address
from lab.objects import Object, key_of, labels_of, split_key, uid_of
from lab.platform.runtime import Change, Controller, ignoring
from lab.resources import CILIUM_ENDPOINTS, CILIUM_IDENTITIES, CUSTOM_RESOURCE_DEFINITIONS, NODES, PODS, Resource

_CONFLICT = 409
_LAST_ENDPOINT_ID = 65_535
_LATE_LOOK_SECONDS = 10.0


class CiliumEndpoints(Controller):
    """Keeps CiliumEndpoints as the sandboxes are. A key is a pod's `namespace/name`."""

    name: ClassVar[str] = "cilium-endpoints"
    follows: ClassVar[tuple[Resource, ...]] = (
        NODES,
        CUSTOM_RESOURCE_DEFINITIONS,
        CILIUM_ENDPOINTS,
        CILIUM_IDENTITIES,
    )
    workers: ClassVar[int] = 8

    def __init__(self, context: NodePrograms) -> None:
        super().__init__(client=context.site.client, mirror=context.site.mirror, clock=context.clock)
        self._cluster, self._faults = context.cluster, context.faults
        self._nodes = context.nodes
        self._sandboxes = context.sandboxes
        self._written: dict[str, Sandbox] = {}
        self._uids: dict[str, str] = {}
        """The uid of the endpoint that was written for a pod: a pod may have had others before, as before a reboot."""
        self._identities = CiliumIdentities(context.site)
        self._ids = itertools.count(1)
        self._sandboxes.on_change(self._on_sandbox)

    def wire(self) -> None:
        """Follow the endpoints, so that one deleted by hand comes back."""
        self.mirror.subscribe(CILIUM_ENDPOINTS, self._on_endpoint)

    def agent_up(self, node: str) -> None:
        """Have the endpoints of a node brought up to date by its agent that came back."""
        for sandbox in self._sandboxes.on_node(node):
            self._on_sandbox(sandbox)

    async def reconcile(self, key: str) -> float | None:
        """Have the endpoint of this pod exist, and be that of its present sandbox, or be gone with it."""
        current, written = self._sandboxes.named(key), self._written.get(key)
        wanted = current if current is not None and current.place.cni is Cni.CILIUM else None
        if written is not None and written is not wanted:
            await self._remove(key, written)
        if wanted is not None and written is not wanted and self._has_agent(wanted) and self._is_defined():
            if self._faults.for_platform("endpoint-late", cluster=self._cluster, subject=key):
                return _LATE_LOOK_SECONDS
            await self._create(wanted)
        return None

    def _is_defined(self) -> bool:
        """Tell whether there is such a resource: without its definition the agents wait for their next start."""
        return self.mirror.get(CUSTOM_RESOURCE_DEFINITIONS, CILIUM_ENDPOINTS.group_resource) is not None

    async def _create(self, sandbox: Sandbox) -> None:
        body = self._endpoint(sandbox, await self._identities.for_pod(sandbox.pod))
        try:
            created = await self.client.create(CILIUM_ENDPOINTS, body)
        except ApiError as error:
            if error.code != _CONFLICT:
                raise
            created = await self._replace(body)
        self._written[sandbox.key], self._uids[sandbox.key] = sandbox, uid_of(created)

    async def _replace(self, body: Object) -> Object:
        """Take over the name from an earlier pod's endpoint that nobody has removed yet."""
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        with ignoring(404):
            await self.client.delete(CILIUM_ENDPOINTS, name, namespace=namespace)
        return await self.client.create(CILIUM_ENDPOINTS, body)

    async def _remove(self, key: str, written: Sandbox) -> None:
        self._written.pop(key, None)
        self._uids.pop(key, None)
        if not self._has_agent(written):
            return
        namespace, name = split_key(key)
        found = self.mirror.get(CILIUM_ENDPOINTS, name, namespace=namespace)
        if found is None or _pod_uid(found) == written.uid:
            with ignoring(404, _CONFLICT):
                await self.client.delete(CILIUM_ENDPOINTS, name, namespace=namespace)

    def _has_agent(self, sandbox: Sandbox) -> bool:
        return Cni.CILIUM in self._nodes.of(sandbox.place.node).programs

    def _on_sandbox(self, sandbox: Sandbox) -> None:
        if sandbox.place.cni is Cni.CILIUM:
            self.enqueue(sandbox.key)

    def _on_endpoint(self, change: Change) -> None:
        key = key_of(change.object)
        written = self._written.get(key)
        if change.type == "DELETED" and written is not None and uid_of(change.object) == self._uids.get(key):
            del self._written[key]
            if self._sandboxes.of(written.uid) is not None:
                self.enqueue(key)

    def _endpoint(self, sandbox: Sandbox, identity: Identity) -> Object:
        namespace, name = split_key(sandbox.key)
        node = self.mirror.get(NODES, sandbox.place.node)
        return {
            "apiVersion": CILIUM_ENDPOINTS.api_version,
            "kind": CILIUM_ENDPOINTS.kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": dict(labels_of(sandbox.pod)),
                "ownerReferences": [{"apiVersion": "v1", "kind": PODS.kind, "name": name, "uid": sandbox.uid}],
            },
            "status": {
                "id": next(self._ids) % _LAST_ENDPOINT_ID + 1,
                "state": "ready",
                "external-identifiers": {"k8s-namespace": namespace, "k8s-pod-name": name, "pod-name": sandbox.key},
                "identity": {"id": identity.number, "labels": list(identity.labels)},
                "networking": {"addressing": [{"ipv4": sandbox.address}], "node": node_address(node)},
                "encryption": {},
            },
        }


def _pod_uid(endpoint: Object) -> str:
    owners = endpoint["metadata"].get("ownerReferences") or ()
    return str(owners[0]["uid"]) if owners else ""
