"""Embeddings: one that is learned faster than the rest of a model, and one that is computed from features of series."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN_WIDTH = 64
DROPOUT = 0.1
LEAST_SPREAD = 0.1


class ScaledEmbedding(nn.Embedding):
    """Rows that Adam moves `rate` times as far in a step: they are `rate` times the parameter `weight`.

    A row gets a gradient where its series or its time occurs, while the layers after it get one from everything. With
    one rate for all, rows of unit variance stay close to their random start. As steps of Adam, and of optimisers like
    it, do not depend on the size of the gradient, this is a learning rate of their own in any loop.

    Args:
        n: Rows, which start with unit variance.
        width: Numbers in a row.
        rate: Learning rate of the rows over that of the rest; 1 = a plain embedding.
    """

    def __init__(self, n: int, width: int, rate: float = 1.0) -> None:
        self.rate = rate
        super().__init__(n, width)

    def reset_parameters(self) -> None:
        """Start with rows of unit variance."""
        nn.init.normal_(self.weight, std=1 / self.rate)

    @torch.no_grad()
    def begin_with(self, rows: Tensor) -> None:
        """Set all rows (n, width)."""
        self.weight.copy_(rows / self.rate)

    @property
    def rows(self) -> Tensor:
        """All rows (n, width)."""
        return self.rate * self.weight

    def rows_of(self, numbers: Tensor | None) -> Tensor:
        """Return the rows with these numbers (m,), all of them for None."""
        return self.rows if numbers is None else self(numbers)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is PyTorch's
        """Look up rows: numbers (...) to (..., width)."""
        return self.rate * super().forward(input)


class SeriesEncoder(nn.Module):
    """Embedding of a series from its features: two layers, which start with the mean embedding for every series.

    The output is in units of the spread of the known embeddings, so that the scale of a model's embeddings does not
    matter.

    Args:
        n_features: F, features of a series, each of about unit variance.
        embeddings: (N, K), of series with a known embedding.
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
        """Return embeddings (n, K) from features (n, F) and corrections by series (n, K), in units of `spread`."""
        return self.mean + self.spread * (self.layers(features) + own)


def spread_of(embeddings: Tensor) -> Tensor:
    """Return the standard deviation (K,) of embeddings (N, K), at least a tenth of their root mean square."""
    size = embeddings.square().mean().sqrt()
    least = torch.where(size > 0, LEAST_SPREAD * size, 1)
    return embeddings.std(0, correction=0).maximum(least)
