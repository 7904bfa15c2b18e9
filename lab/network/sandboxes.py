"""The pods' sandboxes: which CNI made each, with which address. The kubelet's calls end here; nothing waits in here.

Refuses to write to the API: whoever wants to know of a new or removed sandbox listens.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from lab.network.ipam import AddressRange, RangeExhausted
from lab.network.nodes import NodeNetworks
from lab.network.reachability import CONFLISTS, Cni, Place, cni_in_charge
from lab.objects import Object, key_of, uid_of
from lab.platform.podruntime import SandboxFailed
from lab.platform.runtime import Mirror
from lab.resources import NODES


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The network of one pod."""

    uid: str
    key: str
    place: Place
    address: str
    pod: Object


Listener = Callable[[Sandbox], None]


class Sandboxes:
    """Every live sandbox of a cluster, and the addresses they hold."""

    def __init__(self, *, nodes: NodeNetworks, mirror: Mirror) -> None:
        self._nodes = nodes
        self._mirror = mirror
        self._by_uid: dict[str, Sandbox] = {}
        self._by_key: dict[str, Sandbox] = {}
        self._on_node: dict[str, dict[str, Sandbox]] = defaultdict(dict)
        self._at: dict[str, dict[str, Sandbox]] = defaultdict(dict)
        self._ranges: dict[Place, AddressRange] = {}
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Have the listener called with each sandbox made or taken down."""
        self._listeners.append(listener)

    def of(self, uid: str) -> Sandbox | None:
        """Return the sandbox of the pod with this uid."""
        return self._by_uid.get(uid)

    def named(self, key: str) -> Sandbox | None:
        """Return the sandbox of the pod `namespace/name`."""
        return self._by_key.get(key)

    def on_node(self, node: str) -> list[Sandbox]:
        """Return the sandboxes on a node."""
        return list(self._on_node.get(node, {}).values())

    def at(self, address: str) -> list[Sandbox]:
        """Return the sandboxes with an address: of two CNIs, two may have the same (docs/platform.md 5.3)."""
        return list(self._at.get(address, {}).values())

    def attach(self, pod: Object) -> str:
        """Have the pod's sandbox up and return its address, the node's for a pod on the host's network.

        Raises SandboxFailed with the message of the CNI that the node's first configuration file names.
        """
        uid, node = uid_of(pod), str(pod["spec"]["nodeName"])
        if pod["spec"].get("hostNetwork"):
            return node_address(self._mirror.get(NODES, node))
        if uid in self._by_uid:
            return self._by_uid[uid].address
        cni = cni_in_charge(self._nodes.of(node))
        if cni is None:
            raise SandboxFailed(_failure(uid, NOT_INITIALIZED))
        place = Place(node, cni)
        address = self._allocate(place, uid)
        self._keep(Sandbox(uid=uid, key=key_of(pod), place=place, address=address, pod=pod))
        return address

    def detach(self, pod: Object) -> None:
        """Have the pod without a sandbox and its address free. Idempotent."""
        sandbox = self._by_uid.get(uid_of(pod))
        if sandbox is not None:
            self._drop(sandbox)

    def set_range(self, node: str, cni: Cni, cidr: str) -> AddressRange:
        """Have the CNI give out addresses of this range on the node; one that it uses already stays as it is."""
        place = Place(node, cni)
        current = self._ranges.get(place)
        if current is None or current.cidr != cidr:
            current = self._ranges[place] = AddressRange(cidr)
        return current

    def forget(self, node: str) -> None:
        """Have no sandbox and no range left of a node."""
        for sandbox in self.on_node(node):
            self._drop(sandbox)
        for cni in Cni:
            self._ranges.pop(Place(node, cni), None)

    def _allocate(self, place: Place, uid: str) -> str:
        try:
            return self._usable_range(place, uid).allocate()
        except RangeExhausted as error:
            full = _CANAL_FULL + str(error) if place.cni is Cni.CANAL else _CILIUM_FULL
            raise SandboxFailed(_failure(uid, full)) from error

    def _usable_range(self, place: Place, uid: str) -> AddressRange:
        if place.cni is Cni.CILIUM:
            if Cni.CILIUM not in self._nodes.of(place.node).programs:
                raise SandboxFailed(_failure(uid, _NO_CILIUM_AGENT))
            return self._ranges[place]
        return self._canal_range(place.node, uid)

    def _canal_range(self, node: str, uid: str) -> AddressRange:
        picture = self._nodes.of(node)
        if Cni.CANAL not in picture.programs:
            raise SandboxFailed(_failure(uid, _CANAL_GONE if Cni.CANAL in picture.tunnels else _NO_CANAL_YET))
        found = self._mirror.get(NODES, node)
        cidr = found["spec"].get("podCIDR") if found else None
        if not cidr:
            raise SandboxFailed(_failure(uid, _NO_POD_CIDR))
        return self.set_range(node, Cni.CANAL, str(cidr))

    def _keep(self, sandbox: Sandbox) -> None:
        self._by_uid[sandbox.uid] = self._by_key[sandbox.key] = sandbox
        self._on_node[sandbox.place.node][sandbox.uid] = sandbox
        self._at[sandbox.address][sandbox.uid] = sandbox
        self._tell(sandbox)

    def _drop(self, sandbox: Sandbox) -> None:
        del self._by_uid[sandbox.uid]
        if self._by_key.get(sandbox.key) is sandbox:
            del self._by_key[sandbox.key]
        self._on_node[sandbox.place.node].pop(sandbox.uid, None)
        self._at[sandbox.address].pop(sandbox.uid, None)
        if not self._at[sandbox.address]:
            del self._at[sandbox.address]
        held = self._ranges.get(sandbox.place)
        if held is not None:
            held.release(sandbox.address)
        self._tell(sandbox)

    def _tell(self, sandbox: Sandbox) -> None:
        for listener in self._listeners:
            listener(sandbox)


def node_address(node: Object | None) -> str:
    """Return a Node's internal address, empty while it has none."""
    for address in ((node or {}).get("status") or {}).get("addresses") or ():
        if address["type"] == "InternalIP":
            return str(address["address"])
    return ""


