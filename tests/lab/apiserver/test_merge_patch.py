"""RFC 7386 merge patches, for any JSON."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from lab.apiserver.patches.merge import merge_patch

keys = st.sampled_from(["a", "b", "c"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2)
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3))
objects = st.dictionaries(keys, documents, max_size=3)


@given(objects, objects)
def test_a_patch_applied_twice_is_applied_once(original, patch):
    once = merge_patch(original, patch)

    assert merge_patch(once, patch) == once


@given(objects, objects)
def test_patched_and_patch_are_left_alone(original, patch):
    before = copy.deepcopy((original, patch))

    merge_patch(original, patch)

    assert (original, patch) == before


@given(objects, objects)
def test_only_named_fields_change(original, patch):
    patched = merge_patch(original, patch)

    assert {k: v for k, v in patched.items() if k not in patch} == {k: v for k, v in original.items() if k not in patch}
    assert not any(key in patched for key, value in patch.items() if value is None)
