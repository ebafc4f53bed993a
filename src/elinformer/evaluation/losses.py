"""Losses: the number of outputs of a model, its training loss, its validation score and its point forecast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.batch import Batch


class Loss(ABC):
    """Meaning of the K outputs of a model for every target.

    A subclass sets `n_outputs`, and defines `elements` and `point`.

    Attributes:
        n_outputs: K.

    Example:
        >>> class SquaredError(Loss):
        ...     n_outputs = 1
        ...
        ...     def elements(self, outputs, target):
        ...         return (self.point(outputs) - target) ** 2
        ...
        ...     def point(self, outputs):
        ...         return outputs.squeeze(-1)
        >>> outputs, target = torch.full((2, 3, 4, 1, 1), 5.0), torch.full((2, 3, 4, 1), 3.0)
        >>> loss = SquaredError()
        >>> loss.total(outputs, target, mask=target > 0, scale=torch.tensor(2.0))  # 24 targets
        tensor(48.)
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
        """Return the training loss: the sum over the observed targets of the loss divided by a scale.

        Args:
            outputs: (B, S, N, C, K).
            target: (B, S, N, C).
            mask: (B, S, N, C), True = the target was observed.
            scale: (N, C), unit of the loss.
        """
        return torch.where(mask, self.elements(outputs, target) / scale, 0).sum()

    def by_series(self, outputs: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the sums (N, C) of the loss over windows and steps, in float64, for the validation score.

        Args:
            outputs: (B, S, N, C, K).
            target: (B, S, N, C).
            mask: (B, S, N, C), True = the target was observed.
        """
        outputs, target, mask = (x.cpu() for x in (outputs, target, mask))  # not every device has float64
        return torch.where(mask, self.elements(outputs.double(), target.double()), 0).sum((0, 1))


class AbsoluteError(Loss):
    """Absolute error of one output, the point forecast. The median minimises it."""

    n_outputs = 1

    def elements(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the absolute error of every target, (B, S, N, C)."""
        return (self.point(outputs) - target).abs()

    def point(self, outputs: Tensor) -> Tensor:
        """Return the output of every target, (B, S, N, C)."""
        return outputs.squeeze(-1)


def targets_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the targets (B, S, N, C) of a batch and their mask."""
    if batch.target is None or batch.target_mask is None:
        raise AssertionError("batches for training and scoring have targets")
    return batch.target, batch.target_mask
