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
