"""MachineDeployments and nodes by the REST API, which calls the former node deployments.

Source: D pkg/handler/common/machine.go. Where KKP only wraps a refusal of the user cluster, it becomes a 500: also a
conflict, and also what a viewer may not do.
"""

from __future__ import annotations

import time
from typing import Any

from lab.apiserver.patches.merge import copied, merge_patch
from lab.errors import ApiError
from lab.objects import Object, labels_of
from lab.platform.client import Client
from lab.resources import MACHINE_DEPLOYMENTS, MACHINE_SETS, MACHINES, NODES
from lab.restapi.about_clusters import event_type, events_about
from lab.restapi.answers import RestError, metadata, without_empty, wrapped
from lab.restapi.installation import Call
from lab.restapi.nodes import node_of_machine, shown_machine, shown_node

NAMESPACE = "kube-system"
FORCE_RESTART = "forceRestart"


async def list_deployments(call: Call) -> list[Object]:
    """Return the MachineDeployments of a cluster."""
    client = call.user_cluster(await call.cluster())
    found, _ = await client.list(MACHINE_DEPLOYMENTS, namespace=NAMESPACE)
    return [_shown(item) for item in found]


async def get_deployment(call: Call) -> Object:
    """Return one MachineDeployment."""
    return _shown(await _deployment(call, call.user_cluster(await call.cluster())))


async def restart_deployment(call: Call) -> Object:
    """Return a MachineDeployment that begins to replace its machines."""
    client = call.user_cluster(await call.cluster())
    new = copied(await _deployment(call, client))
    annotations = new["spec"]["template"].setdefault("metadata", {}).setdefault("annotations", {})
    annotations[FORCE_RESTART] = str(time.time_ns())
    return await _updated(call, client, new)


async def patch_deployment(call: Call) -> Object:
    """Return a MachineDeployment after a merge patch: of its replicas, its pause, and what its machines are.

    The lab renders no machines anew: a patch of their cloud or operating system is passed over.
    """
    cluster = await call.cluster()
    client = call.user_cluster(cluster)
    new = copied(await _deployment(call, client))
    patch = await call.body("cannot patch node deployment: Invalid JSON Patch")
    wanted = merge_patch(_shown(new), patch).get("spec") or {}
    template = wanted.get("template") or {}
    machine = new["spec"]["template"]["spec"]
    new["spec"] |= {"replicas": wanted.get("replicas", 0), "paused": bool(wanted.get("paused"))}
    machine["versions"] = {**machine.get("versions", {}), **(template.get("versions") or {})}
    machine["taints"] = template.get("taints") or []
    machine["metadata"] = {**(machine.get("metadata") or {}), "labels": template.get("labels") or {}}
    return await _updated(call, client, new)


async def _updated(call: Call, client: Client, new: Object) -> Object:
    doing = "failed to update machine deployment"
    where = f"in the namespace {NAMESPACE!r}".replace("'", '"')
    try:
        name, group = new["metadata"]["name"], MACHINE_DEPLOYMENTS.group
        call.check_may_write(MACHINE_DEPLOYMENTS.plural, name, group=group, scope=where)
        return _shown(await client.update(MACHINE_DEPLOYMENTS, new))
    except ApiError as error:
        raise wrapped(doing, error) from error
    except RestError as error:
        raise RestError(500, f"{doing}: {error.message}") from error


async def list_nodes(call: Call) -> list[Object]:
    """Return the machines of a MachineDeployment, each with its node if it has one."""
    client = call.user_cluster(await call.cluster())
    machines = await _selected(client, MACHINES, await _deployment(call, client))
    nodes, _ = await client.list(NODES)
    hide = call.asks_for("hideInitialConditions")
    return [shown_machine(item, node_of_machine(item, nodes), hide_initial=hide) for item in machines]


async def node_events(call: Call) -> list[Object]:
    """Return the events about a MachineDeployment, its MachineSets and its machines."""
    kind = event_type(call)
    client = call.user_cluster(await call.cluster())
    deployment = await _deployment(call, client)
    machines = await _selected(client, MACHINES, deployment)
    return await events_about(client, [*machines, *await _selected(client, MACHINE_SETS, deployment), deployment], kind)


async def list_lone_nodes(call: Call) -> list[Object]:
    """Return the nodes that no MachineDeployment brought: those of lone machines, and those without any machine."""
    client = call.user_cluster(await call.cluster())
    machines, _ = await client.list(MACHINES, namespace=NAMESPACE)
    nodes, _ = await client.list(NODES)
    hide = call.asks_for("hideInitialConditions")
    matched = [(item, node_of_machine(item, nodes)) for item in machines]
    known = {node["metadata"]["uid"] for _, node in matched if node is not None}
    lone = [(item, node) for item, node in matched if not item["metadata"].get("ownerReferences")]
    others = [node for node in nodes if node["metadata"]["uid"] not in known]
    return [
        *(shown_machine(item, node, hide_initial=hide) for item, node in lone),
        *(shown_node(node, hide_initial=hide) for node in others),
    ]


async def _deployment(call: Call, client: Client) -> Object:
    name = str(call.request.path_params["deployment"])
    return await client.get(MACHINE_DEPLOYMENTS, name, namespace=NAMESPACE)


async def _selected(client: Client, resource: Any, deployment: Object) -> list[Object]:
    labels: dict[str, str] = deployment["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return (await client.list(resource, namespace=NAMESPACE, label_selector=selector))[0]


def _shown(deployment: Object) -> Object:
    """Return a MachineDeployment as answers hold it (outputMachineDeployment)."""
    spec = deployment["spec"]
    machine = spec["template"]["spec"]
    provider = (machine.get("providerSpec") or {}).get("value") or {}
    template = {
        "cloud": {provider.get("cloudProvider", "unknown"): provider.get("cloudProviderSpec") or {}},
        "operatingSystem": {provider.get("operatingSystem", "unknown"): provider.get("operatingSystemSpec") or {}},
        "versions": {"kubelet": (machine.get("versions") or {}).get("kubelet", "")},
        **without_empty({"labels": labels_of(machine) if "metadata" in machine else {}}),
        **without_empty({"taints": machine.get("taints")}),
    }
    return {
        **metadata(deployment),
        **without_empty({"labels": labels_of(deployment)}),
        "spec": {
            "replicas": spec.get("replicas", 0),
            "template": template,
            "paused": bool(spec.get("paused")),
            "dynamicConfig": False,
        },
        "status": deployment.get("status") or {},
    }