def not_ready_reason(conflists: frozenset[str]) -> str | None:
    """Return the network plugin's complaint about a node without a CNI configuration file, None when it has one."""
    return None if conflists & set(CONFLISTS.values()) else NOT_INITIALIZED


def notes_on(sandbox: Sandbox) -> dict[str, str]:
    """Return the annotations that a sandbox's CNI puts on its pod.

    Calico's plugin does so with a patch of the pod's status (docs/platform.md 5.11); Cilium's doesn't.
    """
    if sandbox.place.cni is not Cni.CANAL:
        return {}
    return {
        "cni.projectcalico.org/containerID": sandbox_id(sandbox.uid),
        "cni.projectcalico.org/podIP": f"{sandbox.address}/32",
        "cni.projectcalico.org/podIPs": f"{sandbox.address}/32",
    }


def sandbox_id(uid: str) -> str:
    """Return containerd's id of a pod's sandbox."""
    return hashlib.sha256(uid.encode()).hexdigest()


NOT_INITIALIZED = "cni plugin not initialized"
"""containerd's go-cni, errors.go."""

# What the plugins answer: projectcalico/calico#9215 (its ServiceAccount is gone), Calico's nodename file,
# cilium/cilium#40345 (no agent behind the socket), and host-local with usePodCidr on a node without a range.
_NO_CANAL_YET = (
    'plugin type="calico" failed (add): stat /var/lib/calico/nodename: no such file or directory: check that the '
    "calico/node container is running and has mounted /var/lib/calico/"
)
_CANAL_GONE = (
    'plugin type="calico" failed (add): error getting ClusterInformation: connection is unauthorized: Unauthorized'
)
_CANAL_FULL = (
    'plugin type="calico" failed (add): failed to allocate for range 0: no IP addresses available in range set: '
)
_CILIUM_FULL = (
    'plugin type="cilium-cni" failed (add): unable to allocate IP via local cilium agent: '
    '[POST /ipam][502] postIpamFailure "range is full"'
)
_NO_POD_CIDR = 'plugin type="calico" failed (add): no podCidr for node'
_NO_CILIUM_AGENT = (
    'plugin type="cilium-cni" failed (add): unable to connect to Cilium agent: failed to create cilium agent client '
    'after 30.000000 seconds timeout: Get "http://localhost/v1/config": dial unix /var/run/cilium/cilium.sock: '
    "connect: no such file or directory\nIs the agent running?"
)


def _failure(uid: str, cause: str) -> str:
    return f'rpc error: code = Unknown desc = failed to setup network for sandbox "{sandbox_id(uid)}": {cause}'
