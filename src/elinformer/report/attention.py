"""Entropy of the attention of a trained model, by layer and head."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import torch

from elinformer.data.windows import WindowDataset
from elinformer.models import ELinFormer
from elinformer.models.scaled import ScaledModel
from elinformer.report.window_errors import sample

if TYPE_CHECKING:
    import numpy as np

    from elinformer.data.panel import Panel
    from elinformer.models.elinformer import Block
    from elinformer.trained_model import TrainedModel

Document = dict[str, Any]

WINDOWS = 8
NEARLY_EVEN, EVEN = 0.9, 0.98
"""Shares of the largest entropy from which attention is described as nearly even, and as even."""


def attention(trained: TrainedModel, panel: Panel, origins: np.ndarray) -> Document | None:
    """Return the mean entropy of every layer and head, as a share of the largest; None for several models.

    Args:
        trained: The model.
        panel: The data, with the series of the model in their order.
        origins: (n,), the first target steps of the windows to choose from.
    """
    model, scaled = trained.model, trained.scaled
    if not isinstance(model, ELinFormer) or not isinstance(scaled, ScaledModel) or model.config.attention != "eala":
        return None
    windows = WindowDataset(panel, trained.info.calendar, sample(origins, WINDOWS), trained.reach, with_targets=False)
    with torch.inference_mode():
        x, key_mask = scaled.embed(windows[range(len(windows))])
        n_keys = x.shape[1] if key_mask is None else float(key_mask.sum(-1).double().mean())
        if n_keys < 2:
            return None
        layers: list[list[float]] = []
        for block in cast("list[Block]", list(model.blocks)):
            entropy = block.attention.entropy(block.attention_norm(x), key_mask=key_mask)
            layers.append((entropy.mean((0, 2)) / math.log(n_keys)).clamp_max(1).tolist())
            x = block(x, key_mask)
    mean = sum(map(sum, layers)) / sum(map(len, layers))
    return {
        "layers": layers,
        "mean": mean,
        "keys": n_keys,
        "effective": n_keys**mean,
        "meaning": _meaning(mean, n_keys),
    }


def _meaning(mean: float, n_keys: float) -> str:
    """Return one sentence on a mean share of the largest entropy."""
    looks = f"a forecast draws on the equivalent of {n_keys**mean:.0f} of {n_keys:.0f} series"
    if mean >= EVEN:
        return f"Attention is almost even: {looks}, so what counts is mostly their mean."
    if mean >= NEARLY_EVEN:
        return f"Attention is broad: {looks}, with a little more weight on some of them."
    return f"Attention is selective: {looks}."
