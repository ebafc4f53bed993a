"""Defaults that follow from the data: the window and the lags of a panel and a horizon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from elinformer.data.frequencies import in_words
from elinformer.data.reach import Reach
from elinformer.data.seasons import Season, seasons_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elinformer.data.panel import Panel

Auto = Literal["auto"]

MIN_WINDOW = 12
WINDOW_HORIZONS = 2
"""Horizons that a window holds, if that is more than `MIN_WINDOW` steps."""
WINDOW_SHARE = 0.25
"""Largest window, as a share of the training steps."""
LAGS = {"day": (3, 0.7), "week": (3, 0.7), "year": (5, 1.0)}
"""Lags of each season, one period apart, at most; and the longest of them, as a share of the training steps. Several
days or weeks fill each other's gaps, and their mean has less noise. Years are few in most data, so each one counts."""
MAX_STEPS = 2000
"""Training steps that a season is confirmed on, at most, if `MAX_VALUES` allows so many."""
MAX_VALUES = 1 << 24
GAIN = 0.99
"""A season is confirmed if values one period apart differ by less than this share of what others differ by."""


class ChosenReach(NamedTuple):
    """Window, horizon and lags, with a sentence about them for people."""

    reach: Reach
    why: str


def choose_reach(
    panel: Panel, horizon: int, window: int | Auto, lags: Sequence[int] | Auto, train_end: int
) -> ChosenReach:
    """Choose the window and the lags that are "auto" from the step and the training part of a panel.

    A window holds two horizons, at least 12 steps, and at most a quarter of the training steps. The lags are multiples
    of the seasons that the step can have (`elinformer.data.seasons`) and that the training part confirms: values one
    period apart are more alike than values a little less or more apart.

    Args:
        panel: The data.
        horizon: S.
        window: T, or "auto".
        lags: Lags, or "auto".
        train_end: Step after the last training step.

    Raises:
        InputError: A number of steps is below 1.
    """
    if isinstance(window, str):
        window = max(1, min(max(MIN_WINDOW, WINDOW_HORIZONS * horizon), int(WINDOW_SHARE * train_end)))
    if not isinstance(lags, str):
        reach = Reach(window, horizon, tuple(lags))
        return ChosenReach(reach, _words(panel, reach, ()))
    chosen: dict[int, str] = {}
    for season, offset in _with_offsets(seasons_of(panel)):
        fitting = _lags_of(season, panel, train_end)
        if fitting and is_confirmed(panel, season.steps, offset, train_end):
            chosen |= {lag: season.name for lag in fitting if lag not in chosen}
    reach = Reach(window, horizon, tuple(sorted(chosen)))
    return ChosenReach(reach, _words(panel, reach, tuple(dict.fromkeys(chosen.values()))))


def is_confirmed(panel: Panel, period: int, offset: int, train_end: int) -> bool:
    """Return True if values `period` steps apart are more alike than values `period - offset` and `+ offset` apart.

    The change of every series is divided by its own mean change, so that series of all units count alike.

    Args:
        panel: The data.
        period: Steps of the season.
        offset: Steps by which the compared periods are shorter and longer: a shorter season, or half of this one.
        train_end: Step after the last training step.
    """
    lags = (period, period - offset, period + offset)
    n_steps = max(1, min(MAX_STEPS, MAX_VALUES // panel.values[0].size))
    steps = np.unique(np.linspace(lags[2], train_end - 1, n_steps).astype(int))
    if lags[2] >= train_end or not offset:
        return False
    total, count = np.zeros((3, *panel.values.shape[1:])), np.zeros((3, *panel.values.shape[1:]))
    for step in steps:
        for i, lag in enumerate(lags):
            both = panel.mask[step] & panel.mask[step - lag]
            total[i] += np.where(both, np.abs(panel.values[step] - panel.values[step - lag]), 0)
            count[i] += both
    change = total / np.maximum(count, 1)
    around = (change[1] + change[2]) / 2
    known = (count > 0).all(0) & (around > 0)
    return bool(known.any() and np.mean(change[0][known] / around[known]) < GAIN)


def _with_offsets(seasons: Sequence[Season]) -> list[tuple[Season, int]]:
    """Return every season with the offset that it is compared by: the next shorter season, or half of its period."""
    shorter = [None, *seasons]
    return [
        (season, season.steps // 2 if before is None else before.steps)
        for before, season in zip(shorter, seasons, strict=False)
    ]


def _lags_of(season: Season, panel: Panel, train_end: int) -> list[int]:
    """Return the lags of a season that fit; a year of steps of an hour or less has none."""
    below_a_day = panel.steps_of_day is not None and panel.steps_of_day > 1
    if below_a_day and season.name == "year":
        return []
    count, share = LAGS[season.name]
    return [lag for i in range(count) if (lag := (1 + i) * season.steps) <= share * train_end]


def _words(panel: Panel, reach: Reach, seasons: tuple[str, ...]) -> str:
    step = f"steps of {in_words(panel.freq)}" if panel.freq else "steps without a time"
    lags = "no lags" if not reach.lags else f"lags {', '.join(str(lag) for lag in sorted(reach.lags))}"
    because = f" (season: {' and '.join(seasons)})" if seasons else ""
    return f"{step}: {reach.window} in, {reach.horizon} out; {lags}{because}"
