"""Performer: softmax by positive orthogonal random features, FAVOR+."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import blank, lowest, normalised, prepare


def performer_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    projection: Float[Tensor, "*batch_p M E"],
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """An unbiased estimate of softmax's numerators and denominators from M random features, in linear time.

    Shapes, masks and errors as `elinformer.ops.eala_attention`; scale is E ** -0.5 by default. The stabilising
    maxima cancel in the ratio, and the small constant that the authors add to the features is left out.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        value: (..., Lk, Ev).
        projection: The random directions w (..., M, E), from `orthogonal_projection`.
        key_mask: (..., Lk), True = the key takes part.
        is_causal: Whether query i sees keys 0..i alone.
        scale: Multiplies the scores.

    Source: Choromanski et al., Rethinking Attention with Performers, 2021, lemma 1 and section 2.4.
    """
    q, k, v, hidden = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale)
    root = math.sqrt(q.shape[-1] ** -0.5 if scale is None else scale)
    q, k = _exponents(q * root, projection), lowest(_exponents(k * root, projection), hidden)
    q = (q - q.detach().amax(-1, keepdim=True)).exp()
    k = (k - k.detach().flatten(-2).amax(-1)[..., None, None]).exp() if k.shape[-2] else k
    return normalised(q, blank(k, hidden), v, is_causal=is_causal).to(query.dtype)


def orthogonal_projection(
    features: int, head_dim: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "M E"]:
    """Random directions (features, head_dim), orthogonal in blocks of head_dim, with the norms of normal ones.

    Source: Choromanski et al., 2021, section 2.4.
    """
    blocks = math.ceil(features / head_dim)
    normal = torch.randn(blocks, head_dim, head_dim, generator=generator)
    q, r = torch.linalg.qr(normal)
    # Householder's signs are not random; with those of R the directions are uniform, and the estimate unbiased.
    directions = (q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]).mT.flatten(0, 1)[:features]
    return directions * torch.randn(features, head_dim, generator=generator).norm(dim=-1, keepdim=True)


def _exponents(x: Tensor, projection: Tensor) -> Tensor:
    """w.x - |x|^2 / 2 for every direction w: (..., L, M)."""
    return x @ projection.to(x.dtype).mT - x.square().sum(-1, keepdim=True) / 2
