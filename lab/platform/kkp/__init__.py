"""What KKP does in the lab: webhooks, seed objects, and the controllers of one user cluster.

Refuses to run workloads, nodes or networks: those are other parts of the platform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.platform.kkp.addon_controllers import addon_controllers
from lab.platform.kkp.admission import CLUSTER_WEBHOOK, cluster_hook
from lab.platform.kkp.application_admission import APPLICATION_WEBHOOK, FindDefinition, application_hook
from lab.platform.kkp.application_controller import ApplicationController
from lab.platform.kkp.cni_application import CniApplicationController
from lab.platform.kkp.context import Context
from lab.platform.kkp.control_plane import CONTROLLER_MANAGER, allocates_pod_cidrs, control_plane_controllers
from lab.platform.kkp.profiles import PROFILES, TODAY, Profile
from lab.platform.kkp.seed import cilium_definition, cluster_objects, seed_objects, user_cluster_definitions
from lab.platform.kkp.system_workloads import SystemWorkloads
from lab.platform.webhook import Webhook
from lab.resources import APPLICATION_DEFINITIONS, APPLICATION_INSTALLATIONS, CLUSTERS, Resource

if TYPE_CHECKING:
    from lab.apiserver.server import ApiServer
    from lab.clock import Clock
    from lab.faults import Faults
    from lab.objects import Object
    from lab.platform.runtime import Controller, Site
    from lab.settings import Delays

__all__ = [
    "CONTROLLER_MANAGER",
    "PROFILES",
    "Profile",
    "allocates_pod_cidrs",
    "cluster_objects",
    "kkp_controllers",
    "register_seed_admission",
    "register_user_cluster_admission",
    "seed_objects",
    "seed_resources",
    "seed_webhooks",
    "user_cluster_definitions",
    "user_cluster_webhooks",
]


def seed_resources(profile: Profile) -> tuple[Resource, ...]:
    """Return the resources of a seed that KKP works with whatever the cluster."""
    return (CLUSTERS, APPLICATION_DEFINITIONS) if profile.has_applications else (CLUSTERS,)


def seed_webhooks(profile: Profile = TODAY) -> list[Webhook]:
    """Return KKP's webhook on the seed: every write of a Cluster goes through it."""
    return [Webhook(CLUSTER_WEBHOOK, CLUSTERS, cluster_hook(profile))]


def user_cluster_webhooks(find_definition: FindDefinition, profile: Profile = TODAY) -> list[Webhook]:
    """Return KKP's webhook in a user cluster, if any: every write of an ApplicationInstallation goes through it.

    It asks `find_definition` for ApplicationDefinitions, which live on the seed.
    """
    if not profile.has_applications:
        return []
    return [Webhook(APPLICATION_WEBHOOK, APPLICATION_INSTALLATIONS, application_hook(find_definition))]


def register_seed_admission(server: ApiServer, profile: Profile = TODAY) -> None:
    """Have every write of a Cluster go through KKP's webhooks."""
    for webhook in seed_webhooks(profile):
        server.register_admission(webhook.resource, webhook.hook)


def register_user_cluster_admission(server: ApiServer, *, find_definition: FindDefinition | None = None) -> None:
    """Have every write of an ApplicationInstallation go through KKP's webhook.

    It asks `find_definition` for ApplicationDefinitions, which live on the seed; by default there is only Cilium's.
    """
    for webhook in user_cluster_webhooks(find_definition or _only_cilium):
        server.register_admission(webhook.resource, webhook.hook)


def _only_cilium(name: str) -> Object | None:
    return cilium_definition() if name == "cilium" else None


def kkp_controllers(
    seed: Site, user: Site, *, cluster: str, clock: Clock, delays: Delays, faults: Faults, profile: Profile = TODAY
) -> list[Controller]:
    """Return KKP's controllers for one user cluster; they bring a fresh one up by themselves."""
    context = Context(seed, user, cluster, clock, delays, faults, profile)
    applications = [CniApplicationController(context), ApplicationController(context)]
    return [
        *control_plane_controllers(context),
        *addon_controllers(context),
        *(applications if profile.has_applications else ()),
        SystemWorkloads(context),
    ]
