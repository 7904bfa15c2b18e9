"""Reads of a certain version: exactly that, or one that is not older."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

LATER = 99_999_999


def names(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


@pytest.fixture
def path(api, namespace):
    """Where the ConfigMaps c, a and b were made, in this order."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("c", "a", "b"):
        assert api.post(path, json={"metadata": {"name": name}, "data": {"of": name}}).status_code == 201
    return path


def version_of(api, path):
    return api.get(path).json()["metadata"]["resourceVersion"]


def test_a_list_shows_the_past_if_asked_for_exactly_that(api, path):
    before = version_of(api, path)
    api.delete(f"{path}/b")
    api.put(f"{path}/a", json={"metadata": {"name": "a"}, "data": {"of": "later"}})

    past = api.get(path, params={"resourceVersion": before, "resourceVersionMatch": "Exact"})

    assert names(past) == ["a", "b", "c"]
    assert past.json()["items"][0]["data"] == {"of": "a"}
    assert past.json()["metadata"] == {"resourceVersion": before}


def test_a_limited_list_at_a_version_shows_exactly_that(api, path):
    before = version_of(api, path)
    api.delete(f"{path}/a")

    past = api.get(path, params={"resourceVersion": before, "limit": 1})

    assert names(past) == ["a"]
    assert past.json()["metadata"]["resourceVersion"] == before


@pytest.mark.parametrize("match", [{}, {"resourceVersionMatch": "NotOlderThan"}])
def test_a_list_at_a_version_is_at_least_as_new(api, path, match):
    before = version_of(api, path)
    api.delete(f"{path}/b")
    after = version_of(api, path)

    listed = api.get(path, params={"resourceVersion": after, **match})

    assert names(listed) == ["a", "c"]
    assert int(listed.json()["metadata"]["resourceVersion"]) >= int(after) > int(before)


def test_a_limited_list_not_older_than_a_version_is_a_page(api, path):
    listed = api.get(
        path, params={"resourceVersion": version_of(api, path), "resourceVersionMatch": "NotOlderThan", "limit": 2}
    )

    assert names(listed) == ["a", "b"]
    assert listed.json()["metadata"]["remainingItemCount"] == 1


@pytest.mark.parametrize("match", [{}, {"resourceVersionMatch": "NotOlderThan"}])
def test_a_list_at_version_0_pays_no_heed_to_a_limit(api, path, match):
    # Version 0 may come from a cache that lags behind; only a later version says that it does not.
    api.get(path, params={"resourceVersion": version_of(api, path)})

    listed = api.get(path, params={"resourceVersion": "0", "limit": 1, **match})

    assert names(listed) == ["a", "b", "c"]
    assert "continue" not in listed.json()["metadata"]


def assert_is_ahead(answer, retry_after_seconds):
    status = answer.json()
    assert (answer.status_code, status["reason"]) == (504, "Timeout")
    assert status["message"].startswith(f"Timeout: Too large resource version: {LATER}, current: ")
    assert status["details"]["causes"] == [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    ]
    assert status["details"].get("retryAfterSeconds") == retry_after_seconds
    assert answer.headers.get("retry-after") == (retry_after_seconds and str(retry_after_seconds))


@pytest.mark.parametrize("query", [{"limit": 1}, {"resourceVersionMatch": "Exact"}])
def test_a_list_at_exactly_a_version_to_come_is_refused(api, path, query):
    assert_is_ahead(api.get(path, params={"resourceVersion": LATER, **query}), None)


def test_reads_that_must_not_be_older_than_a_version_to_come_are_to_be_tried_again(api, path):
    # A real server waits for 3 seconds, for each of them.
    wanted = [(path, {}), (path, {"resourceVersionMatch": "NotOlderThan", "limit": 1}), (f"{path}/a", {})]
    with ThreadPoolExecutor() as threads:
        asked = [threads.submit(api.get, where, params={"resourceVersion": LATER, **query}) for where, query in wanted]

    for answer in asked:
        assert_is_ahead(answer.result(), 1)


@pytest.mark.parametrize("version", ["0", "1"])
def test_an_object_can_be_read_at_any_version_that_was(api, path, version):
    api.get(path, params={"resourceVersion": version_of(api, path)})

    assert api.get(f"{path}/a", params={"resourceVersion": version}).json()["data"] == {"of": "a"}


@pytest.mark.parametrize("version", ["abc", "-1", "1.0"])
def test_a_version_that_is_no_number_is_refused(api, path, version):
    listed = api.get(path, params={"resourceVersion": version})
    read = api.get(f"{path}/a", params={"resourceVersion": version})

    why = f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
    assert (listed.status_code, listed.json()["reason"]) == (400, "BadRequest")
    assert listed.json()["message"] == f"invalid resource version: {why}"
    assert (read.status_code, read.json()["message"]) == (500, why)
    assert "reason" not in read.json()


def test_a_version_that_is_forgotten_is_expired_if_it_must_be_that(api, path, server):
    before = version_of(api, path)
    api.delete(f"{path}/a")
    server.forget_history()

    refused = api.get(path, params={"resourceVersion": before, "resourceVersionMatch": "Exact"})
    listed = api.get(path, params={"resourceVersion": before, "resourceVersionMatch": "NotOlderThan"})

    assert (refused.status_code, refused.json()["reason"]) == (410, "Expired")
    assert refused.json()["message"] == "The resourceVersion for the provided list is too old."
    assert names(listed) == ["b", "c"]


FORBIDDEN = "FieldValueForbidden"


@pytest.mark.parametrize(
    ("query", "field", "reason", "why"),
    [
        (
            {"resourceVersionMatch": "Exact"},
            "resourceVersionMatch",
            FORBIDDEN,
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            "resourceVersionMatch",
            FORBIDDEN,
            'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            {"resourceVersionMatch": "Nearly", "resourceVersion": "1"},
            "resourceVersionMatch",
            "FieldValueNotSupported",
            'Unsupported value: "Nearly": supported values: "Exact", "NotOlderThan", ""',
        ),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "5", "continue": "x"},
            "resourceVersionMatch",
            FORBIDDEN,
            "Forbidden: resourceVersionMatch is forbidden when continue is provided",
        ),
        (
            {"sendInitialEvents": "true"},
            "sendInitialEvents",
            FORBIDDEN,
            "Forbidden: sendInitialEvents is forbidden for list",
        ),
    ],
)
def test_list_options_that_contradict_each_other_are_invalid(api, path, *, query, field, reason, why):
    answer = api.get(path, params=query)

    status = answer.json()
    assert (answer.status_code, status["reason"]) == (422, "Invalid")
    assert status["message"] == f'ListOptions.meta.k8s.io "" is invalid: {field}: {why}'
    assert status["details"] == {
        "group": "meta.k8s.io",
        "kind": "ListOptions",
        "causes": [{"reason": reason, "message": why, "field": field}],
    }


@pytest.mark.parametrize("query", [{"timeoutSeconds": "-1"}, {"watch": "false"}, {"watch": "0"}])
def test_list_options_that_change_nothing_are_let_through(api, path, query):
    assert names(api.get(path, params=query)) == ["a", "b", "c"]


def test_seconds_that_are_no_number_are_refused(api, path):
    answer = api.get(path, params={"timeoutSeconds": "soon"})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == 'strconv.ParseInt: parsing "soon": invalid syntax'
