"""Efficient attention: a softmax over features for queries, one over positions for keys."""

from __future__ import annotations

from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import lowest, prepare, refuse_causal


def efficient_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Each feature of the keys is a distribution over positions, each query one over features; linear time.

    Shapes, masks and errors as `elinformer.ops.eala_attention`, no causal form; scale multiplies the queries and
    is 1 by default, as in the paper.

    Source: Shen et al., Efficient Attention: Attention with Linear Complexities, 2021, equations 3 and 5.
    """
    refuse_causal("efficient attention", "each key is weighed against all others", is_causal=is_causal)
    q, k, v, hidden = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale)
    q = (q if scale is None else q * scale).softmax(-1)
    return (q @ (lowest(k, hidden).softmax(-2).mT @ v)).to(query.dtype)
