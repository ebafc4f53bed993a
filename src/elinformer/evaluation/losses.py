"""Losses: the number of outputs of a model, its training loss, its validation score and its point forecast."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from elinformer.batch import Batch


QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
"""Quantiles that a model is trained for. They hold the intervals of the levels 50, 80, 90 and 95."""

SPREAD_WEIGHT = 0.3
"""Weight of the mean pinball loss of all quantiles but the median, relative to the absolute error of the median. With a
weight of 1, one pass over the NYC taxi trips left an error of the median 1.6 % above that without quantiles."""

INITIAL_SPREAD = 0.3
"""Standard deviation of errors, in scaled units, before training and calibration say more."""


class Loss(ABC):
    """Meaning of the K outputs of a model for every target.

    A subclass sets `n_outputs`, and defines `elements` and `point`. It defines `arrange` if the numbers that a model
    computes are not the outputs themselves.

    Attributes:
        n_outputs: K.
        quantiles: Quantiles that `spread` returns, rising, the one in the middle 0.5.

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
    quantiles: tuple[float, ...] = QUANTILES

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

    def arrange(self, raw: Tensor) -> Tensor:
        """Return the outputs of the numbers that a model computes, both (B, S, N, C, K) and scaled.

        The first number is the location of the forecast: a model adds earlier values to it alone.
        """
        return raw

    def spread(self, outputs: Tensor, std: Tensor) -> Tensor:
        """Return quantiles before their calibration, (B, S, N, C, len(quantiles)), in the units of the data.

        Here they are those of a normal distribution around the point forecast. A loss of quantiles returns its outputs.

        Args:
            outputs: (B, S, N, C, K).
            std: (N, C), the standard deviation of every series and channel.
        """
        normal = outputs.new_tensor(_normal_quantiles(self.quantiles))
        return self.point(outputs)[..., None] + std[..., None] * normal

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


class QuantileLoss(Loss):
    """Pinball losses of quantiles that cannot cross.

    The model computes the median and the distances between neighbouring quantiles, made positive by softplus. The loss
    of a target is the absolute error of the median, plus `SPREAD_WEIGHT` times the mean of twice the pinball losses of
    the other quantiles, which is in the same unit. These train the distances and the layers before the head: the
    number that is the median is trained by its own error alone, as by `AbsoluteError`.

    Args:
        quantiles: Rising numbers between 0 and 1, an odd number of them; the one in the middle is 0.5.

    Source: Koenker and Bassett, Regression Quantiles, 1978, doi 10.2307/1913643, for the loss.

    Example:
        >>> loss = QuantileLoss((0.1, 0.5, 0.9))
        >>> raw = torch.tensor([5.0, 0.0, 0.0])  # median and two distances
        >>> loss.arrange(raw)
        tensor([4.6155, 5.0000, 5.3845])
        >>> loss.point(loss.arrange(raw))
        tensor(5.)
    """

    def __init__(self, quantiles: Sequence[float] = QUANTILES) -> None:
        self.quantiles = tuple(quantiles)
        self.n_outputs = len(self.quantiles)
        self.middle = self.n_outputs // 2
        if self.quantiles[self.middle] != 0.5 or list(self.quantiles) != sorted({*self.quantiles}):
            raise ValueError(f"expected rising quantiles around 0.5, got {self.quantiles}")
        distances = [b - a for a, b in pairwise(_normal_quantiles(self.quantiles))]
        self._offsets = torch.tensor([math.log(math.expm1(distance)) for distance in distances])
        weights = torch.full((self.n_outputs,), 2 * SPREAD_WEIGHT / max(1, self.n_outputs - 1))
        weights[self.middle] = 2.0
        self._weights = weights
        self._negative_weights = weights * (1 - torch.tensor(self.quantiles))

    def arrange(self, raw: Tensor) -> Tensor:
        """Return rising quantiles (..., K) of a median and K - 1 distances (..., K), from the lowest to the highest."""
        distances = softplus(raw[..., 1:] + self._offsets.to(raw))
        median, middle = raw[..., :1], self.middle
        fixed = median.detach()
        below = fixed - distances[..., :middle].flip(-1).cumsum(-1).flip(-1)
        above = fixed + distances[..., middle:].cumsum(-1)
        return torch.cat((below, median, above), dim=-1)

    def elements(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the weighted pinball losses of every target, (B, S, N, C)."""
        error = target[..., None] - outputs  # pinball loss = max(error, 0) - (1 - quantile) error
        return error.relu() @ self._weights.to(error) - error @ self._negative_weights.to(error)

    def point(self, outputs: Tensor) -> Tensor:
        """Return the median of every target, (B, S, N, C)."""
        return outputs[..., self.middle]

    def spread(self, outputs: Tensor, std: Tensor) -> Tensor:  # noqa: ARG002  the outputs have a spread of their own
        """Return the outputs."""
        return outputs


def _normal_quantiles(quantiles: Sequence[float]) -> list[float]:
    return [INITIAL_SPREAD * NormalDist().inv_cdf(q) for q in quantiles]


LOSSES: dict[str, Callable[[], Loss]] = {"quantiles": QuantileLoss, "absolute": AbsoluteError}
"""Losses by the name that `TrainingConfig.loss` has for them."""


def targets_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the targets (B, S, N, C) of a batch and their mask."""
    if batch.target is None or batch.target_mask is None:
        raise AssertionError("batches for training and scoring have targets")
    return batch.target, batch.target_mask
