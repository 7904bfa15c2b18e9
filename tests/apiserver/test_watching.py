"""Watches: where they begin, what they show, and how they end."""

from __future__ import annotations

import json
import re

import pytest

from tests.apiserver.drafts import HOLD, MERGE, bind, config_map, delete, pod, release

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
METADATA = {"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
INITIAL = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
END_OF_INITIAL = {"k8s.io/initial-events-end": "true"}


@pytest.fixture
def path(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


def create(api, path, name, **metadata):
    answer = api.post(path, json=config_map(name, **metadata))
    assert answer.status_code == 201
    return answer.json()


def version_of(api, path):
    return api.get(path).json()["metadata"]["resourceVersion"]


def version_in(found):
    return found["metadata"]["resourceVersion"]


def kinds_and_names(events):
    return [(kind, found["metadata"]["name"]) for kind, found in events]


@pytest.mark.parametrize("version", [{}, {"resourceVersion": "0"}], ids=["none", "zero"])
def test_a_watch_without_version_begins_with_what_there_is(api, path, watch, version):
    made = [create(api, path, name) for name in ("a", "b")]

    with watch(path, **version) as events:
        seen = [events.next(), events.next()]
        later = create(api, path, "c")
        last = events.next()

    assert seen == [("ADDED", {**found}) for found in made]
    assert last == ("ADDED", later)


def test_a_watch_resumes_after_its_version(api, path, watch):
    first = create(api, path, "a")
    create(api, path, "b")
    api.patch(f"{path}/a", json={"data": {"key": "value"}}, headers=MERGE)
    api.delete(f"{path}/b")

    with watch(path, resourceVersion=version_in(first)) as events:
        seen = [events.next() for _ in range(3)]

    assert kinds_and_names(seen) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [int(version_in(found)) for _, found in seen]
    assert versions == sorted(versions)
    assert versions[0] > int(version_in(first))


def test_a_watch_shows_only_its_namespace(api, path, watch):
    version = version_of(api, path)
    elsewhere = "/api/v1/namespaces/default/configmaps"
    api.post(elsewhere, json=config_map("elsewhere"))
    create(api, path, "here")
    api.delete(f"{elsewhere}/elsewhere")

    with watch(path, resourceVersion=version) as events:
        seen = events.next()
    with watch("/api/v1/configmaps", resourceVersion=version) as events:
        everywhere = [events.next() for _ in range(3)]

    assert kinds_and_names([seen]) == [("ADDED", "here")]
    assert kinds_and_names(everywhere) == [("ADDED", "elsewhere"), ("ADDED", "here"), ("DELETED", "elsewhere")]


def test_the_version_of_a_list_is_where_a_watch_goes_on(api, path, watch):
    create(api, path, "a")
    version = version_of(api, path)

    with watch(path, resourceVersion=version) as events:
        create(api, path, "b")
        seen = events.next()

    assert kinds_and_names([seen]) == [("ADDED", "b")]


def test_a_deletion_shows_the_object_as_it_was_last_stored(api, path, watch):
    made = create(api, path, "a", labels={"app": "web"})

    with watch(path, resourceVersion=version_in(made)) as events:
        api.delete(f"{path}/a")
        kind, found = events.next()

    assert kind == "DELETED"
    assert int(version_in(found)) > int(version_in(made))
    found["metadata"]["resourceVersion"] = version_in(made)
    assert found == made


def test_the_end_of_an_object_shows_it_with_its_last_finalizer(api, path, watch):
    made = create(api, path, "a", finalizers=[HOLD])

    with watch(path, resourceVersion=version_in(made)) as events:
        api.delete(f"{path}/a")
        body = {"metadata": {"finalizers": None}, "data": {"late": "change"}}
        api.patch(f"{path}/a", json=body, headers=MERGE)
        (marked_kind, marked), (ended_kind, ended) = events.next(), events.next()

    assert (marked_kind, ended_kind) == ("MODIFIED", "DELETED")
    assert ended["metadata"]["finalizers"] == marked["metadata"]["finalizers"] == [HOLD]
    assert ended["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    assert "data" not in ended
    assert int(version_in(ended)) > int(version_in(marked))


def test_the_grace_of_a_pod_shrinks_to_nothing_before_it_goes(api, pods, watch):
    version = version_of(api, pods)
    api.post(pods, json=pod("one"))
    bind(api, pods, "one")
    api.delete(f"{pods}/one")
    delete(api, f"{pods}/one", gracePeriodSeconds=0)

    with watch(pods, resourceVersion=version) as events:
        seen = [events.next() for _ in range(5)]

    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    assert [found["metadata"].get("deletionGracePeriodSeconds") for _, found in seen] == [None, None, 30, 0, 0]
    assert [found["metadata"]["generation"] for _, found in seen] == [1, 1, 2, 2, 2]


def test_an_object_enters_and_leaves_a_label_selection(api, path, watch):
    made = create(api, path, "a", labels={"app": "web"})
    with watch(path, labelSelector="app=web", resourceVersion=version_in(made)) as events:
        body = {"metadata": {"labels": {"app": "db"}}, "data": {"key": "value"}}
        changed = api.patch(f"{path}/a", json=body, headers=MERGE).json()
        left_kind, left = events.next()
        back = api.patch(f"{path}/a", json={"metadata": {"labels": {"app": "web"}}}, headers=MERGE).json()
        returned = events.next()
        api.delete(f"{path}/a")
        gone_kind, _ = events.next()

    assert left_kind == "DELETED"
    assert left["metadata"]["labels"] == {"app": "web"}
    assert "data" not in left
    assert version_in(left) == version_in(changed)
    assert returned == ("ADDED", back)
    assert gone_kind == "DELETED"


def test_a_pod_enters_the_selection_of_its_node_by_being_bound(api, pods, watch):
    version = version_of(api, pods)
    api.post(pods, json=pod("one"))
    bind(api, pods, "one")

    with watch(pods, fieldSelector="spec.nodeName=somewhere", resourceVersion=version) as events:
        bound_kind, bound = events.next()
    with watch(pods, fieldSelector="spec.nodeName=", resourceVersion=version) as events:
        (new_kind, new), (left_kind, left) = events.next(), events.next()

    assert (bound_kind, bound["spec"]["nodeName"]) == ("ADDED", "somewhere")
    assert (new_kind, left_kind) == ("ADDED", "DELETED")
    assert "nodeName" not in new["spec"]
    assert "nodeName" not in left["spec"]
    assert version_in(left) == version_in(bound)


def test_a_watch_of_one_name_sees_no_other(api, path, watch):
    version = version_of(api, path)
    for name in ("one", "two"):
        create(api, path, name)

    with watch(path, fieldSelector="metadata.name=two", resourceVersion=version) as events:
        seen = events.next()

    assert kinds_and_names([seen]) == [("ADDED", "two")]


def test_one_object_is_not_watched_but_got(api, path):
    made = create(api, path, "a")

    answer = api.get(f"{path}/a", params={"watch": "true"})

    assert answer.status_code == 200
    assert answer.json() == made


def test_initial_events_end_with_a_marked_bookmark(api, path, watch):
    made = [create(api, path, name) for name in ("a", "b")]

    with watch(path, **INITIAL) as events:
        seen = [events.next(), events.next()]
        kind, mark = events.next()
        create(api, path, "c")
        later = events.next()

    assert seen == [("ADDED", found) for found in made]
    assert (kind, mark["kind"], mark["apiVersion"]) == ("BOOKMARK", "ConfigMap", "v1")
    assert mark["metadata"]["annotations"] == END_OF_INITIAL
    assert set(mark["metadata"]) == {"annotations", "resourceVersion"}
    assert int(version_in(mark)) >= int(version_in(made[-1]))
    assert kinds_and_names([later]) == [("ADDED", "c")]


def test_initial_events_without_bookmarks_are_not_marked(api, path, watch):
    create(api, path, "a")
    query = {name: value for name, value in INITIAL.items() if name != "allowWatchBookmarks"}

    with watch(path, **query) as events:
        events.next()
        create(api, path, "b")
        second = events.next()

    assert kinds_and_names([second]) == [("ADDED", "b")]


def test_initial_events_come_whatever_the_version(api, path, watch):
    made = [create(api, path, name) for name in ("a", "b")]

    with watch(path, **INITIAL, resourceVersion=version_in(made[1])) as events:
        seen = [events.next() for _ in range(3)]

    assert [kind for kind, _ in seen] == ["ADDED", "ADDED", "BOOKMARK"]


def test_initial_events_may_be_refused(api, path, watch):
    create(api, path, "a")

    with watch(path, sendInitialEvents="false", resourceVersionMatch="NotOlderThan") as events:
        create(api, path, "b")
        seen = events.next()

    assert kinds_and_names([seen]) == [("ADDED", "b")]


def test_a_watch_from_nowhere_marks_the_end_of_what_there_was_too(api, path, watch):
    create(api, path, "a")

    with watch(path, allowWatchBookmarks="true") as events:
        events.next()
        kind, mark = events.next()

    assert (kind, mark["metadata"]["annotations"]) == ("BOOKMARK", END_OF_INITIAL)


FORBIDDEN = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
CONTINUED = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
UNASKED = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        ({"sendInitialEvents": "true"}, [FORBIDDEN]),
        (
            {"sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
            [FORBIDDEN, 'Unsupported value: "Exact": supported values: "NotOlderThan"'],
        ),
        ({"resourceVersionMatch": "NotOlderThan"}, [UNASKED]),
        ({"continue": "abc"}, [CONTINUED]),
        ({**INITIAL, "continue": "abc"}, [CONTINUED]),
        ({"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"}, [UNASKED]),
    ],
)
def test_a_version_match_belongs_to_initial_events(api, path, query, messages):
    answer = api.get(path, params={"watch": "true", "timeoutSeconds": 1, **query})

    status = answer.json()
    assert (answer.status_code, status["reason"]) == (422, "Invalid")
    assert status["message"].startswith('ListOptions.meta.k8s.io "" is invalid: ')
    assert {key: status["details"][key] for key in ("group", "kind")} == {
        "group": "meta.k8s.io",
        "kind": "ListOptions",
    }
    causes = status["details"]["causes"]
    assert [(cause["field"], cause["message"]) for cause in causes] == [("resourceVersionMatch", m) for m in messages]


@pytest.mark.parametrize("version", ["abc", "-1", "1.5"])
def test_a_version_that_is_no_number_is_an_error_without_reason(api, path, version):
    answer = api.get(path, params={"watch": "true", "resourceVersion": version})

    status = answer.json()
    assert answer.status_code == status["code"] == 500
    why = f'strconv.ParseUint: parsing "{version}": invalid syntax'
    assert status["message"] == f'resourceVersion: Invalid value: "{version}": {why}'
    assert "reason" not in status


@pytest.mark.parametrize("parameter", ["timeoutSeconds", "limit"])
@pytest.mark.parametrize("value", ["soon", "1.5"])
def test_a_number_is_a_number(api, path, parameter, value):
    answer = api.get(path, params={"watch": "true", parameter: value})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == f'strconv.ParseInt: parsing "{value}": invalid syntax'


def test_a_watch_of_an_unknown_resource_is_not_found(api, namespace):
    answer = api.get(f"/api/v1/namespaces/{namespace}/riddles", params={"watch": "true"})

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


def test_a_version_that_is_yet_to_come_is_waited_for(api, path, watch):
    create(api, path, "a")
    ahead = int(version_of(api, path)) + 1_000_000

    with watch(path, resourceVersion=str(ahead), timeoutSeconds=1) as events:
        create(api, path, "b")
        seen = events.until_end()

    assert events.response.status_code == 200
    assert seen == []


def test_a_watch_ends_when_its_time_is_over(api, path, watch):
    version = version_of(api, path)
    with watch(path, timeoutSeconds=1, resourceVersion=version, allowWatchBookmarks="true") as events:
        headers, seen = events.response.headers, events.until_end()

    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-cache, private"
    assert seen == []


def test_changes_of_events_are_forgotten_with_the_history(api, namespace, server, watch):
    path = f"/api/v1/namespaces/{namespace}/events"
    body = {"metadata": {"name": "e"}, "involvedObject": {"namespace": namespace, "kind": "Pod", "name": "p"}}
    version = version_of(api, path)
    assert api.post(path, json=body).status_code == 201
    api.delete(f"{path}/e")
    server.forget_history()

    with watch(path, resourceVersion=version) as events:
        seen = events.until_end()

    assert events.response.status_code == 200
    ((kind, status),) = seen
    assert (kind, status["kind"], status["code"], status["reason"]) == ("ERROR", "Status", 410, "Expired")


def test_a_version_older_than_a_resource_is_told_inside_the_watch(api, watch):
    group = "expiring.example.org"
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {
        "group": group,
        "scope": "Cluster",
        "names": {"plural": "relics", "singular": "relic", "kind": "Relic", "listKind": "RelicList"},
        "versions": [version],
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"relics.{group}"},
        "spec": spec,
    }
    with watch(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", fieldSelector=f"metadata.name=relics.{group}"
    ) as changes:
        assert api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition).status_code == 201
        while not is_established(changes.next()[1]):
            pass
    served_at = f"/apis/{group}/v1/relics"
    made = api.post(served_at, json={"apiVersion": f"{group}/v1", "kind": "Relic", "metadata": {"name": "a"}})
    assert made.status_code == 201

    with watch(served_at, resourceVersion="1") as events:
        ((kind, status),) = events.until_end()

    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    assert re.fullmatch(r"too old resource version: 1 \(\d+\)", status["message"])


