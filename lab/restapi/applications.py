"""Addons and applications by the REST API.

Source: D pkg/handler/common/addon.go, pkg/handler/v2/application_installation and application_definition. An
ApplicationInstallation shows neither its generation nor its Helm release, and conditions without observedGeneration.
"""

from __future__ import annotations

from lab.errors import ApiError
from lab.objects import Object, annotations_of, labels_of, name_of, namespace_of
from lab.resources import ADDONS, APPLICATION_DEFINITIONS, APPLICATION_INSTALLATIONS
from lab.restapi.answers import RestError, metadata, of_kubernetes, without_empty
from lab.restapi.installation import Call

ACCESSIBLE_ADDONS = frozenset(
    ("cluster-autoscaler", "hubble", "kube-state-metrics", "metallb", "multus", "node-exporter")
)
"""Those that people may choose; others, as `canal` and `kube-proxy`, are not even listed.

Source: D pkg/provider/kubernetes/addon.go; which ones by default: K pkg/defaulting/configuration.go."""
_ENSURE = "addons.kubermatic.io/ensure"
_LISTED_DEFINITION = (
    *("displayName", "description", "documentationURL", "sourceURL", "logo", "logoFormat", "defaultVersion"),
    *("enforced", "default", "selector"),
)
_CONDITION = ("status", "lastHeartbeatTime", "lastTransitionTime", "reason", "message")


async def list_addons(call: Call) -> list[Object]:
    """Return the addons of a cluster that people may choose."""
    namespace = (await call.cluster())["status"]["namespaceName"]
    found, _ = await call.kkp.seed.list(ADDONS, namespace=namespace)
    return [_shown_addon(item) for item in found if name_of(item) in ACCESSIBLE_ADDONS]


def _shown_addon(addon: Object) -> Object:
    spec = addon["spec"]
    flags = {"isDefault": spec.get("isDefault"), "continuouslyReconcile": labels_of(addon).get(_ENSURE) == "true"}
    kept = {key: value for key, value in metadata(addon).items() if key != "annotations"}
    return {**kept, "spec": without_empty({"variables": spec.get("variables"), **flags})}


async def list_installations(call: Call) -> list[Object]:
    """Return the applications of a cluster, without their values."""
    client = call.user_cluster(await call.cluster())
    found, _ = await client.list(APPLICATION_INSTALLATIONS)
    return [_shown_installation(item) for item in found]


async def get_installation(call: Call) -> Object:
    """Return one application of a cluster, with its values."""
    namespace, name = _named(call)
    client = call.user_cluster(await call.cluster())
    found = await client.get(APPLICATION_INSTALLATIONS, name, namespace=namespace)
    spec = found["spec"]
    more = {key: spec.get(key) for key in ("reconciliationInterval", "deployOptions", "valuesBlock")}
    shown = _shown_installation(found)
    return {**shown, "spec": {**shown["spec"], **without_empty(more)}}


async def delete_installation(call: Call) -> None:
    """Have one application of a cluster deleted; it goes once Helm has uninstalled it."""
    namespace, name = _named(call)
    client = call.user_cluster(await call.cluster())
    group = APPLICATION_INSTALLATIONS.group
    scope = f'in the namespace "{namespace}"'
    call.check_may_write(APPLICATION_INSTALLATIONS.plural, name, group=group, scope=scope, verb="delete")
    try:
        await client.delete(APPLICATION_INSTALLATIONS, name, namespace=namespace)
    except ApiError as error:
        raise of_kubernetes(error) from error


def _named(call: Call) -> tuple[str, str]:
    return str(call.request.path_params["namespace"]), str(call.request.path_params["name"])


def _shown_installation(found: Object) -> Object:
    spec, status = found["spec"], found.get("status") or {}
    conditions = status.get("conditions") or {}
    optional = {
        "labels": labels_of(found),
        "annotations": annotations_of(found),
        "deletionTimestamp": found["metadata"].get("deletionTimestamp"),
    }
    return {
        "name": name_of(found),
        "namespace": namespace_of(found),
        "creationTimestamp": found["metadata"]["creationTimestamp"],
        **without_empty(optional),
        "spec": {"namespace": spec["namespace"], "applicationRef": spec["applicationRef"]},
        "status": {
            "conditions": [{"type": name, **_fields(conditions[name])} for name in sorted(conditions)],
            **without_empty({key: status.get(key) for key in ("applicationVersion", "method")}),
        },
    }


def _fields(condition: Object) -> Object:
    return {key: condition[key] for key in _CONDITION if key in condition}


async def list_definitions(call: Call) -> list[Object]:
    """Return the applications that can be installed, without their versions."""
    _check_has_applications(call)
    found, _ = await call.kkp.seed.list(APPLICATION_DEFINITIONS)
    return [
        {
            "name": name_of(item),
            **without_empty({"labels": labels_of(item), "annotations": annotations_of(item)}),
            "spec": without_empty({key: item["spec"].get(key) for key in _LISTED_DEFINITION}),
        }
        for item in found
    ]


async def get_definition(call: Call) -> Object:
    """Return an application that can be installed, with its versions."""
    _check_has_applications(call)
    found = await call.kkp.seed.get(APPLICATION_DEFINITIONS, str(call.request.path_params["name"]))
    shown = {key: value for key, value in metadata(found).items() if key != "id"}
    return {**shown, **without_empty({"labels": labels_of(found)}), "spec": found["spec"]}


def _check_has_applications(call: Call) -> None:
    if not call.kkp.profile.has_applications:
        raise RestError(404, "page not found")
