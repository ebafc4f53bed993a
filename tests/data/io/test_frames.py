"""Panels from data frames of every kind, and forecasts as a long frame."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elinformer.data.io.frames import long_frame, panel_from_frame
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = pd.date_range("2024-01-01", periods=6, freq="1h")
VALUES = np.array([[1, 10], [2, 20], [3, np.nan], [4, 40], [5, 50], [6, 60]], np.float32)
WIDE = pd.DataFrame({"time": TIMES, "north": VALUES[:, 0], "south": VALUES[:, 1]})
LONG = long_frame(VALUES[..., None], TIMES.to_numpy(), ["north", "south"], ["y"], column="y")

KINDS: dict[str, Callable[[pd.DataFrame], object]] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}
each_kind = pytest.mark.parametrize("convert", KINDS.values(), ids=KINDS.keys())


@each_kind
@pytest.mark.parametrize("frame", [WIDE, LONG], ids=["wide", "long"])
def test_wide_and_long_frames_of_every_library_give_the_same_panel(
    frame: pd.DataFrame, convert: Callable[[pd.DataFrame], object]
) -> None:
    panel = panel_from_frame(convert(frame), name="wind")
    np.testing.assert_array_equal(panel.values[..., 0], VALUES)
    np.testing.assert_array_equal(panel.timestamps, TIMES.to_numpy())
    assert (panel.series, panel.freq, panel.name) == (("north", "south"), "1h", "wind")


def test_channels_of_a_wide_frame_are_values_and_of_a_long_one_its_columns() -> None:
    assert panel_from_frame(WIDE).channels == ("value",)
    assert panel_from_frame(LONG).channels == ("y",)
    frame = LONG.assign(rain=LONG["y"] * 2, city="Cork")[["rain", "y", "ds", "unique_id", "city"]]
    more = panel_from_frame(frame, targets=["y", "rain"])
    assert more.channels == ("y", "rain")
    np.testing.assert_array_equal(more.values[..., 1], VALUES * 2)
    assert panel_from_frame(frame, target_col="rain").channels == ("rain",)


@each_kind
def test_columns_that_nobody_declared_are_refused_by_name(convert: Callable[[pd.DataFrame], object]) -> None:
    with pytest.raises(InputError, match=r"got 'y', 'rain': pass targets=\['y'\]"):
        panel_from_frame(convert(LONG.assign(rain=LONG["y"] * 2)))


def test_one_series_needs_no_name() -> None:
    panel = panel_from_frame(pd.DataFrame({"y": VALUES[:, 0], "ds": TIMES}))
    assert panel.series == ("y",)
    np.testing.assert_array_equal(panel.timestamps, TIMES.to_numpy())


def test_columns_of_other_names_can_be_named() -> None:
    frame = LONG.set_axis(["station", "hour", "speed"], axis=1)
    panel = panel_from_frame(frame, id_col="station", time_col="hour", target_col="speed")
    assert panel.series == ("north", "south")


def test_series_of_a_long_frame_keep_the_order_in_which_they_first_appear() -> None:
    frame = LONG.sort_values(["ds", "unique_id"], ascending=[True, False])
    panel = panel_from_frame(frame)
    assert panel.series == ("south", "north")
    np.testing.assert_array_equal(panel.values[..., 0], VALUES[:, ::-1])


@settings(deadline=None)
@given(data=st.data())
def test_rows_of_several_series_may_be_mixed(data: st.DataObject) -> None:
    south = sorted(data.draw(st.sets(st.integers(0, 11), min_size=6, max_size=6)))
    order = np.argsort([*(i for i in range(12) if i not in south), *south], kind="stable")
    panel = panel_from_frame(LONG.iloc[order])
    for name, column in zip(("north", "south"), VALUES.T, strict=True):
        np.testing.assert_array_equal(panel.values[:, panel.series.index(name), 0], column)


@settings(deadline=None)
@given(kept=st.sets(st.integers(0, 11), min_size=1))
def test_a_row_that_a_long_frame_leaves_out_is_missing(kept: set[int]) -> None:
    rows = LONG.iloc[sorted(kept)].assign(y=1.0)
    hours = [row % 6 for row in kept]
    if min(hours) == max(hours):
        with pytest.raises(InputError, match="at least 2 time steps"):
            panel_from_frame(rows, freq="1h")
        return
    panel = panel_from_frame(rows, freq="1h")
    found = {(panel.series[n], panel.timestamps[t]) for t, n in zip(*np.nonzero(panel.mask[..., 0]), strict=True)}
    assert found == set(zip(rows["unique_id"], rows["ds"].to_numpy(), strict=True))
    assert panel.n_steps == max(hours) - min(hours) + 1


@each_kind
def test_times_that_a_wide_frame_leaves_out_are_missing(convert: Callable[[pd.DataFrame], object]) -> None:
    panel = panel_from_frame(convert(WIDE.drop([1, 4]).assign(south=1)), freq="1h")
    assert panel.n_steps == 6
    np.testing.assert_array_equal(panel.mask[:, 0, 0], [True, False, True, True, False, True])


def test_a_time_index_of_pandas_is_the_time() -> None:
    indexed = WIDE.set_index("time")
    np.testing.assert_array_equal(panel_from_frame(indexed).values[..., 0], VALUES)
    np.testing.assert_array_equal(panel_from_frame(indexed.rename_axis(None)).values[..., 0], VALUES)
    np.testing.assert_array_equal(panel_from_frame(LONG.set_index("unique_id")).values[..., 0], VALUES)
    np.testing.assert_array_equal(panel_from_frame(LONG.set_index(["unique_id", "ds"])).values[..., 0], VALUES)


def test_an_index_without_a_meaning_is_ignored() -> None:
    assert panel_from_frame(LONG.set_axis(TIMES.append(TIMES))).series == ("north", "south")
    assert panel_from_frame(WIDE.set_axis(list("abcdef"))).series == ("north", "south")


def test_names_that_are_no_text_become_text() -> None:
    assert panel_from_frame(WIDE.set_axis(["time", 773869, 767541], axis=1)).series == ("773869", "767541")
    numbered = LONG.assign(unique_id=LONG["unique_id"].map({"north": 7, "south": 5}))
    assert panel_from_frame(numbered).series == ("7", "5")
    assert panel_from_frame(LONG.astype({"unique_id": "category"})).series == ("north", "south")


def test_zeros_are_missing_if_zero_is_the_null_value() -> None:
    panel = panel_from_frame(WIDE.assign(north=0.0), null_value=0.0)
    assert not panel.mask[:, 0].any()
    assert panel.mask[:, 1].sum() == 5


def test_service_hours_have_no_steps_at_night() -> None:
    times = [day + pd.Timedelta(hours=h) for day in pd.date_range("2024-01-01", periods=3) for h in range(6, 10)]
    panel = panel_from_frame(pd.DataFrame({"ds": times, "a": 1.0}).drop([1, 5]), steps_per_day=4)
    assert (panel.n_steps, panel.freq, panel.steps_per_day) == (12, "1h", 4)
    np.testing.assert_array_equal(np.flatnonzero(~panel.mask[:, 0, 0]), [1, 5])


@pytest.mark.parametrize(
    "times",
    [
        [f"2024-01-0{d}" for d in range(1, 7)],
        [f"2024/1/{d} 0:00" for d in range(1, 7)],
        [f"2024-01-0{d}T00:00:00+02:00" for d in range(1, 7)],
        [dt.date(2024, 1, d) for d in range(1, 7)],
        pd.date_range("2024-01-01", periods=6, tz="Europe/Dublin"),
        pd.date_range("2024-01-01", periods=6, unit="s"),
    ],
    ids=["text", "slashes", "offset", "dates", "zone", "seconds"],
)
@each_kind
def test_times_may_be_written_in_many_ways(times: object, convert: Callable[[pd.DataFrame], object]) -> None:
    panel = panel_from_frame(convert(WIDE.assign(time=times)))
    assert panel.freq == "1D"
    np.testing.assert_array_equal(panel.timestamps, pd.date_range("2024-01-01", periods=6).to_numpy())


@pytest.mark.parametrize("steps", [range(3, 9), [str(i) for i in range(3, 9)]], ids=["numbers", "text"])
def test_whole_numbers_are_step_numbers(steps: object) -> None:
    panel = panel_from_frame(WIDE.assign(time=steps))
    np.testing.assert_array_equal(panel.timestamps, np.arange(3, 9))
    assert panel.freq is None
    timed = panel_from_frame(WIDE.assign(time=steps), start="2024-01-01", freq="1h")
    np.testing.assert_array_equal(timed.timestamps, TIMES.to_numpy())


@pytest.mark.parametrize(
    "cells",
    [
        ["1", " 2 ", "", "nan", "5", "6"],
        [1, 2, None, "NA", 5, 6.0],
        pd.array([1, 2, None, None, 5, 6], dtype="Int64"),
        [decimal.Decimal(1), decimal.Decimal(2), None, None, decimal.Decimal(5), decimal.Decimal(6)],
    ],
    ids=["text", "objects", "nullable", "decimals"],
)
def test_numbers_may_be_written_in_many_ways(cells: object) -> None:
    panel = panel_from_frame(WIDE.assign(north=cells))
    np.testing.assert_array_equal(panel.values[:, 0, 0], [1, 2, np.nan, np.nan, 5, 6])


@each_kind
def test_booleans_with_gaps_are_ones_and_zeros(convert: Callable[[pd.DataFrame], object]) -> None:
    flags = pd.array([True, False, None, True, True, False], dtype="boolean")
    panel = panel_from_frame(convert(WIDE.assign(north=flags)))
    np.testing.assert_array_equal(panel.values[:, 0, 0], [1, 0, np.nan, 1, 1, 0])


def test_rows_of_frames_may_be_in_any_order() -> None:
    for frame in (WIDE, LONG):
        panel, shuffled = (panel_from_frame(x) for x in (frame, frame.sample(frac=1, random_state=0)))
        order = [shuffled.series.index(name) for name in panel.series]
        np.testing.assert_array_equal(shuffled.values[:, order], panel.values)
        np.testing.assert_array_equal(shuffled.timestamps, panel.timestamps)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (WIDE.assign(north=list("12x456")), "number in column 'north', got 'x' in row 3"),
        (WIDE.assign(north=TIMES), "expected numbers in column 'north', got timestamp.*: drop the column"),
        (WIDE.assign(time=["2024-01-01", "soon", *"3456"]), "column 'time', got 'soon' in row 2"),
        (WIDE.assign(time=["2024-01-01", None, *"3456"]), "column 'time', got nothing in row 2"),
        (WIDE.assign(time=TIMES.where(TIMES.hour != 2)), "column 'time', got nothing in row 3"),
        (WIDE.assign(time=pd.array([0, 1, None, 3, 4, 5], dtype="Int64")), "column 'time', got nothing in row 3"),
        (WIDE.assign(time=["01/02/2024"] * 6), "got '01/02/2024' in row 1 .* the year first"),
        (WIDE.assign(time=np.arange(6.0)), "times or whole step numbers in column 'time', got double"),
        (WIDE.assign(time=range(20240101, 20240107)), "got 20240101, which looks like a date"),
        (WIDE.assign(time=["2024-01-01T00+00:00", *["2024-01-01T01+01:00"] * 5]), "times of one zone"),
        (WIDE.assign(time=["2024-01-01", *["9999-01-01"] * 5]), "times between 1678 and 2261"),
        (WIDE.assign(time=TIMES - TIMES[0]), "expected a time such as .* column 'time'"),
        (WIDE.iloc[[0, 1, 1, 3]], "'time' repeats its times: a long table has .* unique_id, ds, y"),
        (WIDE[["time", "north"]].iloc[[0, 1, 1, 3]], "time repeats at step 2"),
        (LONG.iloc[[0, 1, 6, 7, 7]], "series 'south' has several of 2024-01-01T01"),
        (LONG.iloc[[0, 1, 7, 6, 7]], "series 'south' has several of 2024-01-01T01"),
        (LONG.drop(columns="ds"), "the columns unique_id, ds and y .* none called ds"),
        (LONG[["unique_id"]], "none called ds"),
        (LONG.assign(unique_id=["a", None] * 6), "name of a series in column 'unique_id', got nothing in row 2"),
        (LONG.assign(unique_id=["a", ""] * 6), "name of a series in column 'unique_id', got nothing in row 2"),
        (LONG.assign(city="Cork"), "one column of values in a long table, got 'y', 'city'"),
        (WIDE[["time"]], "expected a column of times and at least one series beside it, got only 'time'"),
        (pd.DataFrame(), "expected a column of times and at least one series beside it, got only ''"),
        (WIDE.iloc[:1], "at least 2 time steps, got 1"),
        (WIDE.iloc[:0], "at least 2 time steps, got 0"),
        (LONG.iloc[:0], "at least 2 time steps, got 0"),
        (WIDE.assign(north=np.nan, south=np.nan), "at least one observed value"),
        (WIDE.assign(north=np.inf), "expected finite values .* got inf at step 0, series 'north'"),
        (WIDE.set_axis(["time", "a", "a"], axis=1), "columns of distinct names"),
        (WIDE.set_axis(["time", 1, "1"], axis=1), "columns of distinct names"),
        (pl.from_pandas(WIDE).lazy(), "expected an eager data frame .* got LazyFrame"),
        ([1, 2, 3], "expected an eager data frame .* got list"),
        (WIDE.assign(time=["now"] * 6), "got 'now' in row 1"),
        (WIDE.assign(north=[decimal.Decimal("Infinity")] * 6), "expected finite values"),
        (WIDE.assign(north=pd.Series(["\udcff"] * 6, dtype=object)), "cells that Arrow can hold in column 'north'"),
        (pl.DataFrame({"time": [0, 1], "a": pl.Series([1, 2], dtype=pl.Int128)}), "cells that Arrow can hold"),
        (WIDE.set_index(pd.Index(TIMES, name="north")), "levels of the index of other names than columns"),
        (WIDE.set_index([TIMES, TIMES])[["north"]], "levels of the index of other names than columns"),
    ],
)
def test_a_frame_that_makes_no_panel_is_refused(frame: object, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        panel_from_frame(frame)


@each_kind
def test_a_wrong_cell_is_named_for_frames_of_every_library(convert: Callable[[pd.DataFrame], object]) -> None:
    with pytest.raises(InputError, match="column 'north', got 'x' in row 3"):
        panel_from_frame(convert(WIDE.assign(north=list("12x456"))))
    with pytest.raises(InputError, match="column 'time', got 'noon' in row 2"):
        panel_from_frame(convert(WIDE.assign(time=["2024-01-01", "noon", *"3456"])))
    with pytest.raises(InputError, match="column 'time', got nothing in row 3"):
        panel_from_frame(convert(WIDE.assign(time=TIMES.where(TIMES.hour != 2))))


@each_kind
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Etc/GMT-3"])
@pytest.mark.parametrize("unit", ["ms", "ns"])
def test_every_library_is_read_by_the_wall_clock_of_the_zone(
    convert: Callable[[pd.DataFrame], object], zone: str, unit: str
) -> None:
    times = pd.date_range("2024-03-09", periods=48, freq="1h", tz=zone, unit=unit)
    expected = times.tz_localize(None).to_numpy("datetime64[ns]")
    for frame in (pd.DataFrame({"ds": times, "a": 1.0}), pd.DataFrame({"unique_id": "a", "ds": times, "y": 1.0})):
        panel = panel_from_frame(convert(frame))
        np.testing.assert_array_equal(panel.timestamps[panel.mask[:, 0, 0]], expected)


def test_times_of_several_zones_are_refused() -> None:
    zones = ["UTC", *["Europe/Berlin"] * 5]
    times = pd.Series([pd.Timestamp(time, tz=zone) for time, zone in zip(TIMES, zones, strict=True)], dtype=object)
    with pytest.raises(InputError, match="times of one zone in column 'time', got several"):
        panel_from_frame(WIDE.assign(time=times))


@each_kind
def test_an_hour_that_the_clock_repeats_is_the_mean_of_both_and_one_that_it_skips_is_missing(
    convert: Callable[[pd.DataFrame], object],
) -> None:
    autumn = pd.date_range("2024-10-26", periods=72, freq="1h", tz="Europe/Dublin")
    values = np.arange(72.0)
    panel = panel_from_frame(convert(pd.DataFrame({"time": autumn, "a": values})))
    assert (panel.n_steps, panel.freq, panel.observed_share) == (71, "1h", 1)
    np.testing.assert_array_equal(panel.values[24:27, 0, 0], [24, 25.5, 27])  # 01:00 twice, on the second day
    long = panel_from_frame(convert(pd.DataFrame({"unique_id": "a", "ds": autumn, "y": values})))
    np.testing.assert_array_equal(long.values, panel.values)
    spring = pd.date_range("2024-03-30", periods=72, freq="1h", tz="Europe/Dublin")
    panel = panel_from_frame(convert(pd.DataFrame({"time": spring, "a": 1.0})))
    assert panel.timestamps[np.flatnonzero(~panel.mask[:, 0, 0])] == [np.datetime64("2024-03-31T01")]


def test_options_that_contradict_the_frame_are_refused() -> None:
    with pytest.raises(InputError, match="expected no start, since the data have their own times"):
        panel_from_frame(WIDE, start="2024-01-01", freq="1h")
    with pytest.raises(InputError, match=r"expected start=.* beside freq='1h'"):
        panel_from_frame(WIDE.assign(time=range(6)), freq="1h")
    with pytest.raises(InputError, match="lies between two steps"):
        panel_from_frame(WIDE, freq="2h")


def test_forecasts_of_one_channel_have_one_column() -> None:
    frame = long_frame(VALUES[:2, :, None], TIMES[:2].to_numpy(), ["north", "south"], ["speed"])
    assert list(frame.columns) == ["unique_id", "ds", "elinformer"]
    assert list(frame["unique_id"]) == ["north", "north", "south", "south"]
    assert list(frame["ds"]) == [TIMES[0], TIMES[1]] * 2
    assert list(frame["elinformer"]) == [1, 2, 10, 20]
    assert frame["elinformer"].dtype == np.float32


def test_forecasts_of_several_channels_have_a_column_each() -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    frame = long_frame(values, np.array([5, 6]), ["a", "b"], ["x", "y", "z"])
    assert list(frame.columns) == ["unique_id", "ds", "elinformer_x", "elinformer_y", "elinformer_z"]
    assert list(frame["elinformer_z"]) == [2, 8, 5, 11]
    assert list(frame["ds"]) == [5, 6, 5, 6]


def test_forecasts_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected values of shape \(6, 2, 1\), got \(6, 2\)"):
        long_frame(VALUES, TIMES.to_numpy(), ["north", "south"], ["speed"])


@pytest.mark.slow
def test_a_long_table_of_five_million_rows_takes_seconds() -> None:
    values = np.random.default_rng(0).normal(size=(5000, 1000, 1)).astype(np.float32)
    times = pd.date_range("2024-01-01", periods=5000, freq="5min").to_numpy()
    frame = long_frame(values, times, [f"sensor {i}" for i in range(1000)], ["y"], column="y")
    started = dt.datetime.now(dt.UTC)
    panel = panel_from_frame(frame)
    assert (dt.datetime.now(dt.UTC) - started).total_seconds() < 20
    np.testing.assert_array_equal(panel.values, values)
