"""Blend of a trained model with simple forecasts, weighted by their errors on the validation part."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elinformer.data.pieces import affordable
from elinformer.evaluation import targets_of
from elinformer.models.inputs import earlier_of, n_read
from elinformer.partition import forecasting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset
    from elinformer.evaluation import Loss
    from elinformer.models.scaled import ScaledModel

MAX_WINDOWS = 200
"""Validation windows that are used, evenly spaced."""
MAX_TOKENS = 400_000
"""Series times windows that are used, where this gives at least `MIN_WINDOWS`."""
MIN_WINDOWS = 16
WEIGHTS = torch.linspace(0, 1, 11)
"""Weights of the model to choose from; the rest is that of the simple forecast."""
PARTS = 3
"""Parts of the horizon that have weights of their own."""
PRIOR, CAUTION = 0.4, 2.0
"""Weight of the model where validation says little, and the penalty of other weights, as a share of the error, if
validation were one window. The errors of a few windows are those of a few events, and nearly equal weights are hard to
beat then (Smith and Wallis 2009)."""
POWER, LEAST_POWER, MOST_POWER = 3, 4, 6
"""Power of the errors that simple forecasts are weighted by, if validation were one window, and its limits. It grows
with the root of the number of windows, as the ratio of two errors is known better. 2 is that of Bates and Granger
(1969) for errors without a correlation; a higher one leaves less to the worse forecasts."""
MAX_RATIO = 1e4
"""Ratio of two errors from which the worse forecast gets no weight that matters."""
SHRINKAGE = 1.0
"""Weight of the mean error of all series beside that of a series, when its weight is chosen."""


def blend_with_simple_forecasts(scaled: ScaledModel, windows: WindowDataset, loss: Loss, tokens_at_once: int) -> None:
    """Choose the simple forecast of each series and part of the horizon, and the weight of the model beside it.

    The simple forecast is a mean of the last value, the drift, the value of each lag, the mean of all lags, the means
    of seasons, and the mean of training: the smaller the error of one of them, the larger its weight. Models without
    `set_blend` stay as they are.

    Args:
        scaled: The trained model, in the units of the data.
        windows: Validation windows.
        loss: Meaning of its outputs.
        tokens_at_once: Tokens that training holds in memory: see `elinformer.partition.forecast.forecasting`.
    """
    model: Any = scaled.model
    if not hasattr(model, "set_blend"):
        return
    was_training = scaled.training
    scaled.eval()
    config = model.config
    outputs = forecasting(scaled, config.n_series, tokens=model.tokens_per_window, tokens_at_once=tokens_at_once)
    reset_blend(model)
    with torch.inference_mode():
        n_windows = windows.n_apart
        power = min(max(LEAST_POWER, POWER * n_windows**0.5), MOST_POWER)
        simple = _simple_forecast(_samples(scaled, windows, None), config.n_lags, power)
        samples = _samples(scaled, windows, lambda batch: loss.point(outputs(batch)))
        trust = _best_weights(samples, simple, n_windows)
    model.set_blend(simple, trust)
    scaled.train(was_training)


def reset_blend(model: Any) -> None:
    """Let the forecast be that of the model alone, as training and validation need it."""
    if hasattr(model, "set_blend"):
        model.set_blend(torch.zeros_like(model.output.simple), torch.ones_like(model.output.trust))


class _Sample:
    """Scaled values of one window.

    Attributes:
        earlier: (L, S, N, C), the drift, the means of seasons, the lags, the last value and the training mean.
        forecast: (S, N, C), the forecast of the model; that of the target if there is none.
        target: (S, N, C).
        unit: (S, N, C), weight of an error: the deviation of the window, 0 where the target is missing.
    """

    def __init__(self, scaled: ScaledModel, batch: Batch, forecast: Tensor | None) -> None:
        config: Any = scaled.model.config
        inputs = scaled.scale(batch)
        target, mask = targets_of(inputs)
        self.earlier = earlier_of(inputs, config.n_seasonal, config.horizon)[0]
        self.target = torch.where(mask, target, 0)[0]
        self.forecast = self.target if forecast is None else scaled.scale(batch._replace(target=forecast)).target[0]  # pyright: ignore[reportOptionalSubscript]
        deviation = torch.ones(()) if inputs.level is None else inputs.level[0, :, config.n_channels :].exp()
        self.unit = mask[0] * deviation


def _samples(
    scaled: ScaledModel, windows: WindowDataset, forecast: Callable[[Batch], Tensor] | None
) -> Iterator[_Sample]:
    config: Any = scaled.model.config
    sizes = {"cost": config.n_series, "budget": MAX_TOKENS, "least": MIN_WINDOWS, "most": MAX_WINDOWS}
    for index in affordable(len(windows), **sizes).tolist():
        batch = windows[[index]]
        yield _Sample(scaled, batch, None if forecast is None else forecast(batch))


def _parts(horizon: int) -> list[slice]:
    """Return the parts of the horizon."""
    edges = np.unique(np.linspace(0, horizon, PARTS + 1).round().astype(int))
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def _simple_forecast(samples: Iterator[_Sample], n_lags: int, power: float) -> Tensor:
    """Return the weights (N, S, C, L) of the L earlier values in the simple forecast of each series.

    The error that weighs a forecast is the geometric mean of that for this series and that for all of them, each as a
    ratio to the smallest one.

    Args:
        samples: Windows.
        n_lags: Number of lags among the earlier values.
        power: Power of an error by which the weight of a forecast falls.
    """
    totals = candidates = None
    parts: list[slice] = []
    for sample in samples:
        if candidates is None:
            candidates, parts = _candidates(len(sample.earlier), n_lags), _parts(len(sample.target))
        forecasts = torch.einsum("jl,lsnc->jsnc", candidates, sample.earlier)
        errors = (forecasts - sample.target).abs() * sample.unit
        found = _sums_of_parts(errors, parts)  # (J, P, N, C)
        totals = found if totals is None else totals + found
    if totals is None or candidates is None:
        raise AssertionError("validation has at least one window")
    own, shared = (_ratios(errors) for errors in (totals, totals.sum((2, 3), keepdim=True)))
    weights = (own * shared) ** (-power / 2)
    simple = torch.einsum("jpnc,jl->npcl", (weights / weights.sum(0)).float(), candidates)
    return _of_steps(simple, parts)


def _ratios(errors: Tensor) -> Tensor:
    """Return the errors (J, ...) of J forecasts over the smallest of them, at most `MAX_RATIO`."""
    smallest = 1e-12
    return ((errors + smallest) / (errors.amin(0) + smallest)).clamp_max(MAX_RATIO)


def _sums_of_parts(errors: Tensor, parts: list[slice]) -> Tensor:
    """Return the sums (J, P, N, C) of the errors (J, S, N, C) over the parts of the horizon."""
    return torch.stack([errors[:, part].sum(1) for part in parts], 1).double()


def _of_steps(values: Tensor, parts: list[slice]) -> Tensor:
    """Repeat the values (N, P, ...) of the parts of the horizon for each of its steps."""
    return values.repeat_interleave(torch.tensor([part.stop - part.start for part in parts]), dim=1)


def _candidates(n: int, n_lags: int) -> Tensor:
    """Return the weights (J, n) of simple forecasts: each of n earlier values, and the mean of the lags among them."""
    single = torch.eye(n)
    if n_lags < 2:
        return single
    is_lag = torch.zeros(1, n)
    is_lag[:, -n_read(n_lags) : -n_read(0)] = 1
    return torch.cat((single, is_lag / n_lags))


def _best_weights(samples: Iterator[_Sample], simple: Tensor, n_windows: float) -> Tensor:
    """Return the weights (N, S, C) of the model beside the simple forecast.

    Args:
        samples: Windows with their forecasts.
        simple: (N, S, C, L), the simple forecast.
        n_windows: Number of validation windows. Those that share steps count once.
    """
    totals = counts = None
    parts = _parts(simple.shape[1])
    for sample in samples:
        base = torch.einsum("nscl,lsnc->snc", simple, sample.earlier)
        blends = base + WEIGHTS[:, None, None, None] * (sample.forecast - base)
        errors = (blends - sample.target).abs() * sample.unit  # (W, S, N, C)
        found = _sums_of_parts(errors, parts)  # (W, P, N, C)
        seen = torch.stack([(sample.unit[part] > 0).sum(0) for part in parts])
        totals, counts = (found, seen) if totals is None or counts is None else (totals + found, counts + seen)
    if totals is None or counts is None:
        raise AssertionError("validation has at least one window")
    mean = totals / counts.clamp_min(1)
    overall = totals.sum((2, 3), keepdim=True) / counts.sum((1, 2), keepdim=True).clamp_min(1)
    error = mean + SHRINKAGE * overall
    penalty = CAUTION / n_windows * (WEIGHTS - PRIOR).square()[:, None, None, None]
    chosen = WEIGHTS[(error / error.amin(0).clamp_min(1e-12) + penalty).argmin(0)]  # (P, N, C)
    return _of_steps(chosen.transpose(0, 1), parts)
