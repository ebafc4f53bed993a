"""Verdict on forecasts: their errors beside those of naive forecasts of the same windows, without units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.data.pieces import row_blocks
from elinformer.data.scaling import seasonal_changes
from elinformer.evaluation.naive import Naive, naives_for, score_naives
from elinformer.evaluation.ratios import Ratio, best_of, ratio_to

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import Scaler
    from elinformer.evaluation.metrics import MetricSums

SPARSE = 0.5
"""Share of zeros above which a series is sparse."""

SPREAD_OF_UNITS = 100
"""Ratio of a large to a small scale (95th to 5th percentile over series) above which series differ in their units."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Errors of a forecast beside those of naive forecasts of the same windows.

    The best naive forecast has the lowest geometric mean over the series of the MAE on these windows. It is chosen in
    hindsight, so that no rule that chooses one before does better. Every channel of a series counts as a series.

    MASE and RMSSE are means over the series of the MAE and the RMSE, each divided by the error that repeating the value
    one season ago makes in training. The season is that of the best naive forecast.

    Attributes:
        sums: Sums of the errors of the forecast.
        naives: Those of the naive forecasts, by name.
        best: The best naive forecast.
        absolute: (N, C), mean absolute change over a season in training.
        squared: (N, C), root mean squared change over a season in training.
        zeros: (N, C), share of the observed values of the scored steps that are zero.
        reads: Number of steps before its origin that the forecast reads.

    Source: MASE, Hyndman and Koehler 2006; RMSSE, Makridakis, Spiliotis and Assimakopoulos 2022 (M5).
    """

    sums: MetricSums
    naives: dict[str, MetricSums]
    best: Naive
    absolute: np.ndarray
    squared: np.ndarray
    zeros: np.ndarray
    reads: int

    @cached_property
    def ratio(self) -> Ratio:
        """Ratio of the errors to those of the best naive forecast."""
        return self.ratio_of(self.sums)

    def ratio_of(self, sums: MetricSums) -> Ratio:
        """Return the ratio of the errors of some forecast to those of the best naive forecast."""
        return ratio_to(_mae(sums), _mae(self.naives[self.best.name]))

    def mase(self, sums: MetricSums, *, step: int | None = None) -> float:
        """Return the MASE of some forecast, over all horizon steps or at one, from 0."""
        return _mean(_mae(sums, step) / self.absolute)

    def rmsse(self, sums: MetricSums) -> float:
        """Return the RMSSE of some forecast."""
        with np.errstate(invalid="ignore"):
            return _mean(np.sqrt(sums.squared.sum(0).numpy() / sums.count.sum(0).numpy()) / self.squared)

    @property
    def units_differ(self) -> bool:
        """True for several channels, or series of very different scales: their MAE has no common unit."""
        low, high = np.quantile(self.absolute, (0.05, 0.95))
        return self.absolute.shape[1] > 1 or bool(high > SPREAD_OF_UNITS * low)

    @property
    def advice(self) -> str | None:
        """Sentence on what to try, or None if the forecast is not behind the best naive one."""
        if not self.ratio.mean > 1:
            return None
        if self.best.period > self.reads:
            return (
                f"try `--lags {self.best.period}`, because the model reads {self.reads} steps, and the best naive "
                "forecast looks further back"
            )
        return (
            f"use the naive forecast ({self.best.name}) for these data, or try a longer history, more series of their "
            "kind, or covariates that explain them"
        )

    def bias_of_sparse(self, sums: MetricSums) -> float:
        """Return how far the total of the forecasts of sparse series is above that of the targets, in percent."""
        total = float(sums.total.sum(0).numpy()[self._sparse].sum())
        return 100 * float(sums.signed.sum(0).numpy()[self._sparse].sum()) / total if total else np.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as a JSON document, with None instead of NaN."""
        forecasts = {"elinformer": self.sums, **self.naives}
        return _without_nan(
            {
                "best_naive": self.best.name,
                "season": self.best.period,
                "ratio": self.ratio.mean,
                "series_behind": self.ratio.behind,
                "series_clearly_behind": self.ratio.clearly_behind,
                "n_series": self.ratio.n_series,
                "units_differ": self.units_differ,
                "scaled": {name: self._scaled(sums) for name, sums in forecasts.items()},
                "sparse": self._sparse_document(),
                "advice": self.advice,
            }
        )

    def _scaled(self, sums: MetricSums) -> dict[str, Any]:
        steps = range(len(sums.count))
        return {
            "ratio": self.ratio_of(sums).mean,
            "mase": self.mase(sums),
            "rmsse": self.rmsse(sums),
            "mase_by_horizon": {str(step + 1): self.mase(sums, step=step) for step in steps},
        }

    @property
    def _sparse(self) -> np.ndarray:
        return self.zeros > SPARSE

    def _sparse_document(self) -> dict[str, Any] | None:
        if not self._sparse.any():
            return None
        return {
            "n_series": int(self._sparse.sum()),
            "bias_percent": self.bias_of_sparse(self.sums),
            "best_naive_bias_percent": self.bias_of_sparse(self.naives[self.best.name]),
        }


def judge(
    sums: MetricSums, panel: Panel, origins: np.ndarray, *, known_steps: int, scaler: Scaler, reads: int
) -> Verdict:
    """Score the naive forecasts of some windows, and return the verdict on a forecast of the same windows.

    Args:
        sums: Sums of the errors of the forecast.
        panel: The data.
        origins: (n,), the first target steps of the windows.
        known_steps: Number of steps at the begin of the panel that scales are measured on: those of training.
        scaler: Mean and standard deviation of training, for series without an earlier value or a change.
        reads: Number of steps before its origin that the forecast reads.
    """
    naives, horizon = naives_for(panel, known_steps), len(sums.count)
    scores = score_naives(naives, panel, origins, horizon, scaler.mean)
    name = best_of({name: _mae(found) for name, found in scores.items()})
    best = next(naive for naive in naives if naive.name == name)
    absolute, squared = seasonal_changes(panel.values[:known_steps], panel.mask[:known_steps], best.period)
    return Verdict(
        sums,
        scores,
        best,
        np.where(absolute > 0, absolute, scaler.std),
        np.where(squared > 0, squared, scaler.std),
        _share_of_zeros(panel, int(origins.min()), int(origins.max()) + horizon),
        reads,
    )


def _share_of_zeros(panel: Panel, start: int, stop: int) -> np.ndarray:
    """Return the share of the observed values in the steps [start, stop) that are zero, (N, C)."""
    zeros, count = (np.zeros(panel.values.shape[1:], np.int64) for _ in range(2))
    values, mask = panel.values[start:stop], panel.mask[start:stop]
    for rows in row_blocks(values.shape):
        zeros += ((values[rows] == 0) & mask[rows]).sum(0)
        count += mask[rows].sum(0)
    return zeros / np.maximum(count, 1)


def _mae(sums: MetricSums, step: int | None = None) -> np.ndarray:
    """Return the MAE of the series (N, C), over all horizon steps or at one."""
    steps = slice(None) if step is None else slice(step, step + 1)
    with np.errstate(invalid="ignore"):
        return sums.absolute[steps].sum(0).numpy() / sums.count[steps].sum(0).numpy()


def _mean(errors: np.ndarray) -> float:
    """Return the mean over the series with observed targets; NaN if there is none."""
    seen = errors[np.isfinite(errors)]
    return float(seen.mean()) if len(seen) else np.nan


def _without_nan(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: _without_nan(value) for name, value in document.items()}
    return None if isinstance(document, float) and np.isnan(document) else document
