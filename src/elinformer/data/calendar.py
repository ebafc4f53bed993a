"""Calendar features: slot of the day and day of the week, with a neutral index for what training never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from elinformer.data.time_grid import DAY, step_length

DAYS_PER_WEEK = 7
MAX_SLOTS = 1440
NEUTRAL = 0


@dataclass(frozen=True)
class Calendar:
    """Slots and weekdays that occur in training; all others are encoded as `NEUTRAL`.

    Attributes:
        freq: The step.
        n_slots: Slots of a whole day, night hours that are not recorded included; at most one a minute.
        known_slots: Slots (0 = midnight) that occur in training.
        known_days: Weekdays (0 = Monday) that occur in training.
    """

    freq: str
    n_slots: int
    known_slots: tuple[int, ...]
    known_days: tuple[int, ...]

    @classmethod
    def fit(cls, timestamps: np.ndarray, freq: str) -> Calendar:
        """The calendar of training: `timestamps` are the moments (n,) that training forecasts from."""
        step = step_length(freq)
        n_slots = 1 if step is None or step >= DAY else min(MAX_SLOTS, int(np.ceil(DAY / step)))
        slot, day = _slot_and_day(timestamps, n_slots)
        return cls(freq, n_slots, *(tuple(int(i) for i in np.unique(x)) for x in (slot, day)))

    def encode(self, timestamps: np.ndarray) -> np.ndarray:
        """(n,) time stamps -> (n, 2) int64: slot + 1 and weekday + 1, or `NEUTRAL`."""
        slot, day = _slot_and_day(timestamps, self.n_slots)
        known = (slot, self.known_slots), (day, self.known_days)
        return np.stack([np.where(np.isin(x, seen), x + 1, NEUTRAL) for x, seen in known], axis=-1).astype(np.int64)


def _slot_and_day(timestamps: np.ndarray, n_slots: int) -> tuple[np.ndarray, np.ndarray]:
    index = pd.DatetimeIndex(timestamps)
    since_midnight = (index - index.normalize()).to_numpy("timedelta64[ns]").astype(np.int64)
    slot = since_midnight * n_slots // DAY.value if n_slots > 1 else np.zeros(len(index), np.int64)
    return slot, index.day_of_week.to_numpy()
