"""Influences between series: whose recent values move whose forecasts, over a sample of windows.

The influence of series A on series B is the mean absolute change of the forecasts of B when A has no observation in the
window. Of many series, only some are hidden: those that move the others most, by gradients of sums of forecasts. The
signs in a sum are random, so that what a source moves does not cancel. A sum is over a random half of the series, and
tells the strength of those in the other half, so that their own forecasts do not count.

Source of the random signs: Hutchinson, A stochastic estimator of the trace of the influence matrix, 1990.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from elinformer.data.pieces import evenly_spaced
from elinformer.data.windows import WindowDataset
from elinformer.explanations.attributions import baseline_of, differentiable

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.trained_model import TrainedModel

MAX_TOKENS = 200_000
"""Windows times series that are computed at most; with more, only some series are hidden."""

MAX_WINDOWS, FEWEST_SOURCES = 8, 12
"""Windows at most, and series that are hidden where `MAX_TOKENS` leaves the choice: then there are fewer windows."""

PROBES = 6
"""Random sums of forecasts of a window."""

PROBED_TOKENS = 10_000
"""Windows times series whose gradients are computed at most; one window at least."""


class Influences(NamedTuple):
    """Influences of M sources on N series.

    Attributes:
        sources: (M,), numbers of the sources.
        changes: (M, N), mean absolute changes of the forecasts, in standard deviations of the series.
    """

    sources: np.ndarray
    changes: np.ndarray


def n_windows(n_series: int) -> int:
    """Return the number of windows, two at least, to measure the influences of so many series on."""
    return max(2, min(MAX_WINDOWS, MAX_TOKENS // (FEWEST_SOURCES * n_series)))


def influences(trained: TrainedModel, panel: Panel, origins: np.ndarray) -> Influences:
    """Measure influences over windows, at bounded cost.

    Args:
        trained: The model.
        panel: The series of training, in their order.
        origins: (n,), the first target steps of the windows.
    """
    n_sources = max(2, MAX_TOKENS // (len(origins) * panel.n_series))
    sources = np.arange(panel.n_series)
    if n_sources < panel.n_series:
        sources = np.sort(np.argsort(strength(trained, panel, origins))[::-1][:n_sources])
    return Influences(sources, _changes(trained, panel, origins, sources))


def strength(trained: TrainedModel, panel: Panel, origins: np.ndarray) -> np.ndarray:
    """Return how far each series (N,) moves the others, by the gradients half way from the baseline.

    Arguments are those of `influences`.
    """
    windows = WindowDataset(panel, trained.info.calendar, origins, trained.reach, with_targets=False)
    model, generator = differentiable(trained.scaled), torch.Generator().manual_seed(0)
    total, counted = torch.zeros(2, panel.n_series, dtype=torch.float64)
    for place in evenly_spaced(len(windows), max(1, PROBED_TOKENS // panel.n_series)):
        batch = trained.completed(windows[[int(place)]]).to(trained.scaled.mean.device)
        baseline = baseline_of(trained, batch).values
        read = torch.where(batch.mask, batch.values, baseline)
        middle = ((read + baseline) / 2).requires_grad_()
        forecast = trained.loss.point(model(batch._replace(values=middle))) / trained.scaled.std
        for _ in range(PROBES):
            is_target = torch.rand(panel.n_series, generator=generator) < 0.5
            signs = 2.0 * torch.randint(2, forecast.shape, generator=generator) - 1
            moved = (forecast * (signs * is_target[:, None]).to(forecast)).sum()
            (gradient,) = torch.autograd.grad(moved, middle, retain_graph=True)
            effect = (gradient * (read - baseline)).sum((0, 1, 3)).double().cpu()
            total += torch.where(is_target, 0, effect**2)
            counted += ~is_target
    return (total / counted.clamp_min(1)).numpy()


def _changes(trained: TrainedModel, panel: Panel, origins: np.ndarray, sources: np.ndarray) -> np.ndarray:
    windows = WindowDataset(panel, trained.info.calendar, origins, trained.reach, with_targets=False)
    forecast, n_recent = trained.forecasting(), trained.reach.window
    batch = windows[range(len(windows))]
    std = torch.from_numpy(trained.scaler.std)
    changes = np.zeros((len(sources), panel.n_series), np.float32)
    with torch.inference_mode():
        base = forecast(batch).cpu()
        for row, source in enumerate(sources):
            mask = batch.mask.clone()
            mask[:, -n_recent:, source] = False
            change = (forecast(batch._replace(mask=mask)).cpu() - base).abs() / std
            changes[row] = change.mean((0, 1, 3)).numpy()
    return changes
