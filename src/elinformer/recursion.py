"""Longer horizons than the model has: it forecasts again from its own forecasts. The errors of the steps add up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from elinformer.data.panel import Panel


def recursive_forecast(
    next_steps: Callable[[Panel], np.ndarray], panel: Panel, history: int, horizon: int
) -> np.ndarray:
    """Return the forecast (horizon, N, C) of any number of steps after a panel.

    Args:
        next_steps: Function from a panel to the forecast (S, N, C) of the steps after it.
        panel: The data.
        history: Number of steps that a forecast reads.
        horizon: Number of steps.

    Raises:
        InputError: The data have covariates, which are not known for the forecasts.
    """
    if panel.past or panel.future:
        raise InputError("expected data without covariates for a longer horizon than that of training: train for it")
    known, pieces, n_steps = panel.last_steps(history), [], 0
    while n_steps < horizon:
        forecast = next_steps(known)
        pieces.append(forecast)
        n_steps += len(forecast)
        known = _with_steps(known, forecast).last_steps(history)
    return np.concatenate(pieces)[:horizon]


def _with_steps(panel: Panel, forecast: np.ndarray) -> Panel:
    """Return a panel with forecasts (S, N, C) behind it, in the place of observed values."""
    return replace(
        panel,
        values=np.concatenate([panel.values, forecast.astype(panel.values.dtype)]),
        mask=np.concatenate([panel.mask, np.ones(forecast.shape, bool)]),
        timestamps=np.concatenate([panel.timestamps, panel.future_timestamps(len(forecast))]),
        checked=True,
    )
