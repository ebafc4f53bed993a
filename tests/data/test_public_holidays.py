"""Public holidays as covariates of every step."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from elinformer.data.public_holidays import check_regions, features, names_of_features
from elinformer.data.time_grid import make_grid
from elinformer.errors import InputError, MissingExtraError

pytest.importorskip("holidays")


def test_hours_know_the_holidays_of_their_day_and_of_the_days_beside_it() -> None:
    times = make_grid("2023-07-02T00:00", 24 * 5, "1h")
    found = features(times, "1h", ("US-NY", "DE"))
    assert found.shape == (24 * 5, len(names_of_features(("US-NY", "DE"))))
    expected = [[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]]  # the fourth of July
    np.testing.assert_array_equal(found[:, :3], np.repeat(expected, 24, axis=0))
    assert not found[:, 3:].any()


@pytest.mark.parametrize(
    ("start", "freq", "expected"),
    [
        ("2023-10-05", "B", [[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]),  # Columbus Day, a Monday
        ("2023-10-01", "W-SUN", [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]]),  # from its date on
        ("2023-11-01", "MS", [[3, 1, 1], [1, 3, 2], [2, 1, 1], [1, 2, 0]]),  # Veterans Day is observed on a Friday
        ("2023-11-30", "ME", [[3, 1, 1], [1, 3, 2], [2, 1, 1], [1, 2, 0]]),  # up to its date
        ("2023-10-01", "QS-OCT", [[5, 2, 3], [3, 5, 2], [2, 3, 2], [2, 2, 4]]),
    ],
)
def test_longer_steps_count_their_holidays(start: str, freq: str, expected: list[list[int]]) -> None:
    np.testing.assert_array_equal(features(make_grid(start, 4, freq), freq, ("US",)), expected)


@pytest.mark.parametrize(
    ("region", "near"),
    [
        ("US-NX", "US-NY"),
        ("us-ny", "US-NY"),
        ("US-new-york", "US-NY"),
        ("Germany", "DE"),
        ("DE-XX", "DE-BY"),
        ("IE-D", "IE alone"),
    ],
)
def test_an_unknown_region_is_refused_with_near_ones(region: str, near: str) -> None:
    with pytest.raises(InputError, match=rf"{region}.*{near}"):
        check_regions(("NYSE", region))


def test_a_region_is_named_once() -> None:
    with pytest.raises(InputError, match="distinct"):
        check_regions(("DE", "DE"))


def test_without_the_package_the_command_that_installs_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(MissingExtraError, match=r"pip install .elinformer\[holidays\]"):
        check_regions(("DE",))
