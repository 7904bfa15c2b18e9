"""Garbage collection and namespace deletion against the in-process API server."""

from __future__ import annotations

from lab.errors import ApiError
from lab.objects import controller_of, is_being_deleted, name_of, owner_reference, uid_of
from lab.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    Resource,
)

WIDGETS = Resource(group="example.org", plural="widgets", kind="Widget", custom=True)


async def create_config_map(cluster, name: str, *owners, **metadata):
    references = [{**owner_reference(owner), "controller": False} for owner in owners]
    body = {"metadata": {"name": name, "namespace": "default", "ownerReferences": references, **metadata}}
    return await cluster.client.create(CONFIG_MAPS, body)


async def define_widgets(cluster) -> None:
    names = {"plural": "widgets", "kind": "Widget", "singular": "widget"}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": versions}
    await cluster.client.create(
        CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": "widgets.example.org"}, "spec": spec}
    )


async def is_gone(cluster, resource, name: str) -> bool:
    try:
        await cluster.client.get(resource, name, namespace="default")
    except ApiError as error:
        return error.code == 404
    return False


def is_mirrored(cluster, resource, name: str) -> bool:
    return cluster.mirror.get(resource, name, namespace="default") is not None


async def test_deleting_a_deployment_in_the_background_takes_everything_with_it(cluster):
    await cluster.create_deployment(replicas=3)
    await cluster.eventually("pods", lambda: len(cluster.running_pods()) == 3)

    await cluster.delete(DEPLOYMENTS, "web")

    assert await is_gone(cluster, DEPLOYMENTS, "web")
    await cluster.eventually("all gone", lambda: not cluster.pods() and not cluster.mirror.all(REPLICA_SETS))


async def test_deleting_in_the_foreground_keeps_the_owner_until_its_pods_are_gone(cluster):
    await cluster.create_deployment(replicas=2)
    await cluster.eventually("pods", lambda: len(cluster.running_pods()) == 2)
    cluster.nodes.holds_end = lambda _: True

    await cluster.delete(DEPLOYMENTS, "web", propagation="Foreground")
    await cluster.eventually("pods terminating", lambda: all(map(is_being_deleted, cluster.pods())))
    await cluster.settled()
    assert is_being_deleted(cluster.get(DEPLOYMENTS, "web"))
    assert len(cluster.mirror.all(REPLICA_SETS)) == 1
    assert len(cluster.pods()) == 2

    cluster.nodes.holds_end = lambda _: False
    cluster.nodes.look_again()
    await cluster.eventually("all gone", lambda: not is_mirrored(cluster, DEPLOYMENTS, "web"))
    assert not cluster.mirror.all(REPLICA_SETS)
    assert not cluster.pods()


async def test_orphaning_leaves_the_dependents_without_the_owner(cluster):
    await cluster.create_deployment(replicas=2)
    await cluster.eventually("pods", lambda: len(cluster.running_pods()) == 2)
    pods = {uid_of(pod) for pod in cluster.pods()}

    await cluster.delete(DEPLOYMENTS, "web", propagation="Orphan")
    await cluster.eventually("owner gone", lambda: not is_mirrored(cluster, DEPLOYMENTS, "web"))
    await cluster.settled()

    (left,) = cluster.mirror.all(REPLICA_SETS)
    assert controller_of(left) is None
    assert {uid_of(pod) for pod in cluster.pods()} == pods


async def test_a_recreated_deployment_adopts_what_was_orphaned(cluster):
    await cluster.create_deployment(replicas=2)
    await cluster.eventually("pods", lambda: len(cluster.running_pods()) == 2)
    pods = {uid_of(pod) for pod in cluster.pods()}
    await cluster.delete(DEPLOYMENTS, "web", propagation="Orphan")
    await cluster.eventually("owner gone", lambda: not is_mirrored(cluster, DEPLOYMENTS, "web"))

    again = await cluster.create_deployment(replicas=2)
    await cluster.eventually(
        "adopted",
        lambda: [(controller_of(rs) or {}).get("uid") for rs in cluster.mirror.all(REPLICA_SETS)] == [uid_of(again)],
    )
    await cluster.settled()
    assert {uid_of(pod) for pod in cluster.pods()} == pods


async def test_a_dependent_stays_while_one_of_its_owners_does(cluster):
    first, second = await create_config_map(cluster, "first"), await create_config_map(cluster, "second")
    await create_config_map(cluster, "dependent", first, second)
    await cluster.eventually("mirrored", lambda: is_mirrored(cluster, CONFIG_MAPS, "dependent"))

    await cluster.delete(CONFIG_MAPS, "first")
    await cluster.eventually(
        "reference dropped",
        lambda: [r["name"] for r in cluster.get(CONFIG_MAPS, "dependent")["metadata"]["ownerReferences"]] == ["second"],
    )

    await cluster.delete(CONFIG_MAPS, "second")
    await cluster.eventually("gone", lambda: not is_mirrored(cluster, CONFIG_MAPS, "dependent"))


