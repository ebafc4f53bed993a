"""Calibration of quantiles on the validation part: split-conformal, by horizon step and by series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from elinformer.errors import InputError
from elinformer.evaluation import targets_of
from elinformer.intervals.scenarios import n_past, normal_scores, ranks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset

BINS_PER_OCTAVE = 4
LOWEST, HIGHEST = -10, 6
"""Range of ratios that are told apart, as powers of two: a ratio is a distance from the median, divided by the distance
of a quantile."""

N_BINS = (HIGHEST - LOWEST) * BINS_PER_OCTAVE
PARTS = 2
"""Parts of the validation, one after the other in time. What differs between series in one part only is chance."""

STEP_TARGETS = 200
"""Targets of a horizon step at which its factor is half its own and half that of all steps."""

FEW_TARGETS = 20
"""Targets of a part below which a series has the factor of all series."""

BISECTIONS = 20

MOST_REPEATED = 0.99
"""Share of the differences between series that is taken as lasting at most."""


TENSORS = ("steps", "series", "nonnegative", "ranks")
"""Fields that the file of a calibration holds."""

LEAST_MISSES = 2 / 3
"""Targets beyond a quantile that few windows leave at least, as a share of those that it says."""

MAX_WINDOWS = 512
"""Validation windows that are forecast at most, at equal distances in time."""

MAX_TARGETS = 2_000_000
"""Series times channels times windows at most, where there are more than `MIN_WINDOWS` windows."""

MIN_WINDOWS = 64


@dataclass(frozen=True, eq=False)
class Calibration:
    """Factors on the distances of quantiles from the median, found on the validation part.

    The distance of quantile k is multiplied by `steps` and by `series`, so that as many validation targets lie beyond
    it as it says, or fewer where validation is short: see `levels_of`. This is conformalised quantile regression with
    the distances as the unit of the errors. The median does not change, and quantiles do not cross.

    Attributes:
        quantiles: The K trained quantiles; the one in the middle is 0.5.
        steps: (S, C, K), factors by horizon step and channel.
        series: (N, C, K), factors by series and channel, relative to `steps`. They are shrunk towards 1, the more the
            fewer validation targets a series has and the less they repeat from the first half of them to the second.
        nonnegative: (N, C), True = no value of training is negative.
        ranks: (M, S, N, C), ranks of the errors of M validation windows: see `elinformer.intervals.scenarios`.

    Source: Romano et al., Conformalized Quantile Regression, 2019, arXiv 1905.03222; Sesia and Candes, A Comparison of
    Some Conformal Quantile Regression Methods, 2020, arXiv 1909.05433, for the unit of the errors.
    """

    quantiles: tuple[float, ...]
    steps: Tensor
    series: Tensor
    nonnegative: Tensor
    ranks: Tensor

    def apply(self, outputs: Tensor) -> Tensor:
        """Return calibrated quantiles (B, S, N, C, K) of outputs (B, S, N, C, K)."""
        middle = len(self.quantiles) // 2
        median = outputs[..., middle : middle + 1]
        distances = (outputs - median) * (self.steps[:, None] * self.series).to(outputs)
        below = distances[..., :middle].flip(-1).cummin(-1).values.flip(-1)  # factors differ: keep the order
        above = distances[..., middle + 1 :].cummax(-1).values
        return median + torch.cat((below, torch.zeros_like(median), above), dim=-1)

    def with_new_series(self, nonnegative: Tensor) -> Calibration:
        """Return the calibration of n more series, with the factors of all series and independent errors.

        Args:
            nonnegative: (n, C), True = no value in the history of a new series is negative.
        """
        m, s, _, c = self.ranks.shape
        ranks = ranks_of(torch.full((m, s, len(nonnegative), c), torch.nan))
        series = torch.cat((self.series, self.series.new_ones(len(nonnegative), *self.series.shape[1:])))
        nonnegative = torch.cat((self.nonnegative, nonnegative))
        return Calibration(self.quantiles, self.steps, series, nonnegative, torch.cat((self.ranks, ranks), dim=2))

    def lowest(self, values: Tensor, mask: Tensor, series: Sequence[int] | slice = slice(None)) -> Tensor:
        """Return the lowest value (B, N, C) that forecasts of windows can have: 0, or minus infinity.

        It is 0 where neither training nor the window has a negative value.

        Args:
            values: (B, T, N, C), in the units of the data.
            mask: (B, T, N, C), True = observed.
            series: Numbers of the N series, if they are not all.
        """
        negative = ((values < 0) & mask).any(1)
        return torch.where(self.nonnegative[series].to(negative.device) & ~negative, 0.0, -torch.inf)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a file."""
        return {name: getattr(self, name) for name in TENSORS}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], quantiles: Sequence[float], horizon: int, n_series: int, n_channels: int
    ) -> Calibration:
        """Return the calibration of the tensors of a file.

        Args:
            tensors: The tensors, by name.
            quantiles: The K quantiles of the model.
            horizon: S.
            n_series: N.
            n_channels: C.

        Raises:
            InputError: The tensors are not those of a calibration of this model.
        """
        k = len(quantiles)
        shapes = {"steps": (horizon, n_channels, k), "series": (n_series, n_channels, k)}
        if (
            set(tensors) != {*TENSORS}
            or any(tensors[name].shape != shape or not _are_factors(tensors[name]) for name, shape in shapes.items())
            or tensors["ranks"].dtype != torch.uint8
            or tensors["ranks"].shape != (len(tensors["ranks"]), horizon, n_series, n_channels)
            or not len(tensors["ranks"])
            or tensors["nonnegative"].dtype != torch.bool
            or tensors["nonnegative"].shape != (n_series, n_channels)
        ):
            raise InputError(
                f"expected the calibration of {n_series} series, {horizon} steps and {k} quantiles beside the model, "
                "got another: train it again"
            )
        return cls(tuple(quantiles), **tensors)


