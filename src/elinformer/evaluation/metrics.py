"""Masked MAE, RMSE and MAPE from sums and counts, so that batch size and order do not change them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.evaluation.intervals import IntervalSums

MAPE_FLOOR = 1e-4
"""MAPE ignores targets of smaller magnitude, as papers on traffic forecasting do."""

SUMS = ("absolute", "squared", "relative", "signed", "total")
COUNTS = ("count", "count_nonzero")
"""Sums and counts of `MetricSums` by name."""


@dataclass(frozen=True)
class Scores:
    """Mean errors over observed targets.

    An error is NaN if no target was observed, or if the prediction of an observed target is NaN. MAPE is also NaN if
    all observed targets are zero.

    Attributes:
        mae: Mean absolute error, in the units of the data.
        rmse: Root mean squared error, in the units of the data.
        mape: Mean absolute percentage error, in percent.
        count: Number of observed targets.
    """

    mae: float
    rmse: float
    mape: float
    count: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the scores as a JSON document, with None instead of NaN."""
        return {name: None if value != value else value for name, value in vars(self).items()}  # noqa: PLR0124


class MetricSums:
    """Sums and counts of errors for every horizon step, series and channel, in float64.

    Args:
        horizon: S.
        n_series: N.
        n_channels: C.

    Attributes:
        absolute: (S, N, C), sums of absolute errors, in the units of the data.
        squared: (S, N, C), sums of squared errors.
        relative: (S, N, C), sums of absolute errors divided by the absolute value of the target.
        signed: (S, N, C), sums of forecasts less targets.
        total: (S, N, C), sums of targets.
        count: (S, N, C), numbers of observed targets.
        count_nonzero: (S, N, C), numbers of observed targets that count for MAPE.
        intervals: Sums of the scores of quantiles; None if there are none.

    Example:
        >>> sums = MetricSums(horizon=1, n_series=1, n_channels=1)
        >>> target = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
        >>> sums.update(target + 1, target, torch.tensor([True, False]).reshape(2, 1, 1, 1))
        >>> sums.scores()
        Scores(mae=1.0, rmse=1.0, mape=100.0, count=1)
    """

    def __init__(self, horizon: int, n_series: int, n_channels: int) -> None:
        shape = (horizon, n_series, n_channels)
        self.absolute = torch.zeros(shape, dtype=torch.float64)
        self.squared = torch.zeros(shape, dtype=torch.float64)
        self.relative = torch.zeros(shape, dtype=torch.float64)
        self.signed = torch.zeros(shape, dtype=torch.float64)
        self.total = torch.zeros(shape, dtype=torch.float64)
        self.count = torch.zeros(shape, dtype=torch.int64)
        self.count_nonzero = torch.zeros(shape, dtype=torch.int64)
        self.intervals: IntervalSums | None = None

    def __repr__(self) -> str:
        steps, n_series, n_channels = self.count.shape
        return f"{type(self).__name__}({steps} steps x {n_series} series x {n_channels} channels, {self.scores()})"

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """Add the errors of B forecasts.

        Args:
            prediction: (B, S, N, C), in the units of the data.
            target: (B, S, N, C).
            mask: (B, S, N, C), True = the target was observed.
        """
        prediction, target, mask = (x.cpu() for x in (prediction, target, mask))  # not every device has float64
        target = target.double()
        signed = torch.where(mask, prediction.double() - target, 0)
        error = signed.abs()
        nonzero = mask & (target.abs() > MAPE_FLOOR)
        relative = torch.where(nonzero, error / target.abs(), 0)
        self.absolute += error.sum(0)
        self.squared += error.square().sum(0)
        self.relative += relative.sum(0)
        self.signed += signed.sum(0)
        self.total += torch.where(mask, target, 0).sum(0)
        self.count += mask.sum(0)
        self.count_nonzero += nonzero.sum(0)

    def scores(
        self, *, step: int | None = None, series: Sequence[int] | None = None, channel: int | None = None
    ) -> Scores:
        """Return the scores over all errors, or over a selection.

        Args:
            step: Horizon step, from 0; None = all steps.
            series: Numbers of series; None = all series.
            channel: Number of a channel; None = all channels.
        """

        def total(sums: Tensor) -> float:
            selected = sums if step is None else sums[step : step + 1]
            selected = selected if series is None else selected[:, list(series)]
            return float((selected if channel is None else selected[..., channel]).sum())

        count, nonzero = total(self.count), total(self.count_nonzero)
        return Scores(
            mae=_ratio(total(self.absolute), count),
            rmse=_ratio(total(self.squared), count) ** 0.5,
            mape=100 * _ratio(total(self.relative), nonzero),
            count=int(count),
        )

    def mae_by_series(self) -> Tensor:
        """Return the mean absolute errors (N, C); NaN for a series without an observed target."""
        return self.absolute.sum(0) / self.count.sum(0)

    def report(self, channels: Sequence[str]) -> dict[str, object]:
        """Return a JSON document of all scores, with `by_horizon` ("1" is the first step) and `by_channel`.

        Scores of quantiles are in `intervals`, if there are some.
        """
        steps = {str(step + 1): self.scores(step=step).to_dict() for step in range(len(self.count))}
        by_channel = {name: self.scores(channel=i).to_dict() for i, name in enumerate(channels)}
        intervals = {} if self.intervals is None else {"intervals": self.intervals.report()}
        return {**self.scores().to_dict(), "by_horizon": steps, "by_channel": by_channel, **intervals}


def _ratio(total: float, count: float) -> float:
    return total / count if count else float("nan")
