"""Integrated gradients: how far each number that the model reads moved a forecast away from that of a baseline.

The baseline of a series is the level of its window: the mean of the observed values, for the window and for the lags.
The baseline of a covariate is its mean in training; that of a category is "unknown". The gradient of the forecast is
integrated on the straight path from the baseline to what was read, through the scaling of the window, the blend with
the simple forecast and the minimum. The attributions then add up to the difference between the two forecasts.

Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, 2017, arXiv 1703.01365.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn

from elinformer._dtype import float32_default
from elinformer._memory import explained_memory
from elinformer.data.windows import WindowDataset
from elinformer.errors import InputError
from elinformer.explanations.explanation import Explanation, Inputs, rows_of
from elinformer.models.scaled import window_scale
from elinformer.nn import EalaOperator, EntropyLinearAttention
from elinformer.ops.eala.through_bounds import eala_through_bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.panel import Panel
    from elinformer.trained_model import TrainedModel

FIELDS = ("values", "past", "future", "static")
"""Fields of a batch that a forecast is attributed to."""

TOLERANCE = 0.01
"""Part of the difference between the two forecasts that the attributions may miss."""

ROUNDING = 2e-6
"""The same, as a part of the forecasts themselves, whose last digits are rounded."""

FEWEST_POINTS, MAX_POINTS = 8, 256
"""Points on the path: their number is doubled until the attributions add up."""

LESS_AT_ONCE = 4
"""Points that are computed at a time, as a divisor of the windows of a forecast: the gradient takes memory too."""

LESS_MEMORY = "end other programs, or train a model of fewer layers or a smaller width"


class Target(NamedTuple):
    """Number that is explained, by its place in a forecast (S, N, C)."""

    step: int
    series: int
    channel: int


@float32_default()
def explain(trained: TrainedModel, panel: Panel, target: Target) -> Explanation:
    """Explain a point forecast of the steps after a panel.

    The memory is that of a training step of one window.

    Args:
        trained: The trained model.
        panel: The series of training, in their order.
        target: The forecast.

    Raises:
        InputError: The panel has fewer steps than a window.
    """
    reach = trained.reach
    if panel.n_steps < reach.window:
        raise InputError(f"expected at least {reach.window} steps of history, got {panel.n_steps}")
    panel = panel.last_steps(reach.usable_history)
    windows = WindowDataset(panel, trained.info.calendar, np.array([panel.n_steps]), reach, with_targets=False)
    batch = trained.completed(windows[[0]]).to(trained.scaled.mean.device)
    path = Path(trained, batch, target)
    with explained_memory("the explanation", LESS_MEMORY):
        forecast, start = path.forecast(1.0), path.forecast(0.0)
        allowed = TOLERANCE * abs(forecast - start) + ROUNDING * (abs(forecast) + abs(start))
        n_points, attributions, remainder = 0, {}, np.inf
        while abs(remainder) > allowed and n_points < MAX_POINTS:
            n_points = 2 * n_points or FEWEST_POINTS
            attributions = path.integrate(n_points)
            remainder = forecast - start - sum(float(part.sum()) for part in attributions.values())
    read, baseline = ({name: _array(getattr(x, name)) for name in attributions} for x in (batch, path.baseline))
    return Explanation(
        target=panel.series[target.series],
        channel=panel.channels[target.channel],
        step=target.step + 1,
        time=panel.future_timestamps(reach.horizon)[target.step],
        forecast=forecast,
        baseline=start,
        points=n_points,
        remainder=remainder,
        rows=rows_of(panel, trained.info, reach, Inputs(attributions, read, baseline)),
    )


def baseline_of(trained: TrainedModel, batch: Batch) -> Batch:
    """Return windows in which nothing happens: see the module. What is missing stays missing."""
    mean, std = (x.to(batch.values) for x in (trained.scaled.mean, trained.scaled.std))
    read = slice(len(trained.reach.means), None)
    scale = window_scale(((batch.values - mean) / std)[:, read], batch.mask[:, read], trained.reach.window)
    level = (scale.level * std + mean).expand_as(batch.values)
    neutral = {}
    for name, (means, _) in trained.info.covariates.moments.items():
        if (covariates := getattr(batch, name)) is not None:
            neutral[name] = torch.where(covariates.isnan(), covariates, covariates.new_tensor(means))
    return batch._replace(values=level, **neutral)


class Path:
    """Straight path from a baseline to the window that the model read.

    Args:
        trained: The trained model.
        batch: One window.
        target: The forecast to explain.
    """

    def __init__(self, trained: TrainedModel, batch: Batch, target: Target) -> None:
        self.baseline = baseline_of(trained, batch)
        self.batch = batch._replace(values=torch.where(batch.mask, batch.values, self.baseline.values))
        self.target, self._point = target, trained.loss.point
        self.fields = [name for name in FIELDS if getattr(batch, name) is not None]
        self._model = differentiable(trained.scaled)
        self._lowest = trained.lowest_of(batch)[0, target.series, target.channel]
        self._at_once = 1 if batch.static is not None else max(1, trained.batch_size // LESS_AT_ONCE)

    def forecast(self, place: float) -> float:
        """Return the forecast at a place of the path, from 0 (the baseline) to 1 (what was read)."""
        with torch.no_grad():
            return float(self._forecasts(self._inputs(torch.tensor([place]))))

    def integrate(self, n_points: int) -> dict[str, np.ndarray]:
        """Return the attributions by field of the batch, without the axis of the windows.

        The integral is Gauss-Legendre's sum over `n_points`. A few points are computed at a time.
        """
        places, weights = (torch.from_numpy(x).float() for x in np.polynomial.legendre.leggauss(n_points))
        places, weights = (places + 1) / 2, weights / 2
        totals = {name: torch.zeros((), dtype=torch.float64) for name in self.fields}
        for some in torch.arange(n_points).split(self._at_once):
            inputs = {name: x.requires_grad_() for name, x in self._inputs(places[some]).items()}
            with torch.enable_grad():
                forecasts = self._forecasts(inputs)
                total = (forecasts * weights[some].to(forecasts)).sum()
            gradients = torch.autograd.grad(total, list(inputs.values()), materialize_grads=True)
            for name, gradient in zip(inputs, gradients, strict=True):
                totals[name] = totals[name] + (gradient if name == "static" else gradient.sum(0)).double().cpu()
        return {name: (total * self._change(name)).nan_to_num(0).numpy() for name, total in totals.items()}

    def _change(self, name: str) -> Tensor:
        read, baseline = getattr(self.batch, name), getattr(self.baseline, name)
        return ((read - baseline) if name == "static" else (read - baseline)[0]).double().cpu()

    def _inputs(self, places: Tensor) -> dict[str, Tensor]:
        """Return the fields of the windows at places (B,) of the path."""
        inputs = {}
        for name in self.fields:
            start, stop = getattr(self.baseline, name), getattr(self.batch, name)
            share = places.to(stop) if name == "static" else places.to(stop)[:, None, None, None]
            inputs[name] = start + share * (stop - start)
        return inputs

    def _forecasts(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the forecasts (B,) of the target."""
        n = len(inputs["values"])
        fixed = {
            name: None if x is None else x.expand(n, *x.shape[1:])
            for name, x in (("mask", self.batch.mask), ("calendar", self.batch.calendar))
        }
        outputs = self._model(self.batch._replace(**fixed, **inputs))
        step, series, channel = self.target
        return self._point(outputs)[:, step, series, channel].clamp_min(self._lowest)


def differentiable(model: nn.Module) -> nn.Module:
    """Return a copy whose gradient by its inputs is exact, and whose weights need none."""
    model = copy.deepcopy(model).requires_grad_(False)
    for layer in model.modules():
        if isinstance(layer, EntropyLinearAttention) and isinstance(layer.operator, EalaOperator):
            layer.operator = partial(eala_through_bounds, feature_map=layer.operator.feature_map)
    return model


def _array(tensor: Tensor) -> np.ndarray:
    """Return the numbers of a field without the axis of the windows, as float64."""
    return (tensor[0] if tensor.ndim == 4 else tensor).double().cpu().numpy()
