"""Errors of a model beside those of naive forecasts, with intervals over days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.evaluation import MetricSums
from elinformer.evaluation.ratios import ratio_to
from elinformer.report.groups import groups_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elinformer.report.window_errors import WindowErrors

Document = dict[str, Any]

RESAMPLES = 500
"""Times that the days are drawn again for an interval."""

MAX_RESAMPLED = 2000
"""Series and channels that are drawn again at most, evenly chosen."""

LEVEL = 0.95


def quality(errors: WindowErrors) -> Document:
    """Return the scores of the model and of the naive forecasts: overall, by step, by group and by channel.

    The skill is 1 less the ratio of the error to that of the best naive forecast, a geometric mean over the series.
    """
    panel, model = errors.panel, model_sums(errors)
    shape = errors.by_series.shape
    everything = np.ones(shape, bool)
    forecasts = {"elinformer": model, **errors.naive}
    groups = groups_of(panel)
    return {
        "best_naive": errors.best_naive,
        **_skill(errors, everything),
        "forecasts": [
            {"name": name, **sums.scores().to_dict(), "skill": _skill_of(sums, errors)}
            for name, sums in forecasts.items()
        ],
        "by_horizon": {name: _by_step(sums) for name, sums in forecasts.items()},
        "by_group": [_part(errors, group.name, _members(shape, group.series)) for group in groups if len(groups) > 1],
        "by_channel": [
            _part(errors, channel, everything & (np.arange(shape[1]) == number))
            for number, channel in enumerate(panel.channels)
            if shape[1] > 1
        ],
        "days": len(errors.by_day.blocks.labels),
        "block": errors.by_day.blocks.kind,
    }


def model_sums(errors: WindowErrors) -> MetricSums:
    """Return the sums of the errors of the model."""
    import torch

    sums = MetricSums(*errors.forecasts.shape[1:])
    targets = (torch.from_numpy(x[errors.steps]) for x in (errors.panel.values, errors.panel.mask))
    sums.update(torch.from_numpy(errors.forecasts), *targets)
    return sums


def _part(errors: WindowErrors, name: str, chosen: np.ndarray) -> Document:
    """Return the scores of some series and channels, chosen by a mask (N, C)."""
    days, naive_days = errors.by_day, errors.naive_by_day
    return {
        "name": name,
        "series": int(chosen.any(1).sum()),
        "mae": _mean(days.by_series[:, chosen].sum(), days.counts[:, chosen].sum()),
        "naive_mae": _mean(naive_days.by_series[:, chosen].sum(), naive_days.counts[:, chosen].sum()),
        **_skill(errors, chosen),
    }


def _skill(errors: WindowErrors, chosen: np.ndarray) -> Document:
    """Return the skill of some series, its interval over days, and the share of series that are worse than naive."""
    ratio = ratio_to(errors.by_series[chosen], errors.naive_by_series[chosen])
    low, high = _interval(errors, chosen)
    return {"skill": 1 - ratio.mean, "skill_low": low, "skill_high": high, "worse_than_naive": ratio.behind}


def _skill_of(sums: MetricSums, errors: WindowErrors) -> float:
    return 1 - ratio_to(sums.mae_by_series().numpy(), errors.naive_by_series).mean


def _interval(errors: WindowErrors, chosen: np.ndarray) -> tuple[float | None, float | None]:
    """Return the interval of the skill if days are drawn again; None with fewer than two days."""
    columns = np.flatnonzero(chosen)
    columns = columns[:: -(-len(columns) // MAX_RESAMPLED)]
    totals = [d.by_series.reshape(len(d.by_series), -1)[:, columns] for d in (errors.by_day, errors.naive_by_day)]
    n_days = len(totals[0])
    if n_days < 2:
        return None, None
    weights = np.random.default_rng(0).multinomial(n_days, np.full(n_days, 1 / n_days), RESAMPLES)
    model, naive = (weights @ total for total in totals)  # (resamples, columns): both have the same counts
    both = (model > 0) & (naive > 0)
    logs = np.log(np.where(both, model, 1)) - np.log(np.where(both, naive, 1))
    skills = 1 - np.exp(logs.sum(1) / np.maximum(both.sum(1), 1))
    low, high = np.quantile(skills, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _members(shape: tuple[int, ...], series: Sequence[int]) -> np.ndarray:
    chosen = np.zeros(shape, bool)
    chosen[list(series)] = True
    return chosen


def _by_step(sums: MetricSums) -> list[float | None]:
    return [sums.scores(step=step).to_dict()["mae"] for step in range(len(sums.count))]


def _mean(total: float, count: float) -> float | None:
    return float(total / count) if count else None
