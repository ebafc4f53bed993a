"""Scores of quantiles: coverage and width of intervals, pinball loss, weighted interval score and CRPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

DECIMALS = 6
"""Decimals of scores of series in JSON, relative to their size: files of many series stay small."""


class IntervalSums:
    """Sums of the scores of quantiles, by horizon step and by series, in float64.

    The levels are those of the pairs of quantiles around the median.

    Args:
        quantiles: K rising quantiles, those of the pairs at equal distances from 0.5, the one in the middle 0.5.
        horizon: S.
        n_series: N.
        n_channels: C.

    Attributes:
        levels: L levels in percent, rising.
        by_step: (S, C, 2 L + K), sums over windows and series: targets inside each interval, its width, pinball losses.
        by_series: (N, C, 2 L + K), the same sums over windows and steps.
        step_count: (S, C), number of observed targets.
        series_count: (N, C), number of observed targets.

    Example:
        >>> sums = IntervalSums((0.1, 0.5, 0.9), horizon=1, n_series=1, n_channels=1)
        >>> outputs, target = torch.tensor([-1.0, 0.0, 1.0]).expand(2, 1, 1, 1, 3), torch.tensor([0.5, 3.0])
        >>> sums.update(outputs, target.reshape(2, 1, 1, 1), torch.ones(2, 1, 1, 1, dtype=torch.bool))
        >>> scores = sums.report()
        >>> scores["coverage"], scores["width"]
        ({'80': 0.5}, {'80': 2.0})
    """

    def __init__(self, quantiles: Sequence[float], horizon: int, n_series: int, n_channels: int) -> None:
        self.quantiles = torch.tensor(quantiles, dtype=torch.float64)
        self.n_levels = len(quantiles) // 2
        self.levels = tuple(round(100 * (1 - 2 * q), 6) for q in reversed(quantiles[: self.n_levels]))
        n_sums = 2 * self.n_levels + len(quantiles)
        self.by_step = torch.zeros(horizon, n_channels, n_sums, dtype=torch.float64)
        self.by_series = torch.zeros(n_series, n_channels, n_sums, dtype=torch.float64)
        self.step_count = torch.zeros(horizon, n_channels, dtype=torch.float64)
        self.series_count = torch.zeros(n_series, n_channels, dtype=torch.float64)

    @property
    def tensors(self) -> list[Tensor]:
        """Sums and counts, which may be added over ranks."""
        return [self.by_step, self.by_series, self.step_count, self.series_count]

    def update(self, outputs: Tensor, target: Tensor, mask: Tensor) -> None:
        """Add the scores of B forecasts.

        Args:
            outputs: (B, S, N, C, K), in the units of the data, rising.
            target: (B, S, N, C).
            mask: (B, S, N, C), True = the target was observed.
        """
        outputs, target, mask = (x.cpu() for x in (outputs, target, mask))
        n, target = self.n_levels, target[..., None]
        low, high = outputs[..., :n].flip(-1), outputs[..., n + 1 :]  # from the narrowest interval to the widest
        error = target - outputs
        pinball = error.relu() - error * (1 - self.quantiles.to(error))
        scores = torch.cat(((low <= target) & (target <= high), high - low, pinball), dim=-1)
        scores = torch.where(mask[..., None], scores, 0)
        self.by_step += scores.sum((0, 2), dtype=torch.float64)
        self.by_series += scores.sum((0, 1), dtype=torch.float64)
        self.step_count += mask.sum((0, 2))
        self.series_count += mask.sum((0, 1))

    def report(self) -> dict[str, Any]:
        """Return a JSON document: all scores, and those by horizon ("1" is the first step) and by series, in order."""
        steps = [self._scores(*sums) for sums in zip(self.by_step.sum(1), self.step_count.sum(1), strict=True)]
        return {
            **self._scores(self.by_step.sum((0, 1)), self.step_count.sum()),
            "by_horizon": {str(step + 1): scores for step, scores in enumerate(steps)},
            "by_series": self._by_series(),
        }

    def coverage(self, level: float) -> Tensor:
        """Return the shares (N, C) of the targets of each series inside the interval of one of the `levels`."""
        return self.by_series[..., self.levels.index(level)] / self.series_count

    def _scores(self, sums: Tensor, count: Tensor) -> dict[str, Any]:
        inside, width, *rest = self._means(sums, count)
        names = [f"{level:g}" for level in self.levels]
        shares, widths = ({n: _number(x) for n, x in zip(names, values, strict=True)} for values in (inside, width))
        return {
            "coverage": shares,
            "width": widths,
            **dict(zip(("pinball", "wis", "crps"), map(_number, rest), strict=True)),
        }

    def _by_series(self) -> dict[str, Any]:
        inside, _, pinball, wis, crps = self._means(self.by_series.sum(1), self.series_count.sum(1))
        named = {"pinball": pinball, "wis": wis, "crps": crps}
        coverage = {f"{level:g}": _numbers(shares) for level, shares in zip(self.levels, inside.T, strict=True)}
        return {"coverage": coverage, **{name: _numbers(values) for name, values in named.items()}}

    def _means(self, sums: Tensor, count: Tensor) -> tuple[Tensor, ...]:
        """Return coverage and width (..., L), mean pinball loss, weighted interval score and CRPS (...)."""
        means = sums / count[..., None]
        inside, width, pinball = means.split((self.n_levels, self.n_levels, len(self.quantiles)), dim=-1)
        # With the median and L intervals, the weighted interval score is twice the mean pinball loss (Bracher et al.
        # 2021, doi 10.1371/journal.pcbi.1008618). CRPS is twice its integral, here with straight lines between the
        # quantiles and to 0 at both ends.
        ends = torch.zeros_like(pinball[..., :1])
        levels = torch.cat((torch.zeros(1, dtype=torch.float64), self.quantiles, torch.ones(1, dtype=torch.float64)))
        crps = 2 * torch.trapezoid(torch.cat((ends, pinball, ends), dim=-1), levels, dim=-1)
        return inside, width, pinball.mean(-1), 2 * pinball.mean(-1), crps


def _number(value: Tensor) -> float | None:
    return None if value.isnan() else float(value)


def _numbers(values: Tensor) -> list[float | None]:
    return [None if value != value else float(f"{value:.{DECIMALS}g}") for value in values.tolist()]  # noqa: PLR0124
