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


def earlier_values(values: Tensor, mask: Tensor, n_lags: int, horizon: int) -> Tensor:
    """Return the values that simple forecasts repeat: those of every lag, and the last value, (B, n_lags + 1, S, N, C).

    A missing value of a lag is replaced by that of the next longer lag, then by that of the next shorter one, then by
    the last value of the window; this is 0 where the window has no observation.

    Args:
        values: (B, T, N, C), the steps of the lags, longest first, then the window.
        mask: (B, T, N, C), True = observed.
        n_lags: Number of lags.
        horizon: S, steps of each lag.
    """
    n_lag_steps = n_lags * horizon
    last = forward_fill(values[:, n_lag_steps:], mask[:, n_lag_steps:])[:, -1:]
    last = last.expand(-1, horizon, -1, -1)
    if not n_lags:
        return last[:, None]
    lags = list(values[:, :n_lag_steps].unflatten(1, (n_lags, horizon)).unbind(1))
    known = list(mask[:, :n_lag_steps].unflatten(1, (n_lags, horizon)).unbind(1))
    for i, other in (*((i, i - 1) for i in range(1, n_lags)), *((i, i + 1) for i in reversed(range(n_lags - 1)))):
        lags[i], known[i] = torch.where(known[i], lags[i], lags[other]), known[i] | known[other]
    filled = [torch.where(seen, lag, last) for lag, seen in zip(lags, known, strict=True)]
    return torch.stack((*filled, last), dim=1)


def calendar_of_window(batch: Batch, n_slots: int) -> Tensor:
    """Return the slot and the day (B, T, 2) of every input step.

    Raises:
        ValueError: The batch has no calendar.
    """
    if batch.calendar is None:
        raise ValueError(f"expected a calendar (B, T + S, 2) for a model of {n_slots} slots, got none")
    return batch.calendar[:, : batch.values.shape[1]]


def append_calendar(values: Tensor, calendar: Tensor, n_slots: int, *, day_unit: float) -> Tensor:
    """Append the time of day as a fraction, and the day (Monday = 0) times `day_unit`, to values: (B, T, N, C + 2).

    Neutral slots and days are 0.
    """
    units = torch.tensor([1 / n_slots, day_unit], dtype=values.dtype, device=values.device)
    features = (calendar - 1).clamp_min(0) * units  # (B, T, 2)
    return torch.cat((values, features[:, :, None].expand(-1, -1, values.shape[2], -1)), dim=-1)


def embed_or_zero(table: nn.Embedding, index: Tensor) -> Tensor:
    """Return the rows (..., width) of a table with the numbers 1 to n (...), and zeros for the neutral number 0."""
    return table((index - 1).clamp_min(0)).masked_fill(index[..., None] == 0, 0)
