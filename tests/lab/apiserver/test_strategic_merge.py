"""Strategic merge patches, rule by rule."""

from __future__ import annotations

import pytest

from lab.apiserver.patches.strategic import strategic_merge_patch


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": None, "c": 3}, {"a": 1, "c": 3}, id="null removes"),
        pytest.param({"args": ["a"]}, {"args": ["b"]}, {"args": ["b"]}, id="plain lists are replaced"),
        pytest.param(
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "b"}]},
            id="atomic",
        ),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            id="merge by name",
        ),
        pytest.param(
            {"volumes": [{"name": "a"}, {"name": "b"}]},
            {"volumes": [{"name": "a", "$patch": "delete"}]},
            {"volumes": [{"name": "b"}]},
            id="delete an element",
        ),
        pytest.param(
            {"containers": [{"name": "a"}]},
            {"containers": [{"name": "b"}, {"$patch": "replace"}]},
            {"containers": [{"name": "b"}]},
            id="replace a list",
        ),
        pytest.param(
            {"strategy": {"a": 1}}, {"strategy": {"$patch": "replace", "b": 2}}, {"strategy": {"b": 2}}, id="map"
        ),
        pytest.param(
            {"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}},
            {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
            {"strategy": {"type": "Recreate"}},
            id="retain keys",
        ),
        pytest.param(
            {"finalizers": ["a", "b"]},
            {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]},
            {"finalizers": ["c", "b"]},
            id="primitive list",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "x": 1}]},
            {"containers": [{"name": "b", "x": 1}, {"name": "a"}]},
            id="order",
        ),
        pytest.param(
            {"ports": [{"containerPort": 80, "name": "a"}]},
            {"ports": [{"containerPort": 80, "name": "b"}]},
            {"ports": [{"containerPort": 80, "name": "b"}]},
            id="container ports",
        ),
        pytest.param(
            {"conditions": [{"type": "Ready", "status": "False"}]},
            {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}]},
            {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}]},
            id="conditions",
        ),
    ],
)
def test_strategic_merge(original, patch, result):
    assert strategic_merge_patch(original, patch) == result


def test_the_original_is_left_alone():
    original = {"env": [{"name": "A", "value": "1"}]}

    strategic_merge_patch(original, {"env": [{"name": "A", "value": "2"}]})

    assert original == {"env": [{"name": "A", "value": "1"}]}
