"""Linformer: softmax attention to a few learned mixtures of the keys."""

from __future__ import annotations

from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import prepare, refuse_causal
from elinformer.ops.baselines.softmax import softmax_attention


def linformer_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_projection: Float[Tensor, "*batch_p R Lk"],
    value_projection: Float[Tensor, "*batch_p R Lk"],
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Softmax attention to R mixtures of all keys; depends on their order and is made for one length.

    Shapes, masks and errors as `elinformer.ops.eala_attention`, no causal form; scale is E ** -0.5 by default.
    A masked key adds nothing to the mixtures.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        value: (..., Lk, Ev).
        key_projection: Learned (..., R, Lk), mixes the keys.
        value_projection: Learned (..., R, Lk), mixes the values.
        key_mask: (..., Lk), True = the key takes part.
        is_causal: False.
        scale: Multiplies the scores.

    Raises:
        ValueError: Besides, projections that are made for another number of keys.

    Source: Wang et al., Linformer: Self-Attention with Linear Complexity, 2020, equation 7.
    """
    refuse_causal("Linformer", "its mixtures run over all keys", is_causal=is_causal)
    q, k, v, _ = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale)
    for projection in (key_projection, value_projection):
        if projection.shape[-1] != k.shape[-2]:
            raise ValueError(
                f"expected projections (..., R, Lk) for Lk = {k.shape[-2]} keys, got {tuple(projection.shape)}: "
                "Linformer is made for one length"
            )
    k, v = key_projection.to(k.dtype) @ k, value_projection.to(v.dtype) @ v
    return softmax_attention(q, k, v, scale=scale).to(query.dtype)
