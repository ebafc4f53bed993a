"""Forward and backward of EALA in plain PyTorch, on any device: the backend where no kernel runs.

Both take raw queries and keys of shape (*lead, L, E) with one `lead`; phi is "relu" or "identity". Half precision is
computed in float32. Results are contiguous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.ops.eala.causal import causal_forward, causal_gradients
from elinformer.ops.eala.statistics import (
    KeyStatistics,
    StateGradient,
    apply_statistics,
    empty_state,
    gradients,
    key_gradients,
    key_statistics,
    query_gradients,
)

if TYPE_CHECKING:
    from torch import Tensor


def forward(  # noqa: PLR0917 - the order of the operator's schema
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    feature_map: str,
    is_causal: bool,
) -> tuple[Tensor, Tensor]:
    """Return the output and the packed state of the keys; a causal call keeps no state, (*lead, 0)."""
    q, (k, v) = _queries(query, scale, feature_map), _keys(key, value, mask, feature_map)
    if is_causal:
        return causal_forward(q, k, v, mask).to(query.dtype).contiguous(), empty_state(key, value, is_causal=True)
    keys = key_statistics(k, v, mask)
    return apply_statistics(q, keys).to(query.dtype).contiguous(), keys.pack()


def backward(  # noqa: PLR0917 - the order of the operator's schema
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    state: Tensor,
    scale: float,
    feature_map: str,
    is_causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of query, key and value from the inputs and the state alone."""
    q, (k, v) = _queries(query, scale, feature_map), _keys(key, value, mask, feature_map)
    g = grad.to(q.dtype)
    if is_causal:
        grad_q, grad_k, grad_v = causal_gradients(g, q, k, v, mask)
    else:
        keys = KeyStatistics.unpack(state, k.shape[-1])
        grad_q, grad_k, grad_v = gradients(g, q, k, v, keys, mask=mask)
    grad_q = _of_query(grad_q, query, scale, feature_map)
    return grad_q, _of_key(grad_k, key, feature_map), grad_v.to(value.dtype).contiguous()


def gather(key: Tensor, value: Tensor, mask: Tensor | None, feature_map: str) -> Tensor:
    """Return the packed state of keys: the first half of `forward`, for keys in several places."""
    return key_statistics(*_keys(key, value, mask, feature_map), mask).pack()


def apply(query: Tensor, state: Tensor, scale: float, feature_map: str) -> Tensor:
    """Return the output of a packed state: the second half of `forward`."""
    keys = KeyStatistics.unpack(state, query.shape[-1])
    return apply_statistics(_queries(query, scale, feature_map), keys).to(query.dtype).contiguous()


def query_backward(grad: Tensor, query: Tensor, state: Tensor, scale: float, feature_map: str) -> tuple[Tensor, Tensor]:
    """Return the gradient of the query and the packed one of the state: the first half of `backward`."""
    q, keys = _queries(query, scale, feature_map), KeyStatistics.unpack(state, query.shape[-1])
    grad_q, of_state = query_gradients(grad.to(q.dtype), q, keys)
    return _of_query(grad_q, query, scale, feature_map), of_state.pack()


def key_backward(  # noqa: PLR0917 - as the operator's schema
    key: Tensor, value: Tensor, mask: Tensor | None, state: Tensor, of_state: Tensor, feature_map: str
) -> tuple[Tensor, Tensor]:
    """Return the gradients of key and value from the packed one of the state: the second half of `backward`."""
    keys, sums = KeyStatistics.unpack(state, key.shape[-1]), StateGradient.unpack(of_state, key.shape[-1])
    grad_k, grad_v = key_gradients(sums, *_keys(key, value, mask, feature_map), keys, mask=mask)
    return _of_key(grad_k, key, feature_map), grad_v.to(value.dtype).contiguous()


def empty_output(query: Tensor, value: Tensor) -> Tensor:
    """Return an output as `forward` lays it out: contiguous."""
    return query.new_empty((*query.shape[:-1], value.shape[-1]))


def empty_gradient(x: Tensor) -> Tensor:
    """Return a gradient of `x` as `backward` lays it out: contiguous."""
    return x.new_empty(x.shape)


def _queries(query: Tensor, scale: float, feature_map: str) -> Tensor:
    """Return scaled phi(query) in the dtype of the sums."""
    query = query.to(torch.promote_types(query.dtype, torch.float32))
    return (query.relu() if feature_map == "relu" else query) * scale


def _keys(key: Tensor, value: Tensor, mask: Tensor | None, feature_map: str) -> tuple[Tensor, Tensor]:
    """Return phi(key) and value in the dtype of the sums, masked keys and values zero."""
    dtype = torch.promote_types(key.dtype, torch.float32)
    key, value = key.to(dtype), value.to(dtype)
    if mask is not None:  # masked keys may hold anything, NaN too
        hidden = ~mask[..., None]  # (*lead, Lk, 1)
        key, value = key.masked_fill(hidden, 0), value.masked_fill(hidden, 0)
    return (key.relu() if feature_map == "relu" else key), value


def _of_query(grad: Tensor, query: Tensor, scale: float, feature_map: str) -> Tensor:
    """Return the gradient of a query from the gradient of its scaled phi."""
    grad = grad * scale
    return (grad * (query > 0) if feature_map == "relu" else grad).to(query.dtype).contiguous()


def _of_key(grad: Tensor, key: Tensor, feature_map: str) -> Tensor:
    """Return the gradient of a key from the gradient of its phi."""
    return (grad * (key > 0) if feature_map == "relu" else grad).to(key.dtype).contiguous()
