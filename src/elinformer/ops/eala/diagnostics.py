"""To look at attention: dense weights, the shift theta, and the entropy of every query in linear time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, overload

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.checks import check_inputs
from elinformer.ops.eala.causal import causal_variance
from elinformer.ops.eala.features import FEATURE_MAPS, check_feature_map

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
    """The weights `eala_attention` applies, (..., Lq, Lk): quadratic, for looking at.

    Every row adds up to one, and to zero where no key is seen. Arguments and errors as `eala_attention`.
    """
    seen = _look(query, key, key_mask, is_causal=is_causal, scale=scale, feature_map=feature_map)
    centred = seen.q @ (seen.k - seen.centre).mT - (seen.q * (seen.k_mean - seen.centre)).sum(-1, keepdim=True)
    weights = (1 + centred / seen.margin.clamp_min(1)) / seen.n.clamp_min(1)
    if is_causal:
        weights = weights.tril()
    return weights if seen.mask is None else weights.masked_fill(~seen.mask[..., None, :], 0)


def eala_theta(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
) -> Float[Tensor, "*batch Lq"]:
    """The shift theta* = c* - mu of every query, (..., Lq), in linear time (theory, section 4).

    Arguments and errors as `eala_attention`.
    """
    seen = _look(query, key, key_mask, is_causal=is_causal, scale=scale, feature_map=feature_map)
    return (seen.margin.clamp_min(1) - (seen.q * seen.k_mean).sum(-1, keepdim=True)).squeeze(-1)


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
    """The entropy of every query's attention in nats, (..., Lq), to second order and in linear time.

    The second order is unbounded below (one outlier among the keys is enough), so it is clamped to [0, log n]; n
    is the number of keys the query sees, and no key gives zero. How far it can be trusted: docs/theory.md,
    section 3. Errors as `eala_attention`.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        kind: "eala" for the weights of `eala_attention`, "softmax" for the softmax of the same scores, those of
            the feature map; feature_map="identity" is softmax attention as it is usually computed.
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
    seen = _look(query, key, key_mask, is_causal=is_causal, scale=scale, feature_map=feature_map)
    spread = _variance(seen, is_causal=is_causal)  # (..., Lq)
    if kind == "eala":
        spread = spread / seen.margin.squeeze(-1).clamp_min(1).square()
    largest = seen.n.clamp_min(1).log().squeeze(-1)
    exact = largest - spread / 2
    entropy = torch.minimum(exact.clamp_min(0), largest).expand(spread.shape)
    return (entropy, exact < 0) if return_clamped else entropy


class _Seen(NamedTuple):
    """What each query sees, with one row for all queries where all see the same."""

    q: Tensor  # (..., Lq, E), scale * phi(query)
    k: Tensor  # (..., Lk, E), phi(key), masked keys zero
    mask: Tensor | None
    n: Tensor  # (..., Lq or 1, 1)
    k_mean: Tensor  # (..., Lq or 1, E)
    centre: Tensor  # (..., 1, E), the mean of all keys
    margin: Tensor  # (..., Lq, 1)


def _look(
    query: Tensor,
    key: Tensor,
    key_mask: Tensor | None,
    *,
    is_causal: bool,
    scale: float | None,
    feature_map: FeatureMap,
) -> _Seen:
    mask = check_inputs(query, key, key, key_mask=key_mask, scale=scale, is_causal=is_causal)
    check_feature_map(feature_map)
    dtype, phi = torch.promote_types(query.dtype, torch.float32), FEATURE_MAPS[feature_map]
    q = phi(query.to(dtype)) * (query.shape[-1] ** -0.5 if scale is None else scale)
    taking_part = torch.ones_like(key[..., :1], dtype=torch.bool) if mask is None else mask[..., None]
    k = phi(key.to(dtype).masked_fill(~taking_part, 0)).masked_fill(~taking_part, 0)
    centre = k.sum(-2, keepdim=True) / taking_part.sum(-2, keepdim=True).clamp_min(1)
    n, k_mean, lo, hi = _running(k, taking_part, centre) if is_causal else _overall(k, taking_part, centre)
    above, below = (x.masked_fill(n == 0, 0) for x in (k_mean - lo, hi - k_mean))
    margin = (q.relu() * above + (-q).relu() * below).sum(-1, keepdim=True)
    return _Seen(q, k, mask, n.to(dtype), k_mean, centre, margin)


def _overall(k: Tensor, taking_part: Tensor, centre: Tensor) -> tuple[Tensor, ...]:
    bounds = k.masked_fill(~taking_part, torch.inf), k.masked_fill(~taking_part, -torch.inf)
    if k.shape[-2] == 0:
        return taking_part.sum(-2, keepdim=True), centre, centre, centre
    return taking_part.sum(-2, keepdim=True), centre, bounds[0].amin(-2, keepdim=True), bounds[1].amax(-2, keepdim=True)


def _running(k: Tensor, taking_part: Tensor, centre: Tensor) -> tuple[Tensor, ...]:
    n = taking_part.cumsum(-2)
    k_mean = centre + (k - centre).masked_fill(~taking_part, 0).cumsum(-2) / n.clamp_min(1)
    lo = k.masked_fill(~taking_part, torch.inf).cummin(-2).values
    return n, k_mean, lo, k.masked_fill(~taking_part, -torch.inf).cummax(-2).values


def _variance(seen: _Seen, *, is_causal: bool) -> Tensor:
    """sigma^2 = (1/n) sum t_j^2 for every query, (..., Lq)."""
    if is_causal:
        return causal_variance(seen.q, seen.k, seen.mask)
    centred = seen.k - seen.k_mean
    if seen.mask is not None:
        centred = centred.masked_fill(~seen.mask[..., None], 0)
    covariance = centred.mT @ centred / seen.n.clamp_min(1)
    return ((seen.q @ covariance) * seen.q).sum(-1)
