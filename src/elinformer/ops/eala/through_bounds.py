"""EALA whose gradient goes through the bounds of the keys too, for explanations; training holds them constant.

The output is that of `eala_attention`. The exact gradient integrates to the difference of two outputs, which the one of
training misses by the part of the bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.ops.eala.features import FEATURE_MAPS
from elinformer.ops.eala.statistics import apply_statistics, key_statistics
from elinformer.ops.inputs import scale_or_default

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.ops.eala.features import FeatureMap


def eala_through_bounds(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    key_mask: Tensor | None = None,
    is_causal: bool = False,
    feature_map: FeatureMap = "relu",
) -> Tensor:
    """Attend in plain PyTorch, in linear time and memory; shapes as in `elinformer.ops.eala_attention`.

    Raises:
        ValueError: The attention is causal.
    """
    if is_causal:
        raise ValueError("expected attention to all keys, got is_causal=True")
    phi = FEATURE_MAPS[feature_map]
    if key_mask is not None:
        key, value = (x.masked_fill(~key_mask[..., None], 0) for x in (key, value))
    k = phi(key)
    keys = key_statistics(k, value, key_mask)
    if k.shape[-2]:
        hidden = torch.zeros_like(k[..., :1], dtype=torch.bool) if key_mask is None else ~key_mask[..., None]
        some = keys.n > 0
        lo = k.masked_fill(hidden, torch.inf).amin(-2, keepdim=True).where(some, 0)
        hi = k.masked_fill(hidden, -torch.inf).amax(-2, keepdim=True).where(some, 0)
        keys = keys._replace(lo=lo, hi=hi)
    return apply_statistics(phi(query) * scale_or_default(None, query.shape[-1]), keys)
