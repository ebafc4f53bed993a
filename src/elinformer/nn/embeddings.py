"""Embeddings: a table with its own learning rate, and an encoder that computes rows from features of series."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN_WIDTH = 64
DROPOUT = 0.1
STD_FLOOR = 0.1


class ScaledEmbedding(nn.Embedding):
    """Embedding whose rows have `rate` times the learning rate of the model: a row is `rate` times its `weight`.

    A row gets a gradient only where its series or its time occurs. The layers after it get a gradient from every
    window. With the same learning rate for both, rows of unit variance stay close to their random start. A step of
    Adam does not depend on the size of the gradient. The factor therefore acts as a learning rate in any training loop.

    Args:
        n: Number of rows. They start with unit variance.
        width: Numbers in a row.
        rate: Learning rate of the rows divided by that of the model; 1 = a plain embedding.
    """

    def __init__(self, n: int, width: int, rate: float = 1.0) -> None:
        self.rate = rate
        super().__init__(n, width)

    def reset_parameters(self) -> None:
        """Draw rows of unit variance."""
        nn.init.normal_(self.weight, std=1 / self.rate)

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Set all rows (n, width)."""
        self.weight.copy_(rows / self.rate)

    @property
    def rows(self) -> Tensor:
        """Rows of the table (n, width)."""
        return self.rate * self.weight

    def select_rows(self, numbers: Tensor | None) -> Tensor:
        """Return the rows with the numbers (m,), or all rows for None."""
        return self.rows if numbers is None else self(numbers)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is PyTorch's
        """Return the rows (..., width) with the numbers (...)."""
        return self.rate * super().forward(input)


class SeriesEncoder(nn.Module):
    """Two layers that compute the embedding of a series from its features.

    Before training, they return the mean embedding for every series. They compute in units of the standard deviation
    of the trained embeddings, so that the scale of these does not matter.

    Args:
        n_features: F, features of a series. Each has about unit variance.
        embeddings: (N, K), embeddings of the series that the model was trained on.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, n_features: int, embeddings: Tensor) -> None:
        super().__init__()
        output = nn.Linear(HIDDEN_WIDTH, embeddings.shape[1])
        nn.init.zeros_(output.weight)
        nn.init.zeros_(output.bias)
        self.layers = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(n_features, HIDDEN_WIDTH), nn.GELU(), output)
        self.register_buffer("mean", embeddings.mean(0))
        self.register_buffer("spread", floored_std(embeddings))

    def forward(self, features: Tensor, corrections: Tensor) -> Tensor:
        """Return embeddings (n, K) from features (n, F) and corrections (n, K) in units of `spread`."""
        return self.mean + self.spread * (self.layers(features) + corrections)


def floored_std(embeddings: Tensor) -> Tensor:
    """Return the standard deviation (K,) of embeddings (N, K), at least a tenth of their root mean square."""
    rms = embeddings.square().mean().sqrt()
    floor = torch.where(rms > 0, STD_FLOOR * rms, 1)
    return embeddings.std(0, correction=0).maximum(floor)
