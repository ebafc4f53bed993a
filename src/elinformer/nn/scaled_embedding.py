"""An embedding that is learned faster than the rest of a model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScaledEmbedding(nn.Embedding):
    """Rows that Adam moves `rate` times as far in a step: they are `rate` times the parameter `weight`.

    A row gets a gradient where its series or its time occurs, while the layers after it get one from everything. With
    one rate for all, rows of unit variance stay close to the random numbers they begin with. As steps of Adam, and of
    optimisers like it, do not depend on the size of the gradient, this is a learning rate of their own in any loop.

    Args:
        n: Rows, which begin with unit variance.
        width: Numbers a row.
        rate: How many times the learning rate; 1 = a plain embedding.
    """

    def __init__(self, n: int, width: int, rate: float = 1.0) -> None:
        self.rate = rate
        super().__init__(n, width)

    def reset_parameters(self) -> None:
        """Begin with rows of unit variance."""
        nn.init.normal_(self.weight, std=1 / self.rate)

    @torch.no_grad()
    def begin_with(self, rows: Tensor) -> None:
        """Set all rows (n, width)."""
        self.weight.copy_(rows / self.rate)

    @property
    def rows(self) -> Tensor:
        """All rows (n, width)."""
        return self.rate * self.weight

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is PyTorch's
        """Numbers of rows (...) -> rows (..., width)."""
        return self.rate * super().forward(input)
