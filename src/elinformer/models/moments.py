"""The calendar, for models whose authors had one without a neutral entry."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DAYS = 7


def needed(calendar: Tensor | None, n_slots: int) -> Tensor:
    """The calendar, or ValueError where there is none."""
    if calendar is None:
        raise ValueError(f"expected a calendar (B, T, 2) for a model of {n_slots} slots, got none")
    return calendar


def with_time(values: Tensor, calendar: Tensor, n_slots: int, *, day_unit: float) -> Tensor:
    """Values (B, T, N, C) with the time of day, as a fraction, and the day, Monday = 0, in `day_unit`: (B, T, N, C+2).

    What is neutral in the calendar is 0.
    """
    units = torch.tensor([1 / n_slots, day_unit], dtype=values.dtype, device=values.device)
    moments = (calendar - 1).clamp_min(0) * units  # (B, T, 2)
    return torch.cat((values, moments[:, :, None].expand(-1, -1, values.shape[2], -1)), dim=-1)


def embedded(table: nn.Embedding, index: Tensor) -> Tensor:
    """Rows of a table of n for indices 1..n, and zeros for the neutral 0: (...) -> (..., width)."""
    return table((index - 1).clamp_min(0)).masked_fill(index[..., None] == 0, 0)
