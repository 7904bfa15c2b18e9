"""The running lab: one seed, its user clusters, and the server that answers for all of them.

Everything runs on one loop. The end of any part by an error is the end of the lab, with the reason: a lab that has
silently lost a controller would teach wrong things.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from lab.apiserver.app import build_app
from lab.clock import Clock
from lab.control import control_app
from lab.credentials import Credentials, issue, new_token, rest_connection
from lab.directory import LabDirectory
from lab.faults import Faults
from lab.hosting import ClusterApi, Hosting, OtherServers, OwnServers, install
from lab.landscape import project_objects
from lab.lifetime import LabFailed, alive
from lab.objects import name_of
from lab.platform.kkp import PROFILES, seed_objects, seed_resources, seed_webhooks, user_cluster_webhooks
from lab.platform.runtime import Mirror, Site, run_together
from lab.resources import APPLICATION_DEFINITIONS, NODES
from lab.restapi import Installation, People, RestApi
from lab.restapi.app import SERVER_NAME
from lab.serving import HttpsServer
from lab.settled import FOLLOWED, has_begun, is_settled, nodes_and_pods, waiting_for
from lab.user_cluster import Surroundings, UserCluster, cluster_name, create_all

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from starlette.types import ASGIApp

    from lab.objects import Object
    from lab.settings import LabSettings

__all__ = ["Lab", "LabFailed"]

log = logging.getLogger(__name__)

BRING_UP_SPEED = 1000.0
"""What is there when a lab starts has been there for long: it is brought up as quickly as this."""
BRING_UP_SECONDS = 60.0
BRING_UP_SECONDS_ATTACHED = 180.0
"""Over a wire, with controllers that have delays of their own."""
BRING_UP_SECONDS_PER_POD = 0.02
BRING_UP_SECONDS_PER_CLUSTER = 3.0
"""Ten times as long as it takes on a machine that has nothing else to do."""
LOOK_AGAIN_SECONDS = 0.2
REST_PATH = "/kkp"


class Lab:
    """A lab that runs while its `async with` block does; the block is cancelled, and raises, if a part of it fails."""

    def __init__(self, settings: LabSettings) -> None:
        self.settings = settings
        self._profile = PROFILES[settings.kkp]
        self.faults = Faults()
        self.directory = LabDirectory(settings.directory)
        self.user_clusters: list[UserCluster] = []
        self.url = ""
        self._clock = Clock(max(BRING_UP_SPEED, settings.speed))
        self._speed = settings.speed
        self._people = People()
        self._ready = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start everything; `ready` says when it has settled."""
        async with AsyncExitStack() as stack:
            self.directory.acquire()
            stack.callback(self.directory.release)
            server = HttpsServer(host=self.settings.host, port=self.settings.port)
            stack.callback(server.close)
            await self._build(server.url, issue(self.directory.path, host=self.settings.host), stack)
            await stack.enter_async_context(alive(self._live(server)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything; raises LabFailed if a part had ended by itself."""
        await self._stack.__aexit__(kind, error, trace)

    async def ready(self) -> None:
        """Return when every user cluster has settled; with parts left out, when everything has been created."""
        await self._ready.wait()

    @property
    def speed(self) -> float:
        """How many platform seconds pass in a real one, once the lab has settled."""
        return self._speed

    @property
    def is_attached(self) -> bool:
        """Tell whether the API servers are somebody else's."""
        return self.settings.is_attached

    def set_speed(self, speed: float) -> None:
        """Let time pass at this speed from now on."""
        self._speed = speed
        if self._ready.is_set():
            self._clock.speed = speed

    def state(self) -> dict[str, Any]:
        """Return clusters, speed and whether all is settled, as JSON."""
        return {
            "ready": self._ready.is_set(),
            "speed": self._speed,
            "without": sorted(self.settings.without),
            "clusters": [self._state_of(item) for item in self.user_clusters],
        }

    def requests(self) -> dict[str, dict[str, int]]:
        """Return, by server, how many requests of each verb and resource were answered."""
        counted = {server.name: server.requests for server in self._hosting.servers.values()}
        counted[SERVER_NAME] = self._rest_api.requests
        return {
            name: {f"{verb} {resource}": count for (verb, resource), count in sorted(requests.items())}
            for name, requests in counted.items()
        }

    def rest_api(self) -> dict[str, Any]:
        """Return where KKP's REST API is, and the tokens of people who differ in what they may."""
        return {"url": f"{self.url}{REST_PATH}", "tokens": dict(self._people.tokens)}

    def forget_history(self) -> None:
        """Make every resourceVersion and continue token that clients hold too old, in all API servers."""
        for server in self._hosting.servers.values():
            server.forget_history()

    def outage(self, cluster: str) -> dict[str, Any]:
        """Return the outage measured in a user cluster; raises KeyError for an unknown one."""
        return dataclasses.asdict(self._user_cluster(cluster).network.outage())

    def reset_outage(self, cluster: str | None = None) -> None:
        """Measure from now on, in one user cluster or in all; raises KeyError for an unknown one."""
        for item in self.user_clusters if cluster is None else [self._user_cluster(cluster)]:
            item.network.reset_outage()

    def nodes(self, cluster: str) -> dict[str, list[str]]:
        """Return the CNI configuration files of each node of a user cluster."""
        found = self._user_cluster(cluster)
        names = sorted(name_of(node) for node in found.site.mirror.all(NODES))
        return {name: sorted(found.network.node(name).conflists) for name in names}

    def reboot(self, cluster: str, node: str) -> None:
        """Have a node reboot; raises KeyError for an unknown user cluster."""
        self._user_cluster(cluster).power.reboot(node)

    def remove_cni_configuration(self, cluster: str, node: str, file: str) -> None:
        """Have a node without a file of /etc/cni/net.d; raises KeyError for an unknown user cluster."""
        self._user_cluster(cluster).network.remove_cni_configuration(node, file)

    def _user_cluster(self, name: str) -> UserCluster:
        return {item.name: item for item in self.user_clusters}[name]

    def _state_of(self, cluster: UserCluster) -> dict[str, Any]:
        return {
            "name": cluster.name,
            "humanReadableName": cluster.human_readable_name,
            "url": cluster.api.url,
            "kubeconfig": str(self.directory.cluster_kubeconfig(cluster.name)),
            **nodes_and_pods(cluster.site.mirror),
            "waitingFor": self._waiting_for(cluster),
        }

    def _waiting_for(self, cluster: UserCluster) -> list[str]:
        if not self.settings.is_whole:
            return []
        unsettled = waiting_for(cluster.name, seed=self._seed.mirror, user=cluster.site.mirror)
        return unsettled or [f"workload {name} to be served" for name in cluster.network.outage().not_served_now]

    def _is_settled(self, cluster: UserCluster) -> bool:
        if not self.settings.is_whole:
            return True
        seed, user = self._seed.mirror, cluster.site.mirror
        return is_settled(cluster.name, seed=seed, user=user) and not cluster.network.outage().not_served_now

    async def _build(self, origin: str, credentials: Credentials, stack: AsyncExitStack) -> None:
        self.url, self._credentials, self._token = origin, credentials, new_token()
        self._hosting = self._hosting_at(origin, credentials)
        stack.push_async_callback(self._hosting.close)
        seed = self.settings.seed_name
        self._seed_api = await self._hosting.open(seed, path=f"/seeds/{seed}", webhooks=seed_webhooks(self._profile))
        self._seed = Site(seed, self._seed_api.client, Mirror(self._seed_api.client))
        around = Surroundings(self.settings, self._profile, self._seed, self._clock, self.faults)
        for index in range(1, self.settings.clusters + 1):
            api = await self._open_user_cluster(cluster_name(index, seed))
            self.user_clusters.append(UserCluster(index, api, around))
        self._rest_api = RestApi(self._installation())

    def _installation(self) -> Installation:
        clients = {item.name: item.site.client for item in self.user_clusters}
        return Installation(
            seed_name=self.settings.seed_name,
            seed=self._seed.client,
            user_cluster=clients.__getitem__,
            profile=self._profile,
            faults=self.faults,
            people=self._people,
        )

    def _hosting_at(self, origin: str, credentials: Credentials) -> Hosting:
        settings = self.settings
        if settings.is_attached:
            return OtherServers(origin, credentials, (settings.seed_kubeconfig, *settings.cluster_kubeconfigs))
        version = f"v{self._profile.first_cluster.kubernetes}"
        return OwnServers(origin, credentials, self.faults, version=version)

    async def _open_user_cluster(self, name: str) -> ClusterApi:
        def find_definition(application: str) -> Object | None:
            return self._seed.mirror.get(APPLICATION_DEFINITIONS, application)

        webhooks = user_cluster_webhooks(find_definition, self._profile)
        return await self._hosting.open(name, path=f"/clusters/{name}", webhooks=webhooks)

    async def _live(self, server: HttpsServer) -> None:
        sites = (self._seed, *(item.site for item in self.user_clusters))
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(server.serve(self._app(), self._credentials), name="HTTPS server")
                for site in sites:
                    parts.create_task(site.mirror.watch_over(), name=f"mirror of {site.name}")
                parts.create_task(self._bring_up(parts), name="bring-up")
        finally:
            for site in sites:
                await site.mirror.close()

    def _app(self) -> ASGIApp:
        own: dict[str, ASGIApp] = {"/lab": control_app(self, token=self._token), REST_PATH: self._rest_api}
        return build_app(self._hosting.servers, mounted={**own, **self._hosting.webhooks})

    async def _bring_up(self, parts: asyncio.TaskGroup) -> None:
        await create_all(self._seed.client, seed_objects(self._profile))
        await install(self._seed.client, self._seed_api.configurations)
        await create_all(self._seed.client, project_objects())
        self._write_connections()
        self.directory.write_access(origin=self.url, token=self._token)
        async with asyncio.timeout(self._bring_up_seconds()):
            await self._in_every_cluster(lambda cluster: self._bring_up_cluster(cluster, parts))
            self._clock.speed = self._speed
            await self._in_every_cluster(self._begin)
        self._ready.set()

    def _write_connections(self) -> None:
        name, authority = self.settings.seed_name, self._credentials.certificate_authority
        self.directory.write_seed(name, self._seed_api.kubeconfig)
        found = self.rest_api()
        token = found["tokens"]["owner"]
        content = rest_connection(url=found["url"], certificate_authority=authority, token=token)
        self.directory.write_rest_api(f"{name}-api", content)

    async def _in_every_cluster(self, act: Callable[[UserCluster], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for item in self.user_clusters:
                group.create_task(act(item))

    def _bring_up_seconds(self) -> float:
        least = BRING_UP_SECONDS_ATTACHED if self.settings.is_attached else BRING_UP_SECONDS
        each = BRING_UP_SECONDS_PER_CLUSTER + BRING_UP_SECONDS_PER_POD * self.settings.size.pods
        return least + each * self.settings.clusters

    async def _bring_up_cluster(self, cluster: UserCluster, parts: asyncio.TaskGroup) -> None:
        await cluster.create()
        self.directory.write_cluster(cluster.name, cluster.api.kubeconfig)
        await cluster.site.mirror.follow(*FOLLOWED)
        await self._seed.mirror.follow(*seed_resources(self._profile))
        parts.create_task(run_together(cluster.controllers()), name=f"platform of {cluster.name}")
        await self._settle(cluster)
        if self.settings.is_whole:
            await cluster.create_calico_policies()

    async def _begin(self, cluster: UserCluster) -> None:
        """Have what is to be under way from now on under way, and measure from now on."""
        await cluster.create_job()
        if not self.settings.is_whole:
            return
        while not has_begun(cluster.job()):  # noqa: ASYNC110 - see _settle
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        await self._settle(cluster)
        cluster.network.reset_outage()

    async def _settle(self, cluster: UserCluster) -> None:
        try:
            while not self._is_settled(cluster):  # noqa: ASYNC110 - many objects of two API servers decide it
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        except asyncio.CancelledError:
            log.warning("%s was still waiting for %s", cluster.human_readable_name, self._waiting_for(cluster)[:5])
            raise
