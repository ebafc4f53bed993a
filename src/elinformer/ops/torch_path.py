"""The forward and backward of EALA in plain PyTorch, on any device: what runs where no kernel does.

Both take raw queries and keys of shape (*lead, L, E) with one `lead`; phi is "relu" or "identity". Half precision is
computed in float32. Results are contiguous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.ops.causal import causal_forward, causal_gradients
from elinformer.ops.linear import KeyStatistics, apply_statistics, gradients, key_statistics

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
    """The output and the packed state of the keys; a causal one has no state worth keeping, (*lead, 0)."""
    q, k, v = _prepared(query, key, value, mask, scale=scale, feature_map=feature_map)
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
    """Gradients with respect to query, key and value from the inputs and the state alone."""
    q, k, v = _prepared(query, key, value, mask, scale=scale, feature_map=feature_map)
    g = grad.to(q.dtype)
    if is_causal:
        grad_q, grad_k, grad_v = causal_gradients(g, q, k, v, mask)
    else:
        keys = KeyStatistics.unpack(state, k.shape[-1], v.shape[-1])
        grad_q, grad_k, grad_v = gradients(g, q, k, v, keys, mask=mask)
    grad_q = grad_q * scale
    if feature_map == "relu":
        grad_q, grad_k = grad_q * (query > 0), grad_k * (key > 0)
    dtype = query.dtype
    return grad_q.to(dtype).contiguous(), grad_k.to(dtype).contiguous(), grad_v.to(dtype).contiguous()


def empty_output(query: Tensor, value: Tensor) -> Tensor:
    """An output as `forward` lays it out: contiguous."""
    return query.new_empty((*query.shape[:-1], value.shape[-1]))


def empty_gradient(x: Tensor) -> Tensor:
    """A gradient of `x` as `backward` lays it out: contiguous."""
    return x.new_empty(x.shape)


def empty_state(key: Tensor, value: Tensor, *, is_causal: bool) -> Tensor:
    """The packed state of the keys, in float32 or better."""
    e, ev = key.shape[-1], value.shape[-1]
    size = 0 if is_causal else 1 + 3 * e + ev + e * ev
    return key.new_empty((*key.shape[:-2], size), dtype=torch.promote_types(key.dtype, torch.float32))


def _prepared(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float, feature_map: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled phi(query), phi(key) and value in the dtype of the sums, masked keys and values zero."""
    if query.dtype in (torch.float16, torch.bfloat16):
        query, key, value = query.float(), key.float(), value.float()
    if mask is not None:  # what is masked may be anything, NaN too
        hidden = ~mask[..., None]  # (*lead, Lk, 1)
        key, value = key.masked_fill(hidden, 0), value.masked_fill(hidden, 0)
    if feature_map == "relu":
        query, key = query.relu(), key.relu()
    return query * scale, key, value
