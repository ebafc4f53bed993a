"""Uniform weights: every query gets the mean of the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer._shapes import Bool, Float
from elinformer.ops.checks import check_inputs

if TYPE_CHECKING:
    from torch import Tensor


def mean_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
) -> Float[Tensor, "*batch Lq Ev"]:
    """The mean of the values that take part, for every query alike: the member of EALA's family with c = infinity.

    Shapes, masks and errors as `elinformer.ops.eala_attention`; no key that takes part gives zeros.

    Source: docs/theory.md, section 2.
    """
    mask = check_inputs(query, key, value, key_mask=key_mask, scale=None, feature_map="identity", is_causal=is_causal)
    seen = torch.ones_like(key[..., :1], dtype=torch.bool) if mask is None else mask[..., None]
    value = value if mask is None else torch.where(seen, value, 0)
    if is_causal:
        return value.cumsum(-2) / seen.cumsum(-2).clamp_min(1)
    mean = value.sum(-2, keepdim=True) / seen.sum(-2, keepdim=True).clamp_min(1)
    return mean.expand(*mean.shape[:-2], query.shape[-2], -1)
