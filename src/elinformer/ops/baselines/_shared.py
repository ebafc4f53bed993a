"""Shared code of the baselines: checks, masks, and the two products of a normalised linear attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import pad

from elinformer.ops.inputs import check_inputs

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_CHUNK = 64


class Inputs(NamedTuple):
    """Checked query, key and value; `hidden` (..., Lk, 1) is True where key and value have been set to zero."""

    q: Tensor
    k: Tensor
    v: Tensor
    hidden: Tensor | None


def prepare(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    key_mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    upcast: bool = True,
) -> Inputs:
    """Refuse inputs that do not fit, cast half precision to float32, and set masked keys and values to zero."""
    key_mask = check_inputs(query, key, value, key_mask=key_mask, scale=scale, is_causal=is_causal)
    if upcast and query.dtype in (torch.float16, torch.bfloat16):
        query, key, value = query.float(), key.float(), value.float()
    if key_mask is None:
        return Inputs(query, key, value, None)
    hidden = ~key_mask[..., None]
    return Inputs(query, key.masked_fill(hidden, 0), value.masked_fill(hidden, 0), hidden)


def refuse_causal(method: str, reason: str, *, is_causal: bool) -> None:
    """Raise ValueError for a method that has no causal form in linear time."""
    if is_causal:
        raise ValueError(f"expected is_causal=False, got True: {method} has no causal form, because {reason}")


def blank(features: Tensor, hidden: Tensor | None) -> Tensor:
    """Return the features of the keys, zero where hidden."""
    return features if hidden is None else features.masked_fill(hidden, 0)


def lowest(logits: Tensor, hidden: Tensor | None) -> Tensor:
    """Return logits for a softmax over the keys; hidden keys get no weight, all hidden keys together no NaN."""
    return logits if hidden is None else logits.masked_fill(hidden, torch.finfo(logits.dtype).min)


def normalised(q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool = False) -> Tensor:
    """Return sum_j (q.k_j) v_j / sum_j (q.k_j) for non-negative q.k_j, zero if all of them are zero."""
    if is_causal:
        return _causal(q, k, v)
    return (q @ (k.mT @ v)) / _divisor(q @ k.sum(-2, keepdim=True).mT)


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the same over keys 0..i, in chunks: memory stays linear in the length."""
    length = q.shape[-2]
    chunk = max(SMALLEST_CHUNK, q.shape[-1])  # so that the states of all chunks take no more than the values
    q, k, v = (pad(x, (0, 0, 0, -length % chunk)).unflatten(-2, (-1, chunk)) for x in (q, k, v))
    scores = (q @ k.mT).tril()
    states, sums = _before(k.mT @ v), _before(k.sum(-2, keepdim=True))
    total = scores.sum(-1, keepdim=True) + q @ sums.mT
    return ((scores @ v + q @ states) / _divisor(total)).flatten(-3, -2)[..., :length, :]


def _before(parts: Tensor) -> Tensor:
    """Return for each chunk (..., chunks, F, Ev) the sum over the chunks before it."""
    return pad(parts.cumsum(-3)[..., :-1, :, :], (0, 0, 0, 0, 1, 0))


def _divisor(total: Tensor) -> Tensor:
    return total + (total == 0)
