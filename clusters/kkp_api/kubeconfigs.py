"""The kubeconfig of a user cluster, as the REST API hands it out. It is never stored or shown."""

from __future__ import annotations

from typing import Final

from clusters.connections import parse_kubeconfig
from clusters.kkp_api.client import KkpApi
from clusters.ways_in import WayIn
from migration.errors import Forbidden

# D pkg/handler/common/kubeconfig.go: the file's name, by the kind of kubeconfig.
_VIEWER_S: Final = "kubeconfig-viewer-"
_SWITCHED_OFF: Final = "kubeconfig feature is disabled"


async def way_into(api: KkpApi, project: str, cluster: str, *, connection: str) -> WayIn:
    """Return the administrator's kubeconfig of a user cluster.

    Raises Forbidden with what to do if it may not be had, and NotFound if there is none yet, or none within reach.
    """
    where = source(api, cluster)
    try:
        text, file = await api.text("v2", "projects", project, "clusters", cluster, "kubeconfig")
    except Forbidden as error:
        raise Forbidden(f"{where} may not be had: {_advice(str(error), connection)} ({error})") from error
    if _VIEWER_S in file:
        raise Forbidden(
            f"{where} is a viewer's, which changes nothing: give the token of connection {connection} the role of an "
            f"editor in project {project}"
        )
    return WayIn(kubeconfig=parse_kubeconfig(text, source=where), source=where, is_administrator_s=True)


def source(api: KkpApi, cluster: str) -> str:
    """Return what a user cluster's kubeconfig is called in messages."""
    return f"the kubeconfig of {cluster} that {api.where} hands out"


def _advice(said: str, connection: str) -> str:
    if _SWITCHED_OFF in said.lower():
        return (
            "an administrator of KKP has switched kubeconfigs off; switch them on in the admin panel (Interface, "
            "Enable Kubernetes kubeconfig), or use a connection to the seed, whose Secrets have them"
        )
    return f"give the token of connection {connection} the role of an editor in the project"
