"""Reach of a window, the chronological split, and the origins of the windows of each part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

MEAN_PERIODS = 14
"""Periods of a season that its means are taken over, at most: two weeks of days, a quarter of weeks."""

PartName = Literal["train", "validation", "test"]


class SeasonMean(NamedTuple):
    """Mean of the periods of a season, each of them moved by the change of the level since then.

    Attributes:
        half_life: Age of a step, as a share of the period, at which it counts half in the level.
        share: Weight of a period, as a share of that of the next newer one.
    """

    half_life: float
    share: float


MEANS = (SeasonMean(half_life=1 / 50, share=1 / 2), SeasonMean(half_life=1 / 4, share=1.0))
"""The first one follows the newest steps and the newest periods, the second one has less noise. Exponential smoothing
with a season chooses between them for every series (Holt and Winters); here the blend does."""


class Split(NamedTuple):
    """Steps [start, stop) of training, validation and test."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]


def chronological_split(n_steps: int, fractions: Sequence[float]) -> Split:
    """Cut `n_steps` into training, validation and test, the oldest first.

    Raises:
        InputError: `fractions` are not three numbers from 0 to 1 that add up to 1.
    """
    numbers = [f for f in fractions if isinstance(f, int | float) and f >= 0]
    if len(fractions) != 3 or len(numbers) != 3 or not fractions[0] or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            "expected a split of three fractions (training, validation, test) that add up to 1, such as "
            f"0.6,0.2,0.2, got {','.join(str(f) for f in fractions)}"
        )
    first, second = round(n_steps * fractions[0]), round(n_steps * (fractions[0] + fractions[1]))
    return Split((0, first), (first, second), (second, n_steps))


@dataclass(frozen=True)
class Reach:
    """Steps that a window reads and forecasts, relative to its origin, the first target step.

    Attributes:
        window: Steps that are read, directly before the origin.
        horizon: Steps that are forecast, from the origin on.
        lags: Seasons, in steps. With a lag of 168 hours, the `horizon` steps one week before the targets are read too.
            Of a lag shorter than the horizon, the last season is read again and again, since later ones are unknown.

    Raises:
        InputError: A number of steps is below 1.
    """

    window: int
    horizon: int
    lags: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, steps in (("window", self.window), ("horizon", self.horizon), *(("lag", lag) for lag in self.lags)):
            if steps < 1:
                raise InputError(f"expected a {name} of at least 1 step, got {steps}")

    @property
    def periods(self) -> tuple[int, ...]:
        """Periods of the seasons whose means are read, too: the first of every run of lags that are one period apart.

        Lags of 24, 48, 72, 168 and 336 hours are of the periods 24 and 168.
        """
        found: list[int] = []
        for lag, before in zip(ordered := sorted(set(self.lags)), (0, *ordered), strict=False):
            if not found or lag - before != found[-1]:
                found.append(lag)
        return tuple(found)

    @property
    def inputs(self) -> np.ndarray:
        """Steps of lags and window, negative: `horizon` steps of each lag, the longest one first, then the window."""
        return np.concatenate([*self._seasons(self.lags), np.arange(-self.window, 0)])

    @property
    def means(self) -> np.ndarray:
        """Steps of the means, the newest one in each of them, negative: `horizon` steps of each, the longest first."""
        return np.concatenate([np.arange(0), *self._seasons(self.periods * len(MEANS))])

    @property
    def n_means(self) -> int:
        """Number of means: those of every season."""
        return len(MEANS) * len(self.periods)

    def _seasons(self, lags: tuple[int, ...]) -> list[np.ndarray]:
        return [np.arange(self.horizon) % lag - lag for lag in sorted(lags, reverse=True)]

    @property
    def history(self) -> int:
        """Number of steps before the origin that are read. Those of lags may be missing."""
        return max(self.window, *self.lags, 0)

    @property
    def usable_history(self) -> int:
        """Number of steps before the origin that means are taken over, where there are so many."""
        return max(self.history, MEAN_PERIODS * max(self.periods, default=0))


def window_origins(part: tuple[int, int], reach: Reach) -> np.ndarray:
    """Return the origins (n,) of all windows of a part, the steps [start, stop).

    All targets of a window lie in its part. Its history may begin before the part, since it is known at forecast time.
    The window is within the panel; a lag may reach back before its first step, and counts as missing there.
    """
    start, stop = part
    return np.arange(max(start, reach.window), stop - reach.horizon + 1)


def part_origins(n_steps: int, fractions: Sequence[float], part: str | None, reach: Reach) -> np.ndarray:
    """Return the origins (n,) of all windows of a part of `n_steps`; of all steps if `part` is None.

    Raises:
        InputError: There is no such part, or it is too short for a window.
    """
    if part is not None and part not in Split._fields:
        raise InputError(f"expected a split out of {', '.join(Split._fields)} or None for all windows, got {part!r}")
    steps = (0, n_steps) if part is None else getattr(chronological_split(n_steps, fractions), part)
    origins = window_origins(steps, reach)
    if not len(origins):
        raise InputError(
            f"expected a part of at least {reach.horizon} steps to score, but the {part or 'panel'} has "
            f"{steps[1] - steps[0]}: choose another split"
        )
    return origins
