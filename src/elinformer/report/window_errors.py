"""Forecasts of past windows beside what was observed, and the sums of their errors by day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from elinformer.data.windows import WindowDataset, window_loader
from elinformer.evaluation import BlockSums, blocks_of, naives_for, score_naive, score_naives
from elinformer.evaluation.ratios import best_of

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.data.panel import Panel
    from elinformer.evaluation import MetricSums
    from elinformer.evaluation.blocks import Blocks
    from elinformer.trained_model import TrainedModel

MAX_VALUES = 1 << 23
"""Forecast values that a report holds in memory at most; with more, it takes a sample of the windows."""


class Outputs(NamedTuple):
    """Forecasts of windows.

    Attributes:
        point: (n, S, N, C), point forecasts.
        intervals: Lower and upper ends, (n, S, N, C) each, by the level in per cent, from the lowest level on. It is
            empty if the model has no intervals.
    """

    point: np.ndarray
    intervals: dict[float, tuple[np.ndarray, np.ndarray]]


class SeriesBlockSums(BlockSums):
    """Sums and counts of absolute errors for every block, series and channel.

    Args:
        blocks: Blocks of the steps that contain the targets.
        shape: N and C.

    Attributes:
        by_series: (blocks, N, C), sums of errors in the units of the data.
        counts: (blocks, N, C), numbers of observed targets.
    """

    def __init__(self, blocks: Blocks, shape: tuple[int, int]) -> None:
        super().__init__(blocks, np.ones(shape))
        self.by_series, self.counts = (np.zeros((len(blocks.labels), *shape)) for _ in range(2))

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor, origins: Tensor) -> None:
        """Add the errors of B forecasts; arguments as in `BlockSums`."""
        steps = origins.numpy()[:, None] - self.blocks.start + np.arange(target.shape[1])
        number = self.blocks.number[steps].ravel()
        errors = torch.where(mask, (prediction.double() - target.double()).abs(), 0)
        for sums, values in ((self.by_series, errors), (self.counts, mask.double())):
            np.add.at(sums, number, values.flatten(0, 1).numpy())


@dataclass(frozen=True, eq=False)
class WindowErrors:
    """Forecasts of windows, and the errors of naive forecasts on the same windows.

    Attributes:
        panel: The data, with the series of the model in their order.
        origins: (n,), the first target steps.
        n_windows: Number of windows of the part, of which `origins` may be a sample.
        outputs: Point forecasts and intervals.
        by_day: Sums of the errors of the model by day.
        naive: Sums of the errors of naive forecasts, by name.
        best_naive: Name of the best of them.
        naive_by_day: Sums of its errors by day.
    """

    panel: Panel
    origins: np.ndarray
    n_windows: int
    outputs: Outputs
    by_day: SeriesBlockSums
    naive: dict[str, MetricSums]
    best_naive: str
    naive_by_day: SeriesBlockSums

    @classmethod
    def of(cls, trained: TrainedModel, panel: Panel, origins: np.ndarray, known_steps: int) -> WindowErrors:
        """Forecast the windows, or a sample of them.

        Args:
            trained: The model.
            panel: The data, with the series of the model in their order.
            origins: (n,), the first target steps of all windows, in order.
            known_steps: Number of steps that a season of a naive forecast has to fit into.
        """
        horizon, mean = trained.reach.horizon, trained.scaler.mean
        chosen = sample(origins, MAX_VALUES // (horizon * mean.size * len(trained.loss.quantiles)))
        outputs = forecast_windows(trained, panel, chosen)
        naives = {naive.name: naive for naive in naives_for(panel, known_steps)}
        sums = score_naives(list(naives.values()), panel, chosen, horizon, mean)
        best = best_of({name: one.mae_by_series().numpy() for name, one in sums.items()})
        blocks = blocks_of(panel, (int(origins[0]), int(origins[-1]) + horizon), horizon)
        by_day, naive_by_day = (SeriesBlockSums(blocks, mean.shape) for _ in range(2))
        score_naive(naives[best], panel, chosen, horizon, mean, blocks=naive_by_day)
        errors = cls(panel, chosen, len(origins), outputs, by_day, sums, best, naive_by_day)
        values, mask = (torch.from_numpy(x[errors.steps]) for x in (panel.values, panel.mask))
        by_day.update(torch.from_numpy(outputs.point), values, mask, torch.from_numpy(chosen))
        return errors

    @property
    def forecasts(self) -> np.ndarray:
        """Point forecasts (n, S, N, C)."""
        return self.outputs.point

    @cached_property
    def steps(self) -> np.ndarray:
        """Target steps (n, S)."""
        return self.origins[:, None] + np.arange(self.forecasts.shape[1])

    @cached_property
    def target(self) -> np.ndarray:
        """Observed values (n, S, N, C); NaN where nothing was observed."""
        return np.where(self.panel.mask[self.steps], self.panel.values[self.steps], np.float32(np.nan))

    @cached_property
    def absolute(self) -> np.ndarray:
        """Absolute errors (n, S, N, C); NaN where nothing was observed."""
        return np.abs(self.forecasts - self.target)

    @property
    def by_series(self) -> np.ndarray:
        """Mean absolute errors (N, C); NaN for a series without an observed target."""
        return _ratio(self.by_day.by_series.sum(0), self.by_day.counts.sum(0))

    @property
    def naive_by_series(self) -> np.ndarray:
        """Mean absolute errors (N, C) of the best naive forecast."""
        return _ratio(self.naive_by_day.by_series.sum(0), self.naive_by_day.counts.sum(0))


def sample(numbers: np.ndarray, size: int) -> np.ndarray:
    """Return at most `size` of the numbers, drawn at random with a fixed seed, in order."""
    if len(numbers) <= size:
        return numbers
    return np.sort(np.random.default_rng(0).choice(numbers, max(1, size), replace=False))


def forecast_windows(trained: TrainedModel, panel: Panel, origins: np.ndarray) -> Outputs:
    """Return the forecasts of windows, a batch at a time."""
    windows = WindowDataset(panel, trained.info.calendar, origins, trained.reach, with_targets=False)
    is_calibrated = trained.calibration is not None
    compute = trained.quantiles() if is_calibrated else trained.forecasting()
    with torch.inference_mode():
        outputs = torch.cat([compute(batch).cpu() for batch in window_loader(windows, trained.batch_size)]).numpy()
    if not is_calibrated:
        return Outputs(outputs, {})
    quantiles = trained.loss.quantiles
    middle = len(quantiles) // 2
    levels = {
        round(100 * (1 - 2 * q), 6): (outputs[..., i], outputs[..., -1 - i]) for i, q in enumerate(quantiles[:middle])
    }
    return Outputs(outputs[..., middle], dict(sorted(levels.items())))


def times_of(timestamps: np.ndarray) -> list[Any]:
    """Return times as ISO text to the second, or step numbers."""
    return (timestamps if timestamps.dtype.kind == "i" else np.datetime_as_string(timestamps, unit="s")).tolist()


def _ratio(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
