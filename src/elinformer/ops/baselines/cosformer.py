"""cosFormer: relu features, re-weighted by the distance of the positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import relu

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import blank, normalised, prepare


def cosformer_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Weights proportional to relu(q_i).relu(k_j) cos(pi (i - j) / 2M), M = max(Lq, Lk); depends on the order.

    Shapes, masks and errors as `elinformer.ops.eala_attention`; scale cancels and changes nothing. A query
    without a feature in common with any key gets zeros.

    Source: Qin et al., cosFormer: Rethinking Softmax in Attention, 2022, equations 9 to 12.
    """
    q, k, v, hidden = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale)
    longest = max(q.shape[-2], k.shape[-2], 1)
    q, k = _turned(relu(q), longest), _turned(relu(k), longest)
    return normalised(q, blank(k, hidden), v, is_causal=is_causal).to(query.dtype)


def _turned(x: Tensor, longest: int) -> Tensor:
    """(..., L, E) -> (..., L, 2 E): cos(a - b) = cos a cos b + sin a sin b."""
    angle = torch.arange(x.shape[-2], device=x.device, dtype=x.dtype)[:, None] * (math.pi / 2 / longest)
    return torch.cat([x * angle.cos(), x * angle.sin()], -1)
