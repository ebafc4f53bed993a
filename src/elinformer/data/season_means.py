"""Means of a season: what its last periods had at the same place, moved to the level of today."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from elinformer.data.reach import MEAN_PERIODS, MEANS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Read = Callable[[np.ndarray], tuple[Tensor, Tensor]]

MOST_HALVINGS = 60
"""Halvings of the weight of a step in a level, at most, so that a step that is the only observed one counts."""


def means_of_season(
    read: Read, origins: np.ndarray, period: int, *, horizon: int, window: int
) -> list[tuple[Tensor, Tensor]]:
    """Return each of `MEANS`, (B, S, N, F), with its mask: True where a number in it is observed.

    Args:
        read: Function from steps (B, T) to numbers (B, T, N, F), and which of them are observed.
        origins: (B,), the first target steps.
        period: Steps of the season.
        horizon: S.
        window: Steps before an origin that its level is measured on.
    """
    steps = np.concatenate([np.arange(horizon) % period, np.arange(-window, 0)])
    ages = torch.arange(window - 1, -1, -1)[:, None, None]
    weights = [torch.exp2(-(ages / (kind.half_life * period)).clamp_max(MOST_HALVINGS)) for kind in MEANS]
    now, is_known = _levels(*read(origins[:, None] + steps[horizon:]), weights)
    means, counts = ([torch.zeros((), dtype=level.dtype) for level in now] for _ in range(2))
    for i in range(1, 1 + MEAN_PERIODS):
        if i > 1 and origins.max(initial=0) + horizon <= i * period:
            break
        numbers, seen = read(origins[:, None] - i * period + steps)
        then, was_known = _levels(numbers[:, horizon:], seen[:, horizon:], weights)
        comparable = is_known & was_known
        numbers, seen = numbers[:, :horizon], seen[:, :horizon]
        if bool(seen.all()):
            seen = torch.ones(())
        else:
            numbers = torch.where(seen, numbers, 0)
        for k, kind in enumerate(MEANS):
            weight = seen.to(numbers.dtype) * kind.share ** (i - 1)
            counts[k] = counts[k] + weight
            moved = numbers + torch.where(comparable, now[k] - then[k], 0)
            means[k] = means[k].lerp(moved, weight / torch.where(counts[k] > 0, counts[k], 1))
    return [(mean, (count > 0).expand_as(mean)) for mean, count in zip(means, counts, strict=True)]


def _levels(numbers: Tensor, seen: Tensor, weights: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Return weighted means (B, 1, N, F) of the observed numbers (B, T, N, F), and whether there are any.

    They are exact where all numbers are equal.
    """
    if bool(seen.all()):
        last = numbers[:, -1:]
        since = numbers - last
        return [last + (since * (w / w.sum()).to(since)).sum(1, keepdim=True) for w in weights], seen[:, -1:]
    known = seen.any(1, keepdim=True)
    highest = torch.where(known, torch.where(seen, numbers, -torch.inf).amax(1, keepdim=True), 0)
    below = torch.where(seen, numbers - highest, 0)

    def level(weight: Tensor) -> Tensor:
        total = (seen * weight).sum(1, keepdim=True)
        return highest + (below * weight).sum(1, keepdim=True) / torch.where(known, total, 1)

    return [level(weight.to(numbers)) for weight in weights], known
