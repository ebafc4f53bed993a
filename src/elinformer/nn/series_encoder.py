"""An encoder from what is known of a series to its embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN_WIDTH = 64
DROPOUT = 0.1
LEAST_SPREAD = 0.1


class SeriesEncoder(nn.Module):
    """Two layers, which begin with the mean embedding for every series.

    What they say is in units of how far embeddings differ, so that it makes no difference in which scale a model
    keeps its own.

    Args:
        n_features: F, numbers that are known of a series, each of about unit variance.
        embeddings: (N, K), of series whose embedding is known.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, n_features: int, embeddings: Tensor) -> None:
        super().__init__()
        last = nn.Linear(HIDDEN_WIDTH, embeddings.shape[1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(n_features, HIDDEN_WIDTH), nn.GELU(), last)
        self.register_buffer("mean", embeddings.mean(0))
        self.register_buffer("spread", spread_of(embeddings))

    def forward(self, features: Tensor, own: Tensor) -> Tensor:
        """(n, F) and what each series adds of its own (n, K), in units of `spread` -> (n, K)."""
        return self.mean + self.spread * (self.layers(features) + own)


def spread_of(embeddings: Tensor) -> Tensor:
    """How far embeddings (N, K) differ in each column (K,), and a tenth of their size at least where few are known."""
    size = embeddings.square().mean().sqrt()
    least = torch.where(size > 0, LEAST_SPREAD * size, 1)
    return embeddings.std(0, correction=0).maximum(least)
