"""Losses: what a model puts out for every target, how training and validation judge it, and the forecast it means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Loss(ABC):
    """Meaning of the K outputs of a model for every target.

    Attributes:
        n_outputs: K.
    """

    n_outputs: int

    @abstractmethod
    def elements(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the loss of every target, (B, S, N, C), in the units of the data.

        Args:
            outputs: (B, S, N, C, K).
            target: (B, S, N, C).
        """

    @abstractmethod
    def point(self, outputs: Tensor) -> Tensor:
        """Return the point forecast (B, S, N, C) of outputs (B, S, N, C, K)."""

    def total(self, outputs: Tensor, target: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
        """Return the sum over the observed targets of the loss in units of `scale` (N, C): the loss of training."""
        return torch.where(mask, self.elements(outputs, target) / scale, 0).sum()

    def by_series(self, outputs: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the sum over windows and steps of the loss of observed targets, (N, C) in float64, for validation."""
        outputs, target, mask = (x.cpu() for x in (outputs, target, mask))  # not every device has float64
        return torch.where(mask, self.elements(outputs.double(), target.double()), 0).sum((0, 1))


class AbsoluteError(Loss):
    """Absolute error of one output, the point forecast: its best value is the median."""

    n_outputs = 1

    def elements(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return |error|."""
        return (self.point(outputs) - target).abs()

    def point(self, outputs: Tensor) -> Tensor:
        """Return the output."""
        return outputs.squeeze(-1)
