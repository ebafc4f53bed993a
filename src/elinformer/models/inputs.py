"""Inputs of models without a mask: gaps are filled, and the calendar is appended or embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from elinformer.batch import Batch

DAYS = 7


def forward_fill(values: Tensor, mask: Tensor) -> Tensor:
    """Fill every gap of (B, T, N, C) with the last observed value, and with 0 before the first one."""
    steps = torch.arange(mask.shape[1], device=mask.device)[:, None, None]
    last = (steps * mask).cummax(1).values
    return torch.where(mask, values, 0).gather(1, last)


DRIFT = 0.5
"""Share of the slope of a window that its drift goes on with, as in the Theta method."""
N_DRIFTS = 1


def n_read(n_lags: int) -> int:
    """Return the number of earlier values that a network weighs: the lags, the last value and the mean of training."""
    return n_lags + 2


def n_earlier(n_seasonal: int) -> int:
    """Return the number of values that a simple forecast is made of: drift, means and lags, last value, mean."""
    return N_DRIFTS + n_read(n_seasonal)


def earlier_values(values: Tensor, mask: Tensor, mean: Tensor, n_lags: int, horizon: int) -> Tensor:
    """Return the values of every lag, the last value, and the mean of training, (B, n_lags + 2, S, N, C).

    A missing value of a lag is replaced by that of the next longer lag, then by that of the next shorter one, then by
    the last value of the window; this is 0 where the window has no observation. The means of seasons stand before the
    lags, as the longest of them.

    Args:
        values: (B, T, N, C), the steps of means and lags, longest first, then the window.
        mask: (B, T, N, C), True = observed.
        mean: (B, 1, N, C), the mean of training in the units of `values`: see `training_mean`.
        n_lags: Number of means and lags.
        horizon: S, steps of each of them.
    """
    n_lag_steps = n_lags * horizon
    last = forward_fill(values[:, n_lag_steps:], mask[:, n_lag_steps:])[:, -1:]
    last, mean = (x.expand(-1, horizon, -1, -1) for x in (last, mean))
    if not n_lags:
        return torch.stack((last, mean), dim=1)
    lags = list(values[:, :n_lag_steps].unflatten(1, (n_lags, horizon)).unbind(1))
    known = list(mask[:, :n_lag_steps].unflatten(1, (n_lags, horizon)).unbind(1))
    for i, other in (*((i, i - 1) for i in range(1, n_lags)), *((i, i + 1) for i in reversed(range(n_lags - 1)))):
        lags[i], known[i] = torch.where(known[i], lags[i], lags[other]), known[i] | known[other]
    filled = [torch.where(seen, lag, last) for lag, seen in zip(lags, known, strict=True)]
    return torch.stack((*filled, last, mean), dim=1)


def drift_of(window: Tensor, mask: Tensor, horizon: int) -> Tensor:
    """Return the last value of windows (B, T, N, C) and a share of the slope to it from the first one: (B, S, N, C).

    It is 0 without an observation.

    Source: Hyndman and Billah 2003, Unmasking the Theta method.
    """
    n = mask.shape[1]
    steps = torch.arange(n, device=mask.device)[:, None, None]
    begin, end = torch.where(mask, steps, n - 1).amin(1, keepdim=True), (steps * mask).amax(1, keepdim=True)
    observed = torch.where(mask, window, 0)
    first, last = observed.gather(1, begin), observed.gather(1, end)
    slope = torch.where(end > begin, (last - first) / (end - begin).clamp_min(1), 0)
    return last + DRIFT * slope * torch.arange(1, horizon + 1, device=mask.device)[:, None, None]


def earlier_of(batch: Batch, n_lags: int, horizon: int) -> Tensor:
    """Return what simple forecasts are made of, (B, n_lags + 3, S, N, C): the drift, and the `earlier_values`.

    The steps of the scaled windows begin with those of means and lags.
    """
    read = slice(n_lags * horizon, None)
    drift = drift_of(batch.values[:, read], batch.mask[:, read], horizon)
    earlier = earlier_values(batch.values, batch.mask, training_mean(batch), n_lags, horizon)
    return torch.cat((drift[:, None], earlier), dim=1)


def training_mean(batch: Batch) -> Tensor:
    """Return the mean of training (B, 1, N, C) in the units of scaled windows: 0 without a scale of the window."""
    if batch.level is None:
        return torch.zeros_like(batch.values[:, :1])
    level, deviation = batch.level[:, None].chunk(2, dim=-1)
    return -level.sinh() / deviation.exp()


def calendar_of_window(batch: Batch, n_slots: int) -> Tensor:
    """Return the slot of the day, the weekday and the slot of the year (B, T, 3) of every input step.

    Raises:
        ValueError: The batch has no calendar.
    """
    if batch.calendar is None:
        raise ValueError(f"expected a calendar (B, T + S, 3) for a model of {n_slots} slots, got none")
    return batch.calendar[:, : batch.values.shape[1]]


def append_calendar(values: Tensor, calendar: Tensor, n_slots: int, *, day_unit: float) -> Tensor:
    """Append the time of day as a fraction, and the day (Monday = 0) times `day_unit`, to values: (B, T, N, C + 2).

    Neutral slots and days are 0. The slot of the year is left out.
    """
    units = torch.tensor([1 / n_slots, day_unit], dtype=values.dtype, device=values.device)
    features = (calendar[..., :2] - 1).clamp_min(0) * units  # (B, T, 2)
    return torch.cat((values, features[:, :, None].expand(-1, -1, values.shape[2], -1)), dim=-1)


def embed_or_zero(table: nn.Embedding, index: Tensor) -> Tensor:
    """Return the rows (..., width) of a table with the numbers 1 to n (...), and zeros for the neutral number 0."""
    return table((index - 1).clamp_min(0)).masked_fill(index[..., None] == 0, 0)


def periodic_features(n_slots: int, width: int) -> Tensor:
    """Return sines and cosines of the time of day (1 + n_slots, width). The first row is zero, for the neutral slot.

    The features have unit variance. Neighbouring slots have similar rows, so that a few days of data train all slots.
    """
    angles = torch.arange(n_slots)[:, None] * torch.arange(1, width // 2 + 2) * (2 * torch.pi / n_slots)
    features = 2**0.5 * torch.cat((angles.sin()[:, : (width + 1) // 2], angles.cos()[:, : width // 2]), dim=1)
    return torch.cat((torch.zeros(1, width), features))
