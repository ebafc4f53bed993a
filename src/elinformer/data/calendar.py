"""Calendar features: slot of the day and day of the week, with substitutes for those that training never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from elinformer.data.public_holidays import features
from elinformer.data.time_grid import DAY, step_length

DAYS_PER_WEEK = 7
KINDS_OF_DAY = (range(5), range(5, DAYS_PER_WEEK))  # Monday to Friday, the weekend
MAX_SLOTS = 1440
NEUTRAL = 0


@dataclass(frozen=True)
class Calendar:
    """Slots and weekdays that occur in training.

    Other slots are encoded as `NEUTRAL`. Other weekdays are encoded as the nearest known one of their kind (Monday to
    Friday, or the weekend): a model that was trained on a few days forecasts a Tuesday as it would a Thursday. They
    are encoded as `NEUTRAL` if no day of their kind is known.

    Attributes:
        freq: Step as pandas writes it.
        n_slots: Slots of a whole day, including hours that are not recorded; at most one a minute.
        known_slots: Slots (0 = midnight) that occur in training.
        known_days: Weekdays (0 = Monday) that occur in training at least half as often as the most frequent one.
        holidays: Regions whose holidays are future covariates of every step: see `elinformer.data.public_holidays`.
    """

    freq: str
    n_slots: int
    known_slots: tuple[int, ...]
    known_days: tuple[int, ...]
    holidays: tuple[str, ...] = ()

    @classmethod
    def fit(cls, timestamps: np.ndarray, freq: str, holidays: tuple[str, ...] = ()) -> Calendar:
        """Return the calendar of training, which forecasts from the times `timestamps` (n,)."""
        step = step_length(freq)
        n_slots = 1 if step is None or step >= DAY else min(MAX_SLOTS, int(np.ceil(DAY / step)))
        slot, day = _slot_and_day(timestamps, n_slots)
        counts = np.bincount(day, minlength=DAYS_PER_WEEK)
        known_days = np.flatnonzero((counts > 0) & (2 * counts >= counts.max()))
        known_slots, known_days = (tuple(int(i) for i in found) for found in (np.unique(slot), known_days))
        return cls(freq, n_slots, known_slots, known_days, holidays)

    def holiday_features(self, timestamps: np.ndarray) -> np.ndarray | None:
        """Return the holidays (n, F) of successive time stamps (n,) as covariates; None without a region."""
        return features(timestamps, self.freq, self.holidays) if self.holidays else None

    def encode(self, timestamps: np.ndarray) -> np.ndarray:
        """Encode (n,) time stamps as (n, 2) int64: slot + 1 and weekday + 1, those of the substitute, or `NEUTRAL`."""
        slot, day = _slot_and_day(timestamps, self.n_slots)
        slots = np.where(np.isin(slot, self.known_slots), slot + 1, NEUTRAL)
        days = np.array([self._code_of_day(day) for day in range(DAYS_PER_WEEK)])[day]
        return np.stack([slots, days], axis=-1).astype(np.int64)

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
