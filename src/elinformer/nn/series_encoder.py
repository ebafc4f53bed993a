"""An encoder from what is known of a series to its embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN_WIDTH = 64
DROPOUT = 0.1


class SeriesEncoder(nn.Module):
    """Two layers, which begin with the mean embedding for every series.

    Args:
        n_features: F, numbers that are known of a series, each of about unit variance.
        embeddings: (N, K), of series whose embedding is known.
    """

    def __init__(self, n_features: int, embeddings: Tensor) -> None:
        super().__init__()
        last = nn.Linear(HIDDEN_WIDTH, embeddings.shape[1])
        with torch.no_grad():
            last.bias.copy_(embeddings.mean(0))
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(n_features, HIDDEN_WIDTH), nn.GELU(), last)

    def forward(self, features: Tensor) -> Tensor:
        """(n, F) -> (n, K)."""
        return self.layers(features)
