"""Calendar features that fit the step: slot of the day, day of the week, and slot of the year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from elinformer.data.public_holidays import features
from elinformer.data.time_grid import DAY, make_grid, step_length

DAYS_PER_WEEK = 7
KINDS_OF_DAY = (range(5), range(5, DAYS_PER_WEEK))  # Monday to Friday, the weekend
MAX_SLOTS = 1440
NEUTRAL = 0
DAYS_PER_YEAR, WEEKS_PER_YEAR, MONTHS_PER_YEAR = 365, 53, 12
LEAP_DAY = 60
"""Number of the 29 February in its year, which has the slot of the day before."""
YEARS_TO_KNOW = 2
"""Years of training that a slot of the year occurs in before it is known: once is no pattern."""


@dataclass(frozen=True)
class Calendar:
    """Slots and weekdays that occur in training.

    A step shorter than a day has a slot of the day and a weekday. A day, on all or some days of the week, has a weekday
    and a day of the year; steps of weeks have a week of the year, and steps of months, quarters and half-years a month.

    Other slots are encoded as `NEUTRAL`. Other weekdays are encoded as the nearest known one of their kind (Monday to
    Friday, or the weekend): a model that was trained on a few days forecasts a Tuesday as it would a Thursday. They
    are encoded as `NEUTRAL` if no day of their kind is known.

    Attributes:
        freq: Step as pandas writes it.
        n_slots: Slots of a whole day, including hours that are not recorded; at most one a minute.
        known_slots: Slots (0 = midnight) that occur in training.
        known_days: Weekdays (0 = Monday) that occur in training at least half as often as the most frequent one.
        n_seasons: Slots of the year: 365 days, 53 weeks, 12 months, or 0 if the step has none.
        known_seasons: Slots of the year (0 = its first) that occur in at least two years of training.
        holidays: Regions whose holidays are future covariates of every step: see `elinformer.data.public_holidays`.
    """

    freq: str
    n_slots: int
    known_slots: tuple[int, ...]
    known_days: tuple[int, ...]
    n_seasons: int = 0
    known_seasons: tuple[int, ...] = ()
    holidays: tuple[str, ...] = ()

    @classmethod
    def fit(cls, timestamps: np.ndarray, freq: str, holidays: tuple[str, ...] = ()) -> Calendar:
        """Return the calendar of training, which forecasts from the times `timestamps` (n,)."""
        step = step_length(freq)
        n_slots = 1 if step is None or step >= DAY else min(MAX_SLOTS, int(np.ceil(DAY / step)))
        n_seasons = _slots_of_year(timestamps[0], freq)
        has_days = n_slots > 1 or n_seasons == DAYS_PER_YEAR  # a week or a month has no weekday
        slot, day = _slot_and_day(timestamps, n_slots)
        counts = np.bincount(day, minlength=DAYS_PER_WEEK)
        days = np.flatnonzero((counts > 0) & (2 * counts >= counts.max())) if has_days else ()
        found = np.unique(slot), days, _repeated_seasons(timestamps, n_seasons)
        slots, days, seasons = (tuple(int(i) for i in numbers) for numbers in found)
        return cls(freq, n_slots, slots, days, n_seasons if seasons else 0, seasons, holidays)

    def holiday_features(self, timestamps: np.ndarray) -> np.ndarray | None:
        """Return the holidays (n, F) of successive time stamps (n,) as covariates; None without a region."""
        return features(timestamps, self.freq, self.holidays) if self.holidays else None

    def encode(self, timestamps: np.ndarray) -> np.ndarray:
        """Encode (n,) time stamps as (n, 3) int64: slot, weekday and slot of the year, plus 1, or `NEUTRAL`.

        Of an unknown weekday it is that of the substitute.
        """
        slot, day = _slot_and_day(timestamps, self.n_slots)
        slots = np.where(np.isin(slot, self.known_slots), slot + 1, NEUTRAL)
        days = np.array([self._code_of_day(day) for day in range(DAYS_PER_WEEK)])[day]
        seasons = np.full(len(slot), NEUTRAL)
        if self.n_seasons:
            season = _season(timestamps, self.n_seasons)
            seasons = np.where(np.isin(season, self.known_seasons), season + 1, NEUTRAL)
        return np.stack([slots, days, seasons], axis=-1).astype(np.int64)

    def _code_of_day(self, day: int) -> int:
        """Return the code of a weekday."""
        (kind,) = (kind for kind in KINDS_OF_DAY if day in kind)
        known = [other for other in self.known_days if other in kind]
        return 1 + min(known, key=lambda other: abs(other - day)) if known else NEUTRAL


def _slot_and_day(timestamps: np.ndarray, n_slots: int) -> tuple[np.ndarray, np.ndarray]:
    index = pd.DatetimeIndex(timestamps)
    since_midnight = (index - index.normalize()).to_numpy("timedelta64[ns]").astype(np.int64)
    slot = since_midnight * n_slots // DAY.value if n_slots > 1 else np.zeros(len(index), np.int64)
    return slot, index.day_of_week.to_numpy()


def _slots_of_year(start: np.datetime64, freq: str) -> int:
    """Return the number of slots of a year for the steps from `start` on, if they last a day or longer; else 0."""
    length = step_length(freq)
    if length is not None and length < DAY:
        return 0
    days = float(np.diff(make_grid(start, 2, freq))[0] / DAY.to_timedelta64())
    limits = {DAYS_PER_WEEK: DAYS_PER_YEAR, 28: WEEKS_PER_YEAR, DAYS_PER_YEAR: MONTHS_PER_YEAR}
    return next((slots for limit, slots in limits.items() if days < limit), 0)


def _season(timestamps: np.ndarray, n_seasons: int) -> np.ndarray:
    """Return the slot of the year (n,) of time stamps."""
    index = pd.DatetimeIndex(timestamps)
    if n_seasons == MONTHS_PER_YEAR:
        return index.month.to_numpy() - 1
    day = index.day_of_year.to_numpy()
    day = day - 1 - (index.is_leap_year & (day >= LEAP_DAY))
    return day // DAYS_PER_WEEK if n_seasons == WEEKS_PER_YEAR else day


def _repeated_seasons(timestamps: np.ndarray, n_seasons: int) -> np.ndarray:
    """Return the slots of the year that occur in several years of the time stamps."""
    if not n_seasons:
        return np.zeros(0, np.int64)
    years = pd.DatetimeIndex(timestamps).year.to_numpy()
    distinct = np.unique(np.stack([_season(timestamps, n_seasons), years]), axis=1)
    slots, counts = np.unique(distinct[0], return_counts=True)
    return slots[counts >= YEARS_TO_KNOW]
