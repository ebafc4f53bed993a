"""SeriesInfo: names and calendar of training, and alignment of other panels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from elinformer.data.panel import Panel
from elinformer.data.series_info import SeriesInfo
from elinformer.errors import InputError


@pytest.fixture
def info(hourly_panel: Panel) -> SeriesInfo:
    return SeriesInfo.of(hourly_panel, np.arange(6, 100))


def test_information_survives_json(info: SeriesInfo, hourly_panel: Panel) -> None:
    assert SeriesInfo.from_document(json.loads(json.dumps(info.to_document()))) == info
    steps = SeriesInfo.of(Panel.from_arrays(np.ones((9, 2))), np.arange(4, 7))
    assert SeriesInfo.from_document(json.loads(json.dumps(steps.to_document()))) == steps
    assert (info.n_slots, steps.n_slots) == (24, 0)


def test_the_calendar_knows_only_the_times_of_training(hourly_panel: Panel) -> None:
    info = SeriesInfo.of(hourly_panel, np.arange(6, 12))
    assert info.calendar is not None
    assert info.calendar.known_slots == tuple(range(6, 12))
    assert info.calendar.known_days == (0,)


def test_a_panel_of_the_same_series_is_returned_as_it_is(info: SeriesInfo, hourly_panel: Panel) -> None:
    assert info.align(hourly_panel) is hourly_panel


def test_series_are_sorted_as_in_training(info: SeriesInfo, hourly_panel: Panel) -> None:
    aligned = info.align(hourly_panel.select([3, 1, 0, 2]))
    assert aligned.series == hourly_panel.series
    np.testing.assert_array_equal(aligned.values, hourly_panel.values)
    np.testing.assert_array_equal(aligned.mask, hourly_panel.mask)
    np.testing.assert_array_equal(aligned.timestamps, hourly_panel.timestamps)


def test_absent_series_are_missing(info: SeriesInfo, hourly_panel: Panel) -> None:
    aligned = info.align(hourly_panel.select([2, 0]))
    assert aligned.series == hourly_panel.series
    assert not aligned.mask[:, [1, 3]].any()
    np.testing.assert_array_equal(aligned.values[:, [0, 2]], hourly_panel.values[:, [0, 2]])


def test_an_aligned_panel_keeps_its_service_hours() -> None:
    panel = Panel.from_arrays(
        np.ones((30, 2)), start="2024-01-01 06:00", freq="1h", steps_per_day=10, series=["a", "b"]
    )
    assert SeriesInfo.of(panel, np.arange(20)).align(panel.select([1])).steps_per_day == 10


def test_other_channels_steps_and_series_are_refused(info: SeriesInfo, hourly_panel: Panel) -> None:
    with pytest.raises(
        InputError, match="expected channels flow at a step of 1h as in training, got speed at a step of 1h"
    ):
        info.align(replace(hourly_panel, channels=("speed",)))
    with pytest.raises(InputError, match="got flow at a step of 2h"):
        info.align(Panel.from_arrays(np.ones((9, 1)), start="2024-01-01", freq="2h", series=["a"], channels=["flow"]))
    with pytest.raises(InputError, match="got flow at steps of no known time"):
        info.align(Panel.from_arrays(np.ones((9, 1)), series=["a"], channels=["flow"]))
    with pytest.raises(InputError, match="expected series of training, got 1 others, such as 'e'"):
        info.align(replace(hourly_panel, series=("a", "b", "e", "d")))
