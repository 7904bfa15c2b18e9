"""The course of a round of probes: pods that answer, then all that ask at once, then again those that met trouble.

Refuses to clean up, and to judge what it has seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any, Final

from clusters import narrowing
from clusters.api import KubeApi
from clusters.kinds import ENDPOINT_SLICES, NAMESPACES, NETWORK_POLICIES, PODS, SERVICES, Kind
from clusters.steps import probe_pods
from clusters.steps.probe_pods import PROBES_NAMESPACE
from clusters.steps.survey import SERVICE_NAME_LABEL
from clusters.watching import Live, View, watching, with_faults
from migration.errors import AlreadyExists, DeadlineExceeded, Forbidden, Transient
from migration.models import ProbeOptions
from migration.probes import PORT, Probe, ProbeKind, ProbePlan, ProbePod, ProbeResult, Role, Seen

ROUND_SECONDS: Final = 180.0
SERVERS_SECONDS: Final = 90.0
"""For how long a round waits for the pods that answer: nodes pull the image first."""
CLIENTS_SECONDS: Final = 45.0
CREATIONS_AT_A_TIME: Final = 20
CREATION_TRIES: Final = 20
CREATION_PAUSE_SECONDS: Final = 0.5


async def try_out(api: KubeApi, migration_id: str, options: ProbeOptions, plan: ProbePlan) -> tuple[ProbeResult, ...]:
    """Return what the probes of the plan have seen, in its order; their namespace and all in it stays."""
    await _create(api, NAMESPACES, probe_pods.namespace())
    pods = Live(api, PODS, narrowing.probe_pod, namespace=PROBES_NAMESPACE)
    slices: Live[tuple[str, int]] = Live(api, ENDPOINT_SLICES, _endpoints, namespace=PROBES_NAMESPACE)
    async with watching(pods, slices) as view:
        running = _Round(api, migration_id, options, plan, view=view, pods=pods, slices=slices)
        return await running.run()


class _Round:
    """One round: the pods that answer, then all that ask at once, then those again that met no good answer."""

    def __init__(
        self,
        api: KubeApi,
        migration_id: str,
        options: ProbeOptions,
        plan: ProbePlan,
        *,
        view: View,
        pods: Live[ProbePod],
        slices: Live[tuple[str, int]],
    ) -> None:
        self._api, self._id, self._image, self._plan = api, migration_id, options.image, plan
        self._view, self._pods, self._slices = view, pods, slices
        self._ends = time.monotonic() + ROUND_SECONDS
        self._servers = {
            server: probe_pods.server_name(migration_id, number) for number, server in enumerate(plan.servers)
        }
        self._address = ""

    async def run(self) -> tuple[ProbeResult, ...]:
        await self._set_up()
        await self._wait(self._unanswering, SERVERS_SECONDS)
        results = await self._ask(range(len(self._plan.probes)), attempt=1)
        doubtful = [number for number, found in results.items() if _is_doubtful(found)]
        if doubtful:
            results |= await self._ask(doubtful, attempt=2)
        return tuple(results[number] for number in sorted(results))

    async def _set_up(self) -> None:
        """Leave everything there that is to be asked; policies first, so that no pod is ever open by mistake."""
        for policy in probe_pods.policies(self._id):
            await _create(self._api, NETWORK_POLICIES, policy)
        await _create(self._api, SERVICES, probe_pods.service(self._id, headless=True))
        service = await _create(self._api, SERVICES, probe_pods.service(self._id, headless=False))
        self._address = str(service["spec"].get("clusterIP", ""))
        await self._create_pods(
            probe_pods.server_pod(server, name=name, migration_id=self._id, image=self._image)
            for server, name in self._servers.items()
        )

    async def _ask(self, numbers: Collection[int], *, attempt: int) -> dict[int, ProbeResult]:
        """Return the results of these probes, by their number in the plan."""
        probes = {number: self._plan.probes[number] for number in numbers}
        destinations = {number: self._destination(probe) for number, probe in probes.items()}
        names = {number: probe_pods.client_name(self._id, number, attempt) for number in probes if destinations[number]}
        await self._create_pods(
            probe_pods.client_pod(
                destinations[number], node=probes[number].source, name=name, migration_id=self._id, image=self._image
            )
            for number, name in names.items()
        )
        await self._wait(lambda: self._unended(names.values()), CLIENTS_SECONDS)
        return {number: self._result(probe, names.get(number)) for number, probe in probes.items()}

    def _destination(self, probe: Probe) -> str:
        """Return `host:port`, empty if there is nobody to ask."""
        if probe.server is not None:
            server = self._pods.get(self._servers[probe.server], namespace=PROBES_NAMESPACE)
            return _joined(server.address) if server is not None and server.ready and server.address else ""
        if probe.kind in (ProbeKind.API_SERVER, ProbeKind.EGRESS):
            return probe.target
        if probe.kind is ProbeKind.SERVICE_ADDRESS:
            return _joined(self._address)
        name = probe_pods.service_name(self._id, headless=probe.kind is ProbeKind.DNS)
        return f"{name}.{PROBES_NAMESPACE}.svc:{PORT}"

    def _result(self, probe: Probe, name: str | None) -> ProbeResult:
        if name is None:
            server = self._servers[probe.server] if probe.server is not None else ""
            pod = self._pods.get(server, namespace=PROBES_NAMESPACE)
            return probe.ended(Seen.NOT_RUN, f"nobody to ask: {pod.end[1] if pod is not None else 'no pod'}")
        pod = self._pods.get(name, namespace=PROBES_NAMESPACE)
        return probe.ended(*(pod.end if pod is not None else (Seen.NOT_RUN, "the pod was removed")))

    def _unanswering(self) -> str | None:
        """Return who is not there yet: pods, and their addresses behind both Services."""
        found = {server: self._pods.get(name, namespace=PROBES_NAMESPACE) for server, name in self._servers.items()}
        left = [server for server, pod in found.items() if pod is None or not (pod.ready or pod.has_ended)]
        if left:
            return f"{len(left)} pods that answer ({left[0].node})"
        ready = sum(pod is not None and pod.ready for server, pod in found.items() if server.role is Role.OPEN)
        known = self._slices.values()
        for headless in (True, False):
            name = probe_pods.service_name(self._id, headless=headless)
            if sum(count for service, count in known if service == name) < ready:
                return f"the endpoints of Service {name}"
        return None

    def _unended(self, names: Iterable[str]) -> str | None:
        found = {name: self._pods.get(name, namespace=PROBES_NAMESPACE) for name in names}
        left = [name for name, pod in found.items() if pod is None or not pod.has_ended]
        return f"{len(left)} probes to end ({left[0]})" if left else None

    async def _create_pods(self, bodies: Iterable[Any]) -> None:
        slots = asyncio.Semaphore(CREATIONS_AT_A_TIME)

        async def create(body: Any) -> None:
            async with slots:
                await _create(self._api, PODS, body)

        for result in await asyncio.gather(*map(create, bodies), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _wait(self, missing: Any, seconds: float) -> None:
        """Wait for a while; who isn't there by then is told by the results."""
        left = min(seconds, max(0.0, self._ends - time.monotonic()))
        try:
            await self._view.until(
                lambda: None if (text := missing()) is None else with_faults(text, self._pods, self._slices),
                what="probes",
                deadline=timedelta(seconds=left),
                tell=lambda _: None,
            )
        except DeadlineExceeded:
            return


