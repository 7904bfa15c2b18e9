"""Events of core/v1: where they may lie, and how they are found."""

from __future__ import annotations

import pytest

from tests.apiserver.drafts import cause_of


@pytest.fixture
def path(namespace):
    return f"/api/v1/namespaces/{namespace}/events"


@pytest.fixture
def events(api, namespace, path):
    told = [
        ("killed", "p", "Killed", "Warning"),
        ("pulled", "p", "Pulled", "Normal"),
        ("other", "q", "Killed", "Warning"),
    ]
    for name, about, reason, kind in told:
        assert api.post(path, json=event(namespace, name, about, reason=reason, type=kind)).status_code == 201
    return path


def event(namespace, name, about, **more):
    involved = {"apiVersion": "v1", "kind": "Pod", "name": about, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": involved, **more}


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("involvedObject.name=p", ["killed", "pulled"]),
        ("involvedObject.name=p,type=Warning", ["killed"]),
        ("reason=Killed", ["killed", "other"]),
        ("reason!=Killed", ["pulled"]),
        ("involvedObject.kind=Node", []),
    ],
)
def test_events_are_found_by_what_they_are_about(api, events, selector, found):
    listed = api.get(events, params={"fieldSelector": selector}).json()["items"]

    assert sorted(item["metadata"]["name"] for item in listed) == sorted(found)


@pytest.mark.parametrize("elsewhere", ["other", ""])
def test_an_event_lies_where_what_it_is_about_lies(api, path, elsewhere):
    answer = api.post(path, json=event(elsewhere, "astray", "p"))

    message = f'Invalid value: "{elsewhere}": does not match event.namespace'
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"] == f'Event "astray" is invalid: involvedObject.namespace: {message}'
    assert cause_of(answer) == {"reason": "FieldValueInvalid", "message": message, "field": "involvedObject.namespace"}


def test_an_event_about_the_whole_cluster_lies_in_default(api, namespace):
    body = event("", f"of-{namespace}", "n")

    answer = api.post("/api/v1/namespaces/default/events", json=body)

    assert answer.status_code == 201


def test_events_are_counted_up_in_place(api, events):
    found = api.get(f"{events}/killed").json()

    answer = api.put(f"{events}/killed", json={**found, "count": 2, "message": "again"})

    assert answer.status_code == 200
    assert (answer.json()["count"], answer.json()["message"]) == (2, "again")
