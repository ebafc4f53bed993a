"""Diagnostics of attention: dense weights, the shift theta, and the entropy of every query in linear time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, overload

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.eala.causal import causal_scores
from elinformer.ops.eala.features import FEATURE_MAPS, check_feature_map
from elinformer.ops.eala.statistics import certified_margin, key_statistics
from elinformer.ops.inputs import check_inputs, scale_or_default

if TYPE_CHECKING:
    from elinformer.ops.eala.features import FeatureMap

Kind = Literal["eala", "softmax"]


def eala_weights(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
) -> Float[Tensor, "*batch Lq Lk"]:
    """Return the weights that `eala_attention` applies, (..., Lq, Lk), in quadratic time and memory.

    Every row adds up to one, and to zero where no key is seen. Arguments and errors as `eala_attention`.
    """
    scores = _scores(query, key, key_mask, is_causal=is_causal, scale=scale, feature_map=feature_map)
    centre = scores.k_mean[..., -1:, :]  # of all keys, so that an offset costs no digits
    if centre.shape[-2] == 0:  # causal, and no keys
        return scores.q @ scores.k.mT
    centred = scores.q @ (scores.k - centre).mT - (scores.q * (scores.k_mean - centre)).sum(-1, keepdim=True)
    weights = (1 + centred / scores.margin.clamp_min(1)) / scores.n.clamp_min(1)
    if is_causal:
        weights = weights.tril()
    return weights if scores.mask is None else weights.masked_fill(~scores.mask[..., None, :], 0)


def eala_theta(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
) -> Float[Tensor, "*batch Lq"]:
    """Return the shift theta* = c* - mu of every query, (..., Lq), in linear time (theory, section 4).

    Arguments and errors as `eala_attention`.
    """
    scores = _scores(query, key, key_mask, is_causal=is_causal, scale=scale, feature_map=feature_map)
    return (scores.margin.clamp_min(1) - (scores.q * scores.k_mean).sum(-1, keepdim=True)).squeeze(-1)


@overload
def attention_entropy(
    query: Tensor,
    key: Tensor,
    *,
    kind: Kind = "eala",
    key_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
    return_clamped: Literal[False] = False,
) -> Tensor: ...
@overload
def attention_entropy(
    query: Tensor,
    key: Tensor,
    *,
    kind: Kind = "eala",
    key_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
    return_clamped: Literal[True],
) -> tuple[Tensor, Tensor]: ...
def attention_entropy(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    *,
    kind: Kind = "eala",
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
    return_clamped: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the entropy of every query's attention in nats, (..., Lq), to second order and in linear time.

    The second order is unbounded below (one outlier among the keys is enough), so it is clamped to [0, log n]; n
    is the number of keys the query sees, and no key gives zero. How far it can be trusted: docs/theory.md,
    section 3. Errors as `eala_attention`.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        kind: "eala" for the weights of `eala_attention`, "softmax" for the softmax of the same scores
            under the feature map; feature_map="identity" is softmax attention as it is usually computed.
        key_mask: As in `eala_attention`.
        is_causal: As in `eala_attention`.
        scale: As in `eala_attention`.
        feature_map: As in `eala_attention`.
        return_clamped: Also return where it was clamped, bool (..., Lq).

    Raises:
        ValueError: No such kind.
    """
    if kind not in {"eala", "softmax"}:
        raise ValueError(f"expected kind to be eala or softmax, got {kind!r}")
    scores = _scores(query, key, key_mask, is_causal=is_causal, scale=scale, feature_map=feature_map)
    variance = scores.variance.squeeze(-1)
    if kind == "eala":
        variance = variance / scores.margin.squeeze(-1).clamp_min(1).square()
    largest = scores.n.clamp_min(1).log().squeeze(-1)
    exact = largest - variance / 2
    entropy = torch.minimum(exact.clamp_min(0), largest).expand(variance.shape)
    return (entropy, exact < 0) if return_clamped else entropy


class _Scores(NamedTuple):
    """Statistics of the scores of each query, with one row for all queries where all see the same keys."""

    q: Tensor  # (..., Lq, E), scale * phi(query)
    k: Tensor  # (..., Lk, E), phi(key)
    mask: Tensor | None
    n: Tensor  # (..., Lq or 1, 1)
    k_mean: Tensor  # (..., Lq or 1, E)
    margin: Tensor  # (..., Lq, 1)
    variance: Tensor  # (..., Lq, 1), sigma^2


def _scores(
    query: Tensor,
    key: Tensor,
    key_mask: Tensor | None,
    *,
    is_causal: bool,
    scale: float | None,
    feature_map: FeatureMap,
) -> _Scores:
    mask = check_inputs(query, key, key, key_mask=key_mask, scale=scale, is_causal=is_causal)
    check_feature_map(feature_map)
    if mask is not None:  # masked keys may hold NaN
        key = key.masked_fill(~mask[..., None], 0)
    dtype, phi = torch.promote_types(query.dtype, torch.float32), FEATURE_MAPS[feature_map]
    q, k = phi(query.to(dtype)) * scale_or_default(scale, query.shape[-1]), phi(key.to(dtype))
    if is_causal:
        return _Scores(q, k, mask, *causal_scores(q, k, mask))
    keys = key_statistics(k, k, mask)
    variance = ((q @ keys.covariance) * q).sum(-1, keepdim=True)
    return _Scores(q, k, mask, keys.n, keys.k_mean, certified_margin(q, keys.above, keys.below), variance)
