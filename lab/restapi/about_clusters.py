"""What the REST API tells about a cluster: health, events, CNI versions, and the kubeconfig that opens it."""

from __future__ import annotations

import base64

from starlette.responses import Response

from lab.errors import ApiError
from lab.objects import Object, name_of
from lab.platform.client import Client
from lab.resources import EVENTS, SECRETS
from lab.restapi.answers import RestError, of_kubernetes
from lab.restapi.installation import Call

_HEALTH = (
    *("apiserver", "applicationController", "scheduler", "controller", "machineController", "etcd"),
    *("cloudProviderInfrastructure", "userClusterControllerManager", "gatekeeperController", "gatekeeperAudit"),
    *("monitoring", "logging", "alertmanagerConfig", "mlaGateway", "operatingSystemManager", "kubernetesDashboard"),
    "kubelb",
)
"""Not openvpn and konnectivity (D pkg/handler/common/cluster.go HealthEndpoint)."""
_EVENT_TYPES = {"": "", "warning": "Warning", "normal": "Normal"}
_KINDS = {"Machine": "Node", "MachineSet": "Node Set", "MachineDeployment": "Node Deployment"}


async def health(call: Call) -> Object:
    """Return the health of each part of a cluster's control plane."""
    found = (await call.cluster()).get("status") or {}
    extended = found.get("extendedHealth") or {}
    return {part: extended[part] for part in _HEALTH if part in extended}


async def cluster_events(call: Call) -> list[Object]:
    """Return the events about a cluster."""
    kind = event_type(call)
    return await events_about(call.kkp.seed, [await call.cluster()], kind)


def event_type(call: Call) -> str:
    """Return the type of events that is asked for, empty for all; raises a 400."""
    asked = call.request.query_params.get("type", "")
    if asked not in _EVENT_TYPES:
        raise RestError(400, f"wrong query parameter, unsupported type: {asked}")
    return _EVENT_TYPES[asked]


async def events_about(client: Client, objects: list[Object], kind: str) -> list[Object]:
    """Return the events about objects, known by their names alone as KKP's index knows them."""
    found, _ = await client.list(EVENTS)
    names = {name_of(item) for item in objects}
    about = [event for event in found if (event.get("involvedObject") or {}).get("name") in names]
    return [_shown_event(event) for event in about if kind in ("", event.get("type"))]


def _shown_event(event: Object) -> Object:
    """Return an event as answers hold it (D pkg/handler/v1/common/conversion.go)."""
    involved = event["involvedObject"]
    about = {"name": involved.get("name", ""), "namespace": involved.get("namespace", "")}
    given = event["metadata"]
    return {
        "id": given["uid"],
        "name": given["name"],
        "creationTimestamp": given["creationTimestamp"],
        "message": event.get("message", ""),
        "type": event.get("type", ""),
        "involvedObject": {"type": _KINDS.get(involved.get("kind", ""), involved.get("kind", "")), **about},
        "lastTimestamp": event.get("lastTimestamp"),
        "count": event.get("count", 1),
    }


async def cni_versions_of_cluster(call: Call) -> Object:
    """Return the supported versions of a cluster's CNI; the default is always empty (docs/platform.md 8.4)."""
    cni = (await call.cluster())["spec"].get("cniPlugin") or {}
    known = call.kkp.profile.cni_versions
    kind = cni.get("type", "")
    return {"cniPluginType": kind, "cniDefaultVersion": "", "versions": sorted(known.supported.get(kind, ()))}


async def cni_versions(call: Call) -> Object:
    """Return the supported versions and the default of a type of CNI (D pkg/handler/v2/cniversion)."""
    kind, known = str(call.request.path_params["type"]), call.kkp.profile.cni_versions
    if kind not in known.supported:
        types = " ".join(sorted(known.supported))
        raise RestError(400, f'CNI plugin type "{kind}" not supported. Supported types: [{types}]')
    return {
        "cniPluginType": kind,
        "cniDefaultVersion": known.default[kind],
        "versions": sorted(known.supported[kind]),
    }


async def kubeconfig(call: Call) -> Response:
    """Return the kubeconfig of a cluster's administrator, or of a viewer for those who are no more than that.

    Whether there are any is looked at before anything else (D pkg/handler/common/kubeconfig.go).
    """
    if call.kkp.meets("kubeconfig-disabled", call.cluster_id):
        raise RestError(403, "Admin Kubeconfig feature is disabled by the global settings")
    cluster = await call.cluster()
    who = "admin" if call.person.may_write(call.project_id) else "viewer"
    try:
        secret = await call.kkp.seed.get(SECRETS, f"{who}-kubeconfig", namespace=cluster["status"]["namespaceName"])
    except ApiError as error:
        raise of_kubernetes(error) from error
    return Response(
        base64.b64decode(secret["data"]["kubeconfig"]),
        media_type="application/yaml",
        headers={
            "Content-Disposition": f'attachment; filename="kubeconfig-{who}-{name_of(cluster)}"',
            "Cache-Control": "no-cache",
        },
    )