def is_established(definition):
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def test_metadata_can_be_watched_alone(api, path):
    made = create(api, path, "a", labels={"app": "web"})
    lines = read_lines(api, path, METADATA, count=2)

    assert lines[0]["type"] == "ADDED"
    assert lines[0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": made["metadata"],
    }
    assert (lines[1]["type"], lines[1]["object"]["kind"]) == ("BOOKMARK", "PartialObjectMetadata")
    assert lines[1]["object"]["metadata"]["annotations"] == END_OF_INITIAL


def test_a_watched_table_has_its_columns_but_once(api, path):
    for name in ("a", "b"):
        create(api, path, name)
    first, second, mark = read_lines(api, path, TABLE, count=3)

    assert [line["type"] for line in (first, second, mark)] == ["ADDED", "ADDED", "BOOKMARK"]
    assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert second["object"]["columnDefinitions"] is None
    (row,) = second["object"]["rows"]
    assert row["cells"][:2] == ["b", 0]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["resourceVersion"] == second["object"]["metadata"]["resourceVersion"]
    (row,) = mark["object"]["rows"]
    assert row["object"]["metadata"]["annotations"] == END_OF_INITIAL


def read_lines(api, path, headers, *, count):

    with api.stream("GET", path, params={"watch": "true", **INITIAL}, headers=headers) as response:
        lines = response.iter_lines()
        return [json.loads(next(lines)) for _ in range(count)]


def test_a_watch_in_no_known_form_is_not_acceptable(api, path):
    answer = api.get(path, params={"watch": "true"}, headers={"accept": "text/html"})

    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")


def test_released_objects_end_in_the_order_of_their_release(api, path, watch):
    for name in ("a", "b"):
        create(api, path, name, finalizers=[HOLD])
        api.delete(f"{path}/{name}")
    version = version_of(api, path)
    for name in ("b", "a"):
        release(api, f"{path}/{name}")

    with watch(path, resourceVersion=version) as events:
        seen = [events.next(), events.next()]

    assert kinds_and_names(seen) == [("DELETED", "b"), ("DELETED", "a")]
