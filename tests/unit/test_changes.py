"""What was changed, as evidence: with before and after, and never a secret."""

import json

import pytest

from migration.changes import LONGEST_VALUE, bounded, checksum, differences, is_named, redacted, without_server_fields

HIDDEN = "hunter2-hunter2"


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({"spec": {"password": HIDDEN}}, id="named so"),
        pytest.param({"spec": {"cloud": {"openstack": {"applicationCredentialSecret": HIDDEN}}}}, id="deep"),
        pytest.param({"spec": {"env": [{"name": "DB_PASSWORD", "value": HIDDEN}]}}, id="an environment variable"),
        pytest.param({"spec": {"tokens": [{"id": HIDDEN}]}}, id="under a name that says it"),
        pytest.param(
            {"metadata": {"annotations": {"values": json.dumps({"tls": {"caKey": HIDDEN}})}}}, id="JSON in a text"
        ),
        pytest.param({"metadata": {"annotations": {"v": "{" + HIDDEN}}}, id="JSON that is broken"),
        pytest.param({"spec": {"valuesBlock": f"a: {HIDDEN}"}}, id="YAML in a text"),
        pytest.param({"spec": {"url": f"https://me:{HIDDEN}@registry.example.test/x"}}, id="in an address"),
        pytest.param({"spec": {"args": [f"Bearer {HIDDEN}"]}}, id="a header"),
        pytest.param({"data": {"tls.key": HIDDEN}}, id="a file's name"),
        pytest.param({"spec": {"note": f"-----BEGIN PRIVATE KEY-----{HIDDEN}"}}, id="PEM"),
    ],
)
def test_what_may_be_confidential_is_a_checksum(found):
    shown = json.dumps(redacted(found, is_secret=False))

    assert HIDDEN not in shown
    assert "sha256:" in shown


def test_of_a_secret_only_the_keys_are_shown():
    shown = redacted({"metadata": {"name": "a"}, "data": {"x": HIDDEN}, "stringData": {"y": HIDDEN}}, is_secret=True)

    assert HIDDEN not in json.dumps(shown)
    assert shown["data"]["x"] == checksum(HIDDEN)
    assert shown["stringData"].keys() == {"y"}


def test_what_people_have_to_read_stays_readable():
    found = {
        "spec": {
            "cniPlugin": {"type": "canal", "version": "v3.30"},
            "taints": [{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}],
            "automountServiceAccountToken": False,
        }
    }

    assert redacted(found, is_secret=False) == found


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("replace", "/a", 1, 2)]),
        ({}, {"a/b~c": 1}, [("add", "/a~1b~0c", None, 1)]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, [("remove", "/a/b", 1, None)]),
        ({"a": [1, 2]}, {"a": [1]}, [("replace", "/a", [1, 2], [1])]),
        ({"a": None}, {}, [("remove", "/a", None, None)]),
    ],
)
def test_differences_tell_exactly_what_is_another(before, after, expected):
    found = [(each.op, each.path, each.before, each.after) for each in differences(before, after)]

    assert found == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/spec/a", True),
        ("/spec/b/c", True),
        ("/spec/b", True),
        ("/spec/d", False),
        ("/metadata", False),
        ("/x~1y", True),
    ],
)
def test_what_a_patch_names_is_told_from_what_others_did(path, expected):
    assert is_named({"spec": {"a": 1, "b": {"c": None}}, "x/y": 2}, path) is expected


def test_what_the_server_counts_is_no_change():
    written = {"metadata": {"name": "a", "resourceVersion": "7", "managedFields": [1]}, "spec": {}, "status": {"x": 1}}

    assert without_server_fields(written) == {"metadata": {"name": "a"}, "spec": {}}


def test_a_value_that_is_too_long_is_told_by_its_parts():
    shown = bounded({"short": 1, "long": ["x" * 10] * LONGEST_VALUE})

    assert shown["short"] == 1
    assert shown["long"].startswith("sha256:")
