import numpy as np
import pandas as pd
import pytest

from elinformer import Panel
from elinformer.data.seasons import seasons_of


def panel(freq, steps_per_day=None, n_steps=40):
    values = np.arange(n_steps * 2.0).reshape(n_steps, 2)
    if steps_per_day:
        return Panel.from_arrays(values, start="2024-01-01", freq=freq, steps_per_day=steps_per_day)
    times = pd.date_range("2024-01-01", periods=n_steps, freq=freq).to_numpy()
    return Panel.from_arrays(values, timestamps=times, freq=freq)


@pytest.mark.parametrize(
    ("freq", "steps"),
    [
        ("5min", [288, 2016]),
        ("30min", [48, 336]),
        ("1h", [24, 168, 8760]),
        ("1D", [7, 365]),
        ("B", [5, 261]),
        ("W-MON", [52]),
        ("7D", [52]),
        ("MS", [12]),
        ("ME", [12]),
        ("QS", [4]),
        ("QE", [4]),
        ("YS", []),
        ("2MS", [6]),
        ("7h", []),
    ],
)
def test_seasons_follow_from_the_step(freq, steps):
    assert [season.steps for season in seasons_of(panel(freq))] == steps


def test_a_day_has_the_steps_that_are_recorded():
    assert [season.steps for season in seasons_of(panel("30min", steps_per_day=18, n_steps=36))] == [18, 126, 6570]


def test_step_numbers_have_no_season():
    assert seasons_of(Panel.from_arrays(np.ones((5, 2)))) == ()
