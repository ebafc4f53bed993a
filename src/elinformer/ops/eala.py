"""EALA, Entropy-Aware Linear Attention: the public operator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.features import FEATURE_MAPS
from elinformer.ops.linear import apply_statistics, key_statistics, masked_key_statistics

if TYPE_CHECKING:
    from elinformer.ops.features import FeatureMap


def eala_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
) -> Float[Tensor, "*batch Lq Ev"]:
    """Attend with weights of softmax's ranking and, where feasible, its entropy, in time linear in Lq + Lk.

    No Lq x Lk matrix is built. Half precision is computed in float32 and returned in the dtype of `query`.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        value: (..., Lk, Ev). Leading dimensions broadcast.
        key_mask: (..., Lk), True = the key takes part. A mask of fewer dimensions than the keys belongs to
            their first ones: (B, Lk) beside keys of (B, H, Lk, E) masks every head alike. What is masked may
            hold anything, NaN too. A query that sees no key gets zeros.
        scale: Multiplies phi(query); E ** -0.5 by default.
        feature_map: phi, element-wise: "relu", "softplus" or "identity". With "identity" the certificate is
            loose by about sqrt(E) and the weights are flatter than they need be.

    Returns:
        (..., Lq, Ev); every row lies in the convex hull of the values.

    Raises:
        ValueError: Shapes that do not match, a scale that is not positive, an unknown feature map.
        TypeError: A mask that is not bool, tensors that are not floating point or differ in dtype.

    Source: arXiv 2511.03190; docs/theory.md, sections 1 and 4.

    Example:
        >>> q = k = v = torch.ones(2, 4, 100, 16)  # (batch, heads, length, head dim)
        >>> eala_attention(q, k, v).shape
        torch.Size([2, 4, 100, 16])
    """
    key_mask = check_inputs(query, key, value, key_mask=key_mask, scale=scale, feature_map=feature_map)
    phi, dtype = FEATURE_MAPS[feature_map], query.dtype
    if dtype in (torch.float16, torch.bfloat16):
        query, key, value = query.float(), key.float(), value.float()
    q = phi(query) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if key_mask is None:
        return apply_statistics(q, key_statistics(phi(key), value)).to(dtype)
    hidden = ~key_mask[..., None]  # (..., Lk, 1)
    key, value = key.masked_fill(hidden, 0), value.masked_fill(hidden, 0)  # what is masked may be anything, NaN too
    return apply_statistics(q, masked_key_statistics(phi(key), value, hidden)).to(dtype)


def check_inputs(
    query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None, scale: float | None, feature_map: str
) -> Tensor | None:
    """Refuse what cannot be attended to; returns the mask with the keys' number of dimensions."""
    _check_dtypes(query, key, value, key_mask)
    _check_shapes(query, key, value)
    if scale is not None and not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"expected a positive, finite scale, got {scale}: leave it out for E ** -0.5")
    if feature_map not in FEATURE_MAPS:
        raise ValueError(f"expected feature_map to be one of {', '.join(FEATURE_MAPS)}, got {feature_map!r}")
    return None if key_mask is None else _aligned_mask(key_mask, query, key)


def _check_dtypes(query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> None:
    if not query.is_floating_point() or not query.dtype == key.dtype == value.dtype:
        raise TypeError(
            f"expected query, key and value of one floating-point dtype, got {query.dtype}, {key.dtype} and "
            f"{value.dtype}: convert them with .to(...)"
        )
    if key_mask is not None and key_mask.dtype != torch.bool:
        raise TypeError(f"expected a bool key_mask (True = takes part), got {key_mask.dtype}: use key_mask != 0")


def _check_shapes(query: Tensor, key: Tensor, value: Tensor) -> None:
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ValueError(
            "expected query (..., Lq, E), key (..., Lk, E) and value (..., Lk, Ev), got "
            f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
        )
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"expected query and key of one head dim E, got {query.shape[-1]} and {key.shape[-1]}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"expected key and value of one length Lk, got {key.shape[-2]} and {value.shape[-2]}")
    try:
        torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    except RuntimeError as error:
        raise ValueError(
            "expected leading dimensions that broadcast, got "
            f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)}"
        ) from error


def _aligned_mask(key_mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """The mask with singleton dimensions between its leading ones and Lk, as many as the keys have more."""
    missing = key.ndim - 1 - key_mask.ndim
    lead = (*key_mask.shape[:-1], *(1,) * missing)
    try:
        fits = key_mask.shape[-1] == key.shape[-2] and missing >= 0
        torch.broadcast_shapes(lead, key.shape[:-2], query.shape[:-2])
    except (RuntimeError, IndexError):
        fits = False
    if not fits:
        raise ValueError(
            f"expected a key_mask of shape (..., Lk) for keys of shape {tuple(key.shape)}, got {tuple(key_mask.shape)}"
        )
    return key_mask.reshape(*lead, key.shape[-2])