async def test_an_object_created_for_an_owner_that_is_gone_is_collected(cluster):
    owner = await create_config_map(cluster, "owner")
    await cluster.delete(CONFIG_MAPS, "owner")
    await create_config_map(cluster, "late", owner)
    await cluster.eventually("seen and gone", lambda: not is_mirrored(cluster, CONFIG_MAPS, "late"))
    await cluster.settled()
    assert await is_gone(cluster, CONFIG_MAPS, "late")


async def test_another_object_of_the_owners_name_is_not_the_owner(cluster):
    owner = await create_config_map(cluster, "owner")
    await create_config_map(cluster, "dependent", owner)
    await cluster.delete(CONFIG_MAPS, "owner")
    await create_config_map(cluster, "owner")

    await cluster.settled()
    assert await is_gone(cluster, CONFIG_MAPS, "dependent")
    assert not await is_gone(cluster, CONFIG_MAPS, "owner")


async def test_owners_of_unknown_kinds_are_left_alone(cluster):
    unknown = {"apiVersion": "nowhere.example/v1", "kind": "Riddle", "metadata": {"name": "x", "uid": "y"}}
    await create_config_map(cluster, "dependent", unknown)
    await cluster.settled()
    assert not await is_gone(cluster, CONFIG_MAPS, "dependent")


async def test_custom_resources_own_and_are_owned(cluster):
    await define_widgets(cluster)
    await cluster.settled()
    pod = await cluster.client.create(
        PODS,
        {"metadata": {"name": "bare", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
    )
    reference = {**owner_reference(pod), "controller": False}
    widget = await cluster.client.create(
        WIDGETS, {"metadata": {"name": "w", "namespace": "default", "ownerReferences": [reference]}}
    )
    await create_config_map(cluster, "dependent", widget)
    await cluster.settled()
    assert not await is_gone(cluster, CONFIG_MAPS, "dependent")

    await cluster.delete(PODS, "bare", grace_period_seconds=0)
    await cluster.eventually("chain gone", lambda: not is_mirrored(cluster, CONFIG_MAPS, "dependent"))
    assert await is_gone(cluster, WIDGETS, "w")


async def test_a_job_deleted_in_the_background_takes_its_pods(cluster):
    await cluster.create_workload(JOBS, "work")
    await cluster.eventually("pod", lambda: cluster.running_pods("work"))
    await cluster.delete(JOBS, "work")
    await cluster.eventually("pod gone", lambda: not cluster.pods("work"))


async def test_a_thousand_dependents_are_collected_quickly(cluster):
    owner = await create_config_map(cluster, "owner")
    for number in range(1000):
        await create_config_map(cluster, f"dependent-{number}", owner)
    await cluster.eventually("mirrored", lambda: is_mirrored(cluster, CONFIG_MAPS, "dependent-999"))

    await cluster.delete(CONFIG_MAPS, "owner")
    await cluster.eventually("all gone", lambda: not cluster.mirror.all(CONFIG_MAPS, namespace="default"))


async def test_a_deleted_namespace_goes_after_its_content(cluster):
    await cluster.client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    await define_widgets(cluster)
    body = {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
        },
    }
    await cluster.client.create(DEPLOYMENTS, body)
    await cluster.client.create(SECRETS, {"metadata": {"name": "s", "namespace": "shop"}})
    await cluster.client.create(WIDGETS, {"metadata": {"name": "w", "namespace": "shop"}})
    await cluster.eventually("pods", lambda: len(cluster.mirror.all(PODS, namespace="shop")) == 2)
    cluster.nodes.holds_end = lambda _: True

    await cluster.client.delete(NAMESPACES, "shop")
    await cluster.eventually(
        "terminating", lambda: all(map(is_being_deleted, cluster.mirror.all(PODS, namespace="shop")))
    )
    await cluster.settled(quiet_seconds=0.5)
    namespace = cluster.mirror.get(NAMESPACES, "shop")
    assert namespace is not None
    assert namespace["status"]["phase"] == "Terminating"

    cluster.nodes.holds_end = lambda _: False
    cluster.nodes.look_again()
    await cluster.eventually("gone", lambda: cluster.mirror.get(NAMESPACES, "shop") is None)
    assert [name_of(item) for item in (await cluster.client.list(SECRETS, namespace="shop"))[0]] == []
    assert (await cluster.client.list(WIDGETS, namespace="shop"))[0] == []
