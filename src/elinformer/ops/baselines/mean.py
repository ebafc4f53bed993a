"""Uniform weights: every query gets the mean of the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer._shapes import Bool, Float
from elinformer.ops.inputs import check_inputs

if TYPE_CHECKING:
    from torch import Tensor


def mean_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Average the values that take part, for every query alike: the member of EALA's family with c = infinity.

    Shapes, masks and errors as `elinformer.ops.eala_attention`; scale changes nothing. No key that takes part gives
    zeros.

    Source: docs/theory.md, section 2.
    """
    mask = check_inputs(query, key, value, key_mask=key_mask, scale=scale, is_causal=is_causal)
    seen = torch.ones_like(key[..., :1], dtype=torch.bool) if mask is None else mask[..., None]
    summed = torch.where(seen, value, 0).to(torch.promote_types(value.dtype, torch.float32))
    if is_causal:
        mean = summed.cumsum(-2) / seen.cumsum(-2).clamp_min(1)
    else:
        mean = summed.sum(-2, keepdim=True) / seen.sum(-2, keepdim=True).clamp_min(1)
    lead = torch.broadcast_shapes(query.shape[:-2], mean.shape[:-2])
    return mean.to(value.dtype).expand(*lead, query.shape[-2], -1)
