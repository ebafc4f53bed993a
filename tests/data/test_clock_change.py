"""Days of 23 and of 25 hours: every step is a time of the clock, so that a lag of a day is the same clock time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from elinformer.data.io.frames import panel_from_frame
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.windows import WindowDataset

ZONE = "Europe/Berlin"


def clock_panel(first: str, last: str) -> tuple[pd.DatetimeIndex, Panel]:
    """Return all hours of a zone, and a panel whose values are the hours of the clock."""
    times = pd.date_range(first, last, freq="h", tz=ZONE)
    frame = pd.DataFrame({"ds": times, "a": times.hour.astype(float), "b": 100.0 + np.arange(len(times))})
    return times, panel_from_frame(frame)


@pytest.mark.parametrize(("first", "last"), [("2024-10-24", "2024-10-30"), ("2024-03-28", "2024-04-03")])
def test_a_lag_of_a_day_is_the_same_clock_time_yesterday(first: str, last: str) -> None:
    _, panel = clock_panel(first, last)
    origins = np.arange(48, panel.n_steps - 3)
    batch = WindowDataset(panel, None, origins, Reach(6, 3, (24,)))[list(range(len(origins)))]
    assert batch.target is not None
    assert batch.target_mask is not None
    earlier, target = batch.values[:, 6:9, 0], batch.target[:, :, 0]  # the lag comes after the means of the day
    known = batch.mask[:, 6:9, 0] & batch.target_mask[:, :, 0]
    assert known.float().mean() > 0.9
    assert bool((earlier[known] == target[known]).all())


def test_an_hour_that_occurs_twice_is_the_mean_of_both_and_one_that_is_skipped_is_missing() -> None:
    times, autumn = clock_panel("2024-10-27", "2024-10-28")
    twice = times[times.hour == 2]
    assert len(twice) == 2
    (place,) = np.flatnonzero(autumn.timestamps == np.datetime64("2024-10-27T02:00"))
    assert autumn.values[place, 1, 0] == np.mean([100.0 + times.get_loc(time) for time in twice])
    _, spring = clock_panel("2024-03-31", "2024-04-01")
    (place,) = np.flatnonzero(spring.timestamps == np.datetime64("2024-03-31T02:00"))
    assert not spring.mask[place].any()
    assert spring.mask.sum() == spring.mask.size - 2
