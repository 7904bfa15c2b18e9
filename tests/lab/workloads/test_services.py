"""Endpoints and EndpointSlices against the in-process API server."""

from __future__ import annotations

from lab.objects import name_of, owner_reference
from lab.resources import DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES


def slices(cluster, service: str = "web"):
    found = cluster.mirror.all(ENDPOINT_SLICES, namespace="default")
    return [item for item in found if item["metadata"]["labels"]["kubernetes.io/service-name"] == service]


def endpoints(cluster, service: str = "web"):
    return [endpoint for item in slices(cluster, service) for endpoint in item.get("endpoints") or ()]


def addresses(cluster, kind: str = "addresses", service: str = "web") -> set[str]:
    found = cluster.mirror.get(ENDPOINTS, service, namespace="default") or {}
    return {address["ip"] for subset in found.get("subsets") or () for address in subset.get(kind) or ()}


def pod_addresses(pods) -> set[str]:
    return {pod["status"]["podIP"] for pod in pods}


async def test_a_service_lists_its_ready_pods_in_both_apis(cluster):
    await cluster.create_service()
    await cluster.create_deployment(replicas=3)
    await cluster.eventually("three endpoints", lambda: len(endpoints(cluster)) == 3)
    await cluster.eventually("three addresses", lambda: len(addresses(cluster)) == 3)

    (item,) = slices(cluster)
    service = cluster.get(SERVICES, "web")
    assert item["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert item["addressType"] == "IPv4"
    assert item["metadata"]["ownerReferences"] == [owner_reference(service)]
    assert {e["addresses"][0] for e in endpoints(cluster)} == pod_addresses(cluster.pods()) == addresses(cluster)
    assert all(e["conditions"] == {"ready": True, "serving": True, "terminating": False} for e in endpoints(cluster))
    assert {e["targetRef"]["name"] for e in endpoints(cluster)} == {name_of(pod) for pod in cluster.pods()}


async def test_a_pod_that_is_not_ready_is_listed_as_such(cluster):
    await cluster.create_service()
    await cluster.create_deployment(replicas=1)
    await cluster.eventually("listed", lambda: addresses(cluster))

    await cluster.nodes.set_phase(cluster.pods()[0], "Running", ready=False)
    await cluster.eventually("not ready", lambda: addresses(cluster, "notReadyAddresses"))

    await cluster.eventually("slice agrees", lambda: not endpoints(cluster)[0]["conditions"]["ready"])
    assert not addresses(cluster)


async def test_a_terminating_pod_leaves_endpoints_and_stays_serving_in_slices(cluster):
    await cluster.create_service()
    await cluster.create_deployment(replicas=1)
    await cluster.eventually("listed", lambda: addresses(cluster))
    (pod,) = cluster.pods()
    cluster.nodes.holds_end = lambda _: True

    await cluster.delete(PODS, name_of(pod))
    address = pod["status"]["podIP"]
    await cluster.eventually("replaced", lambda: addresses(cluster) and address not in addresses(cluster))

    def conditions():
        return [e["conditions"] for e in endpoints(cluster) if e["addresses"] == [address]]

    await cluster.eventually(
        "serving", lambda: conditions() == [{"ready": False, "serving": True, "terminating": True}]
    )
    cluster.nodes.holds_end = lambda _: False
    cluster.nodes.look_again()
    await cluster.eventually("gone", lambda: conditions() == [])


async def test_published_not_ready_addresses_count_as_ready(cluster):
    await cluster.create_service(publishNotReadyAddresses=True)
    await cluster.create_deployment(replicas=1)
    await cluster.eventually("running", cluster.running_pods)
    await cluster.nodes.set_phase(cluster.pods()[0], "Running", ready=False)

    await cluster.eventually(
        "published", lambda: endpoints(cluster) and not endpoints(cluster)[0]["conditions"]["serving"]
    )
    assert endpoints(cluster)[0]["conditions"]["ready"]
    await cluster.eventually("in endpoints too", lambda: addresses(cluster) == pod_addresses(cluster.pods()))


async def test_named_target_ports_are_looked_up_in_the_pods(cluster):
    await cluster.create_service(ports=[{"name": "www", "port": 80, "targetPort": "http"}])
    await cluster.create_deployment(replicas=1)
    await cluster.eventually("listed", lambda: endpoints(cluster))
    assert [item["ports"] for item in slices(cluster)] == [[{"name": "www", "port": 8080, "protocol": "TCP"}]]


async def test_headless_services_name_the_pods_of_their_stateful_set(cluster):
    await cluster.create_service("db", clusterIP="None")
    await cluster.create_stateful_set(replicas=2)
    await cluster.eventually(
        "named", lambda: sorted(e.get("hostname", "") for e in endpoints(cluster, "db")) == ["db-0", "db-1"]
    )


async def test_a_service_without_pods_has_one_empty_slice(cluster):
    await cluster.create_service()
    await cluster.eventually("endpoints", lambda: cluster.mirror.get(ENDPOINTS, "web", namespace="default"))
    await cluster.eventually("slice", lambda: slices(cluster))
    await cluster.settled()
    assert [item.get("endpoints") or [] for item in slices(cluster)] == [[]]


async def test_services_without_selector_are_left_alone(cluster):
    await cluster.create_service("external", selector=None)
    await cluster.settled()
    assert not slices(cluster, "external")
    assert cluster.mirror.get(ENDPOINTS, "external", namespace="default") is None


async def test_a_deleted_service_takes_its_endpoints_and_slices(cluster):
    await cluster.create_service()
    await cluster.create_deployment(replicas=1)
    await cluster.eventually("listed", lambda: addresses(cluster) and endpoints(cluster))

    await cluster.delete(SERVICES, "web")
    await cluster.eventually("slices gone", lambda: not slices(cluster))
    await cluster.eventually(
        "endpoints gone", lambda: cluster.mirror.get(ENDPOINTS, "web", namespace="default") is None
    )


async def test_relabelled_pods_move_between_services(cluster):
    await cluster.create_service()
    await cluster.create_service("debug")
    await cluster.create_deployment(replicas=1)
    await cluster.eventually("listed", lambda: addresses(cluster))
    (pod,) = cluster.pods()

    await cluster.patch(PODS, name_of(pod), {"metadata": {"labels": {"app": "debug"}}})
    await cluster.eventually("moved", lambda: addresses(cluster, service="debug") == pod_addresses([pod]))
    await cluster.eventually("left", lambda: not addresses(cluster) & pod_addresses([pod]))


async def test_large_services_fill_several_slices_and_a_change_rewrites_one(cluster):
    await cluster.create_service()
    await cluster.create_deployment(replicas=250)
    await cluster.eventually("all listed", lambda: len(endpoints(cluster)) == 250)
    await cluster.settled()
    assert sorted(len(item["endpoints"]) for item in slices(cluster)) == [50, 100, 100]
    versions = {name_of(item): item["metadata"]["resourceVersion"] for item in slices(cluster)}

    await cluster.nodes.set_phase(cluster.pods()[0], "Running", ready=False)
    await cluster.settled()
    changed = [item for item in slices(cluster) if versions[name_of(item)] != item["metadata"]["resourceVersion"]]
    assert len(changed) == 1


async def test_slices_that_are_no_longer_needed_go(cluster):
    await cluster.create_service()
    await cluster.create_deployment(replicas=150)
    await cluster.eventually("all listed", lambda: len(endpoints(cluster)) == 150)

    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 0}})
    await cluster.eventually("none listed", lambda: not endpoints(cluster))
    await cluster.settled()
    assert len(slices(cluster)) == 1
