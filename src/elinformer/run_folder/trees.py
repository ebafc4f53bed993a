"""State as JSON and tensors: nested dicts, lists and numbers without any object that could run on load."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

TENSOR, TUPLE, FLOAT = "$tensor", "$tuple", "$float"
"""Keys that stand for what JSON has no word for: a tensor kept elsewhere, a tuple, a number that is not finite."""


def split_tree(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """A nested state as a JSON document and its tensors by their path in it ("optimizer.state.bias.exp_avg").

    Raises:
        TypeError: Something other than dicts with text as keys, lists, tuples, tensors, numbers, text, None.
    """
    tensors: dict[str, Tensor] = {}
    return _document(tree, "", tensors), tensors


def join_tree(document: Any, tensors: dict[str, Tensor]) -> Any:
    """The state that `split_tree` took apart.

    Raises:
        KeyError: A tensor is missing.
    """
    if isinstance(document, list):
        return [join_tree(item, tensors) for item in document]
    if not isinstance(document, dict):
        return document
    if TENSOR in document:
        return tensors[document[TENSOR]]
    if TUPLE in document:
        return tuple(join_tree(item, tensors) for item in document[TUPLE])
    if FLOAT in document:
        return float(document[FLOAT])
    return {key: join_tree(value, tensors) for key, value in document.items()}


def _document(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        tensors[path] = tree
        return {TENSOR: path}
    if isinstance(tree, dict):
        return {_text(key, path): _document(value, _below(path, key), tensors) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_document(item, _below(path, i), tensors) for i, item in enumerate(tree)]
        return {TUPLE: items} if isinstance(tree, tuple) else items
    if isinstance(tree, float) and not math.isfinite(tree):
        return {FLOAT: str(tree)}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"expected tensors, numbers and text in a state, got {type(tree).__name__} at {path!r}")


def _text(key: object, path: str) -> str:
    if not isinstance(key, str) or key in {TENSOR, TUPLE, FLOAT}:
        raise TypeError(f"expected names as keys of a state, got {key!r} at {path!r}")
    return key


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
