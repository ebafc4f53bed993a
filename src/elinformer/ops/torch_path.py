"""The forward and backward of EALA in plain PyTorch, on any device: what runs where no kernel does.

Both take raw queries and keys of shape (*lead, L, E) with one `lead`; `relu` chooses phi (False = identity). Half
precision is computed in float32. Results are contiguous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.ops.causal import causal_forward, causal_gradients
from elinformer.ops.linear import KeyStatistics, apply_statistics, gradients, key_statistics

if TYPE_CHECKING:
    from torch import Tensor


def forward(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float, relu: bool, causal: bool
) -> tuple[Tensor, Tensor]:
    """The output and the packed state of the keys; a causal one has no state worth keeping, (*lead, 0)."""
    q, k, v = _prepared(query, key, value, mask, scale=scale, relu=relu)
    if causal:
        return causal_forward(q, k, v, mask).to(query.dtype).contiguous(), q.new_empty((*q.shape[:-2], 0))
    keys = key_statistics(k, v, mask)
    return apply_statistics(q, keys).to(query.dtype).contiguous(), keys.pack()


def backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    state: Tensor,
    scale: float,
    relu: bool,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to query, key and value from the inputs and the state alone."""
    q, k, v = _prepared(query, key, value, mask, scale=scale, relu=relu)
    g = grad.to(q.dtype)
    if causal:
        grad_q, grad_k, grad_v = causal_gradients(g, q, k, v, mask)
    else:
        grad_q, grad_k, grad_v = gradients(g, q, k, v, KeyStatistics.unpack(state, k.shape[-1], v.shape[-1]), mask=mask)
    grad_q = grad_q * scale
    if relu:
        grad_q, grad_k = grad_q * (query > 0), grad_k * (key > 0)
    dtype = query.dtype
    return grad_q.to(dtype).contiguous(), grad_k.to(dtype).contiguous(), grad_v.to(dtype).contiguous()


def empty_output(query: Tensor, value: Tensor) -> Tensor:
    """An output as `forward` lays it out: contiguous."""
    return query.new_empty((*query.shape[:-1], value.shape[-1]))


def empty_gradient(x: Tensor) -> Tensor:
    """A gradient of `x` as `backward` lays it out: contiguous."""
    return x.new_empty(x.shape)


def _prepared(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled phi(query), phi(key) and value in the dtype of the sums, masked keys and values zero."""
    if query.dtype in (torch.float16, torch.bfloat16):
        query, key, value = query.float(), key.float(), value.float()
    if mask is not None:  # what is masked may be anything, NaN too
        hidden = ~mask[..., None]  # (*lead, Lk, 1)
        key, value = key.masked_fill(hidden, 0), value.masked_fill(hidden, 0)
    if relu:
        query, key = query.relu(), key.relu()
    return query * scale, key, value
