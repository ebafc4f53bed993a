"""Public holidays of a country or region as future covariates, computed from the time stamps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from elinformer.data.frequencies import DAY, days_of_week, offset, step_length
from elinformer.data.regions import check_region, days_off
from elinformer.data.time_grid import continue_grid
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

FEATURES = ("holidays", "holidays of the step before", "holidays of the step after")
"""Covariates of a region: numbers of holidays of a step, and of its neighbours. Steps shorter than a day count those of
their day, and of the days before and after."""

BY_THEIR_END = re.compile(r"\d*(B?[MQY]|SM)E(-\w+)?")
"""Steps that are dated by their last day."""


def check_regions(regions: Sequence[str]) -> None:
    """Check that the package `holidays` knows some regions, and that none is named twice.

    Raises:
        InputError: It does not know one. The message names near ones.
        MissingExtraError: The package is not installed.
    """
    if len(set(regions)) < len(regions):
        raise InputError(f"expected distinct regions of holidays, got {', '.join(regions)}: name each of them once")
    for region in regions:
        check_region(region)


def names_of_features(regions: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the covariates of some regions."""
    return tuple(f"{feature} in {region}" for region in regions for feature in FEATURES)


def features(timestamps: np.ndarray, freq: str, regions: Sequence[str]) -> np.ndarray:
    """Return the covariates (n, F) of some regions, F = 3 for each, float32; see `FEATURES`.

    Args:
        timestamps: (n,) datetime64[ns] of successive steps, by the clock of the place.
        freq: Step as pandas writes it. A step of several days has the days from its date on; if it is dated by its last
            day, as "ME" is, those up to its date.
        regions: Countries or regions as the package `holidays` writes them, such as "DE" or "US-NY".
    """
    periods = _periods(timestamps, freq)
    first, last = (int(day.astype("M8[Y]").astype(int)) + 1970 for day in (periods[0][0].min(), periods[2][1].max()))
    found = [
        np.searchsorted(dates, end, side="right") - np.searchsorted(dates, begin)
        for dates in (days_off(region, first, last) for region in regions)
        for begin, end in (periods[1], periods[0], periods[2])
    ]
    return np.stack(found, axis=-1).astype(np.float32)


def _periods(timestamps: np.ndarray, freq: str) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return the first and the last day (n,) of the steps before, of the steps themselves, and of the steps after."""
    length = step_length(freq)
    if length is not None and length <= DAY:
        days = timestamps.astype("M8[D]")
        return tuple((days + place, days + place) for place in (-1, 0, 1))
    before = pd.date_range(end=timestamps[0], periods=3, freq=offset(freq)).to_numpy()[:2]
    days = np.concatenate([before, timestamps, continue_grid(timestamps, 2, freq, None)]).astype("M8[D]")
    first = last = days[1:-1]
    if BY_THEIR_END.fullmatch(freq):
        first = days[:-2] + 1
    elif days_of_week(freq) is None:
        last = days[2:] - 1
    n = len(timestamps)
    return tuple((first[place : place + n], last[place : place + n]) for place in range(3))
