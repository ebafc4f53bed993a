"""State taken apart into JSON and tensors, and put together again."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elinformer.run_folder.trees import join_tree, split_tree

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.floats(width=32)).map(torch.tensor)
)
NAMES = st.text().filter(lambda name: not name.startswith("$"))
TREES = st.recursive(
    LEAVES, lambda tree: st.lists(tree) | st.lists(tree).map(tuple) | st.dictionaries(NAMES, tree), max_leaves=20
)


def assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        assert_equal(list(one.values()), list(other.values()))
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for item, copy in zip(one, other, strict=True):
            assert_equal(item, copy)
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    elif isinstance(one, float) and math.isnan(one):
        assert math.isnan(other)
    else:
        assert one == other


@given(TREES)
def test_a_state_comes_back_from_json_and_tensors_as_it_was(tree: Any) -> None:
    document, tensors = split_tree(tree)
    assert_equal(join_tree(json.loads(json.dumps(document, allow_nan=False)), tensors), tree)


def test_tensors_are_named_by_their_path() -> None:
    document, tensors = split_tree({"optimizer": {"bias": [torch.zeros(2), 3]}})
    assert document == {"optimizer": {"bias": [{"$tensor": "optimizer.bias.0"}, 3]}}
    assert list(tensors) == ["optimizer.bias.0"]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": {"b": object()}}, "got object at 'a.b'"),
        ({"a": [lambda: None]}, "got function at 'a.0'"),
        ({"a": {1: 2}}, "expected names as keys of a state, got 1 at 'a'"),
        ({"$tensor": 1}, "got '\\$tensor'"),
    ],
)
def test_what_would_need_a_pickle_is_refused(tree: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        split_tree(tree)