def _is_doubtful(result: ProbeResult) -> bool:
    """Tell whether another try may show something else: policies and endpoints reach nodes with a delay."""
    return not result.is_good and result.seen is not Seen.NOT_RUN


async def _create(api: KubeApi, kind: Kind, body: Any) -> Any:
    """Leave the object there and return it.

    A namespace is a moment older than its default ServiceAccount, without which its pods are refused (Kubernetes,
    plugin/pkg/admission/serviceaccount).
    """
    metadata = body["metadata"]
    namespace = metadata.get("namespace", "")
    for attempt in range(CREATION_TRIES):
        try:
            return await api.create(kind, body, namespace=namespace)
        except AlreadyExists:
            # Made by the try before, whose answer was lost.
            return await api.get(kind, metadata["name"], namespace=namespace)
        except (Transient, Forbidden) as error:
            is_early = isinstance(error, Forbidden) and "service account" in str(error)
            if attempt == CREATION_TRIES - 1 or (isinstance(error, Forbidden) and not is_early):
                raise
        await asyncio.sleep(CREATION_PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _endpoints(found: Any) -> tuple[str, int]:
    """Return the Service of an EndpointSlice and how many of its endpoints are ready."""
    service = (found["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL, "")
    return service, narrowing.ready_endpoints(found)


def _joined(host: str) -> str:
    return f"[{host}]:{PORT}" if ":" in host else f"{host}:{PORT}"