def calibrate(
    forecast: Callable[[Batch], Tensor],
    windows: WindowDataset,
    batch_size: int,
    quantiles: Sequence[float],
    nonnegative: Tensor,
) -> Calibration:
    """Forecast windows, and return the calibration of their errors.

    Args:
        forecast: Function from a batch to quantiles (B, S, N, C, K), both in the units of the data.
        windows: Windows of the validation part, in the order of time.
        batch_size: Number of windows in a batch.
        quantiles: The K quantiles.
        nonnegative: (N, C), True = no value of training is negative.
    """
    n_windows, horizon, (n_series, n_channels) = len(windows), windows.horizon, windows.values.shape[1:]
    most = min(MAX_WINDOWS, max(MIN_WINDOWS, MAX_TARGETS // (n_series * n_channels)))
    chosen = torch.linspace(0, n_windows - 1, min(n_windows, most)).round().long()
    counts = CalibrationCounts(quantiles, horizon, n_series, n_channels, len(chosen))
    every = -(-len(chosen) // n_past(len(chosen), horizon * n_series * n_channels))
    scores = []
    with torch.inference_mode():
        for numbers in torch.arange(len(chosen)).split(batch_size):
            batch = windows[chosen[numbers].tolist()]
            outputs, (target, mask) = forecast(batch).cpu(), targets_of(batch)
            kept = numbers % every == 0
            scores.append(normal_scores(outputs[kept], target[kept], mask[kept], quantiles))
            parts = numbers * PARTS // len(chosen)
            for part in range(PARTS):
                counts.update(outputs[parts == part], target[parts == part], mask[parts == part], part)
    return counts.calibration(nonnegative, ranks_of(torch.cat(scores)), windows.n_apart)


def levels_of(quantiles: Sequence[float], n_apart: float) -> Tensor:
    """Return the share (K,) of validation errors that each quantile is to have inside.

    The errors of all series in a window are those of the same event, so that windows count, not targets. Of n such
    events, the one in place q n + 1/2 of the order has a share of (q n + 1/2) / (n + 1) of all future events below it,
    which is less than q. The share that makes up for it is q + (q - 1/2) / n.

    Args:
        quantiles: The K quantiles.
        n_apart: Number of windows that share no step.

    Source: David and Nagaraja, Order Statistics, 2003, section 2.3, for the expected share.
    """
    levels = torch.tensor([max(q, 1 - q) for q in quantiles])
    return torch.minimum(levels + (levels - 0.5) / n_apart, 1 - LEAST_MISSES * (1 - levels))


class CalibrationCounts:
    """Counts of the validation errors, from which a `Calibration` is made. The memory does not grow with the windows.

    The ratio of a target to quantile k is its distance from the median, divided by the distance of the quantile. It is
    counted in bins of the logarithm.

    Args:
        quantiles: The K quantiles; the one in the middle is 0.5.
        horizon: S.
        n_series: N.
        n_channels: C.
        n_windows: Number of windows that are counted at most.
    """

    def __init__(
        self, quantiles: Sequence[float], horizon: int, n_series: int, n_channels: int, n_windows: int
    ) -> None:
        self.quantiles = tuple(quantiles)
        of_series = torch.int16 if n_windows * horizon <= torch.iinfo(torch.int16).max else torch.int32
        k = len(self.quantiles)
        self.steps = torch.zeros(horizon, n_channels, k, N_BINS, dtype=torch.int32)
        self.series = torch.zeros(PARTS, n_series, n_channels, k, N_BINS, dtype=of_series)

    def update(self, outputs: Tensor, target: Tensor, mask: Tensor, part: int) -> None:
        """Count the errors of B forecasts.

        Args:
            outputs: (B, S, N, C, K), rising.
            target: (B, S, N, C).
            mask: (B, S, N, C), True = the target was observed.
            part: Number of the part of the validation, 0 or 1.
        """
        median = outputs[..., len(self.quantiles) // 2, None]
        ratio = (target[..., None] - median) / (outputs - median)
        position = (torch.log2(ratio.clamp(min=2.0**LOWEST)) - LOWEST) * BINS_PER_OCTAVE
        bins = position.nan_to_num(0).clamp(0, N_BINS - 1).to(torch.int64)  # NaN: no error and no distance
        bins += N_BINS * torch.arange(bins.shape[-1])  # a row of bins for each quantile
        for counts, axis in ((self.steps, 1), (self.series[part], 2)):
            groups = torch.arange(len(counts)).reshape([-1 if a == axis else 1 for a in range(5)])
            rows = (groups * mask.shape[3] + torch.arange(mask.shape[3])[:, None]) * counts[0, 0].numel() + bins
            rows = rows[mask]
            counts.view(-1).index_add_(0, rows.flatten(), counts.new_ones(rows.numel()))

    def calibration(self, nonnegative: Tensor, ranks: Tensor, n_apart: float) -> Calibration:
        """Return the calibration of the counted errors; see `Calibration` and `levels_of` for the arguments."""
        beyond = levels_of(self.quantiles, n_apart)
        n = self.steps.sum(-1)
        steps = (_log_ratio(self.steps, beyond) - _log_ratio(self.steps.sum(0), beyond)) * n / (n + STEP_TARGETS)
        series = self._series_logs(beyond)
        # Errors of steps and series of different size have a longer tail together than each of them.
        pooled = _log_ratio(self.steps.sum(0), beyond)
        common = (
            _common_log(self.steps, steps, beyond)
            + _common_log(self.series.sum(0, dtype=torch.int32), series, beyond)
            - pooled
        )
        common = torch.where(n.sum(0) > 0, common, 0)
        return Calibration(self.quantiles, self._factors(common + steps), self._factors(series), nonnegative, ranks)

    def _factors(self, logs: Tensor) -> Tensor:
        factors = torch.exp2(logs.float())
        factors[..., len(self.quantiles) // 2] = 1
        return factors

    def _series_logs(self, beyond: Tensor) -> Tensor:
        """Return the logarithms (N, C, K) of the factors of series, relative to those of all series, shrunk."""
        parts = [self._relative_logs(counts, beyond) for counts in self.series]
        both = torch.stack([~x.isnan() for x in parts]).all(0)
        first, second = (torch.where(both, x, 0) for x in parts)
        variance = ((first**2 + second**2) / 2).sum(0)
        n_series = both.sum(0)
        repeated = ((first * second).sum(0) / variance).nan_to_num(0).clamp(0, MOST_REPEATED)
        repeated = repeated * (n_series - 1).clamp_min(0) / (n_series + 2)  # (C, K), less trust in few series
        n = self.series.sum((0, -1), dtype=torch.int64)  # (N, C, K)
        per_part = n.sum(0) / (PARTS * n_series.clamp_min(1))
        whole = self._relative_logs(self.series.sum(0, dtype=torch.int32), beyond).nan_to_num(0)
        return whole * (n * repeated / (n * repeated + per_part * (1 - repeated))).nan_to_num(0)

    @staticmethod
    def _relative_logs(counts: Tensor, beyond: Tensor) -> Tensor:
        """Return logarithms (N, C, K), relative to all series; NaN for a series with few targets."""
        logs = _log_ratio(counts, beyond) - _log_ratio(counts.sum(0, dtype=torch.int64), beyond)
        return torch.where(counts.sum(-1) >= FEW_TARGETS, logs, torch.nan)


def _are_factors(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and bool((tensor.isfinite() & (tensor > 0)).all())


def _log_ratio(counts: Tensor, beyond: Tensor) -> Tensor:
    """Return the logarithm of the ratio that a share `beyond` (K,) of the errors stays below, from (..., K, bins)."""
    cumulated = counts.cumsum(-1, dtype=torch.float32)
    n = cumulated[..., -1]
    rank = beyond * n
    bins = torch.searchsorted(cumulated, rank[..., None]).clamp_max(N_BINS - 1)
    before, inside = cumulated.gather(-1, (bins - 1).clamp_min(0)), counts.gather(-1, bins)
    before = torch.where(bins > 0, before, 0)
    share = torch.where(bins > 0, (rank[..., None] - before) / inside.clamp_min(1), 1)  # the lowest bin has no end
    return (LOWEST + (bins + share).squeeze(-1) / BINS_PER_OCTAVE).masked_fill(n == 0, 0)


def _common_log(counts: Tensor, logs: Tensor, beyond: Tensor) -> Tensor:
    """Return the logarithm (C, K) that has a share `beyond` of all errors below it, once `logs` are added to it.

    Args:
        counts: (G, C, K, bins), counts of the groups.
        logs: (G, C, K), logarithms of the factors of the groups.
        beyond: (K,).
    """
    cumulated = torch.nn.functional.pad(counts.cumsum(-1, dtype=torch.float32), (1, 0))
    n = cumulated[..., -1].sum(0)
    rank = beyond * n
    low, high = torch.full_like(rank, 2 * LOWEST), torch.full_like(rank, 2 * HIGHEST)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        position = ((middle + logs - LOWEST) * BINS_PER_OCTAVE).clamp(0, N_BINS)
        bins = position.floor().clamp_max(N_BINS - 1).long()[..., None]
        before, after = (cumulated.gather(-1, edge).squeeze(-1) for edge in (bins, bins + 1))
        enough = (before + (position - bins.squeeze(-1)) * (after - before)).sum(0) >= rank
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high
