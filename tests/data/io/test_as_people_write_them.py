"""Tables as people write them: calendar numbers, row numbers, other names, indexes, dialects and irregular times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from elinformer.data.io.frames import panel_from_frame
from elinformer.data.io.packed import refuse_calendar_numbers
from elinformer.data.io.read import read_panel
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAYS = pd.date_range("2020-01-01", periods=400)
HOURS = pd.date_range("2024-01-01", periods=60, freq="1h")
WIDE = pd.DataFrame({"ds": HOURS, "a": np.arange(60.0), "b": np.arange(60.0) % 7 + 0.5})
LONG = WIDE.melt("ds", var_name="unique_id", value_name="y")[["unique_id", "ds", "y"]]


def numbers(times: pd.DatetimeIndex, form: str) -> list[int]:
    return sorted({int(text) for text in times.strftime(form)})


@pytest.mark.parametrize(
    "steps",
    [
        *(numbers(DAYS, form) for form in ("%Y%m%d", "%y%m%d", "%Y%j", "%G%V", "%Y%m", "%y%m", "%y%j")),
        *(numbers(HOURS, form) for form in ("%Y%m%d%H", "%y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%d%H", "%j%H")),
        [10 * year + quarter for year in range(2020, 2023) for quarter in range(1, 5)],
        [202001, 202002, 202004, 202012, 202101],
    ],
    ids=lambda steps: str(steps[0]),
)
def test_calendar_numbers_are_no_step_numbers(steps: Sequence[int]) -> None:
    with pytest.raises(InputError, match="ISO 8601"):
        refuse_calendar_numbers("ds", np.array(steps))


@pytest.mark.parametrize(
    "steps",
    [
        range(100),
        range(1990, 2024),
        range(202_000, 203_000),
        range(1_704_067_200, 1_704_067_300),
        [24 * day + hour for day in range(30) for hour in range(6, 23)],
        [7 * week + day for week in range(30) for day in range(5)],
        np.delete(np.arange(2000), np.arange(50, 90)),
        np.sort(np.random.default_rng(0).choice(5000, 4000, replace=False)),
        range(-50, 50),
    ],
    ids=["count", "years", "large", "seconds", "service hours", "weekdays", "a gap", "many gaps", "negative"],
)
def test_step_numbers_with_gaps_are_no_calendar_numbers(steps: Sequence[int]) -> None:
    array = np.array(steps)
    assert refuse_calendar_numbers("ds", array) is array


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("frame", [LONG, WIDE, WIDE.rename(columns={"ds": "when"})], ids=["long", "wide", "unusual"])
def test_row_numbers_that_pandas_writes_are_no_series(tmp_path: Path, suffix: str, frame: pd.DataFrame) -> None:
    kept = frame[frame.index != 3]  # an index with a gap is stored
    if suffix == ".csv":
        kept.to_csv(tmp_path / "a.csv")
    else:
        kept.to_parquet(tmp_path / "a.parquet")
    panel = read_panel(tmp_path / f"a{suffix}")
    assert panel.series == ("a", "b")
    assert panel.channels in {("y",), ("value",)}
    assert panel.timestamps[0] == np.datetime64("2024-01-01")
    assert any("left out" in note for note in panel.notes)


def test_columns_without_name_and_cells_are_left_out_and_others_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,a,,\n2024-01-01,1,,\n2024-01-02,2,,\n")
    assert read_panel(tmp_path / "a.csv").series == ("a",)
    (tmp_path / "a.csv").write_text("time,a,\n2024-01-01,1,5\n2024-01-02,2,6\n")
    with pytest.raises(InputError, match="none for column 3"):
        read_panel(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "names",
    [("item_id", "timestamp", "target"), ("id", "date", "value"), ("ID", "Time", "sales"), ("id", "ds", "load")],
)
def test_long_tables_with_usual_names_are_known(tmp_path: Path, names: tuple[str, str, str]) -> None:
    LONG.set_axis(list(names), axis=1).to_csv(tmp_path / "a.csv", index=False)
    panel = read_panel(tmp_path / "a.csv")
    assert (panel.series, panel.n_steps, panel.channels) == (("a", "b"), 60, (names[2],))
    assert panel.notes


@pytest.mark.parametrize("stores", [1, 2])
@pytest.mark.parametrize("name", ["store", "Filiale"])
def test_a_column_that_names_series_is_no_series(tmp_path: Path, stores: int, name: str) -> None:
    rows = [f"{day:%Y-%m-%d},{s},{i * s % 7 + 3}\n" for i, day in enumerate(DAYS[:60]) for s in range(1, stores + 1)]
    (tmp_path / "a.csv").write_text(f"date,{name},sales\n{''.join(rows)}")
    with pytest.raises(InputError, match=f"unique_id, ds, y.*id_col='{name}'.*target_col='sales'"):
        read_panel(tmp_path / "a.csv")
    panel = read_panel(tmp_path / "a.csv", id_col=name, target_col="sales")
    assert panel.series == ("1", "2")[:stores]
    if stores == 1:
        assert read_panel(tmp_path / "a.csv", targets=[name, "sales"]).series == (name, "sales")


def test_a_declared_column_that_is_missing_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    LONG.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="called 'store', got 'unique_id', 'ds', 'y'"):
        read_panel(tmp_path / "a.csv", id_col="store")
    np.savez(tmp_path / "a.npz", data=np.ones((5, 2)))
    with pytest.raises(InputError, match=r"no id_col for \.npz"):
        read_panel(tmp_path / "a.npz", id_col="store")


MONTHS = pd.period_range("2019-01", periods=60, freq="M")


@pytest.mark.parametrize(
    "index",
    [MONTHS, MONTHS.to_timestamp(), MONTHS.to_timestamp().astype(str), pd.Index(MONTHS.to_timestamp().date)],
    ids=["periods", "times", "text", "dates"],
)
def test_times_in_an_index_are_the_times(index: pd.Index) -> None:
    panel = panel_from_frame(pd.DataFrame({"visits": np.arange(100, 160), "sales": np.arange(60) % 7}, index=index))
    assert (panel.series, panel.freq, panel.timestamps[0]) == (("visits", "sales"), "MS", np.datetime64("2019-01-01"))


@pytest.mark.parametrize("names", [("unique_id", "ds"), ("item", "timestamp"), (None, None)])
def test_an_index_of_series_and_times_is_read(tmp_path: Path, names: tuple[str | None, str | None]) -> None:
    frame = LONG.set_index(["unique_id", "ds"]).rename_axis(list(names))
    frame.to_parquet(tmp_path / "a.parquet")
    for panel in (panel_from_frame(frame), read_panel(tmp_path / "a.parquet")):
        assert (panel.series, panel.n_steps) == (("a", "b"), 60)


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("time;a;b\n{0};1,5;2,25\n{1};2;3,5\n", 3),
        ("time\ta\tb\n{0}\t1.5\t2.25\n{1}\t2\t3.5\n", 2),
        ("# from the meter\n# in kW\ntime|a|b\n{0}|1.5|2.25\n{1}|2|3.5\n", 3),
        ("sep=;\ntime;a;b\n{0};1.5;2.25\n{1};2;3.5\n", 3),
        ("time, a, b\n{0}, 1.5, 2.25\n{1}, 2, 3.5\n", 1),
        ("unique_id, ds, y\na, {0}, 1.5\na, {1}, 2\nb, {0}, 2.25\nb, {1}, 3.5\n", 1),
        ("unique_id;ds;y\na;{0};1,5\na;{1};n/a\na;2024-01-01 02:00;1,5\nb;{0};2,25\n", 3),
    ],
    ids=["semicolons", "tabs", "comments", "excel", "spaces", "long with spaces", "long with commas"],
)
def test_dialects_of_csv_are_plain_to_see(tmp_path: Path, text: str, notes: int) -> None:
    (tmp_path / "a.csv").write_text(text.format("2024-01-01 00:00", "2024-01-01 01:00"))
    panel = read_panel(tmp_path / "a.csv")
    np.testing.assert_array_equal(panel.values[0, :, 0], [1.5, 2.25])
    assert (panel.series, len(panel.notes)) == (("a", "b"), notes)


def test_a_separator_within_quotes_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"time"|"x,y"\n"2024-01-01"|"1,5"\n"2024-01-02"|"2,25"\n')
    panel = read_panel(tmp_path / "a.csv")
    assert panel.series == ("x,y",)
    np.testing.assert_array_equal(panel.values[:, 0, 0], [1.5, 2.25])


@pytest.mark.parametrize("first", ["2024-01-01 00:00", "0"])
def test_a_comma_in_a_name_and_in_all_numbers_is_no_separator(tmp_path: Path, first: str) -> None:
    second = "2024-01-01 01:00" if len(first) > 1 else "1"
    (tmp_path / "a.csv").write_text(f"time;x,y\n{first};1,5\n{second};2,25\n")
    panel = read_panel(tmp_path / "a.csv")
    assert panel.series == ("x,y",)
    np.testing.assert_array_equal(panel.values[:, 0, 0], [1.5, 2.25])


def test_a_dialect_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('time,a\n2024-01-01,"1,500"\n2024-01-02,"2,5"\n')
    np.testing.assert_array_equal(read_panel(tmp_path / "a.csv", decimal=",").values[:, 0, 0], [1.5, 2.5])
    (tmp_path / "a.csv").write_text("time:a\n0:1\n1:2\n")
    assert read_panel(tmp_path / "a.csv", sep=":").series == ("a",)


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.from_pandas, pa.Table.from_pandas])
@pytest.mark.parametrize(("how", "expected"), [("mean", [2, np.nan, 6]), ("sum", [6, np.nan, 6])])
def test_irregular_times_are_brought_to_a_grid_on_request(convert: object, how: str, expected: list[float]) -> None:
    minutes = ["00:00", "00:20", "00:59", "02:00", "02:07"]
    frame = pd.DataFrame({"time": [pd.Timestamp(f"2024-01-01 {m}") for m in minutes], "a": [1.0, 2, 3, 6, np.nan]})
    with pytest.raises(InputError, match="resample"):
        panel_from_frame(convert(frame), freq="1h")  # pyright: ignore[reportCallIssue]
    panel = panel_from_frame(convert(frame), freq="1h", resample=how)  # pyright: ignore[reportCallIssue, reportArgumentType]
    np.testing.assert_array_equal(panel.values[:, 0, 0], expected)
    long = frame.assign(unique_id="s").rename(columns={"time": "ds", "a": "y"})
    twice = pd.concat([long, long.assign(unique_id="t")])
    panel = panel_from_frame(convert(twice), freq="1h", resample=how)  # pyright: ignore[reportCallIssue, reportArgumentType]
    np.testing.assert_array_equal(panel.values[..., 0], np.array([expected, expected]).T)
    with pytest.raises(InputError, match="expected freq="):
        panel_from_frame(convert(frame), resample=how)  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_texts_of_several_differences_to_utc_are_read_by_the_clock_that_is_given(tmp_path: Path) -> None:
    times = pd.date_range("2024-10-26", periods=72, freq="1h", tz="Europe/Berlin")
    pd.DataFrame({"time": times.map(lambda t: t.isoformat()), "a": 1.0}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="--tz"):
        read_panel(tmp_path / "a.csv")
    panel = read_panel(tmp_path / "a.csv", tz="Europe/Berlin")
    assert (panel.n_steps, panel.freq, panel.observed_share) == (71, "1h", 1)


@pytest.mark.parametrize("seed", range(4))
def test_valid_files_are_read_as_pandas_and_numpy_read_them_cell_by_cell(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(50, 4)) * 10.0 ** rng.integers(-3, 4), int(rng.integers(1, 6)))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[0] = 1.5
    frame = pd.DataFrame(values, columns=["a", "b c", "7", "ü"])
    frame.insert(0, "time", pd.date_range("2024-02-28", periods=50, freq=["1h", "5min", "1D", "MS"][seed]))
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.csv", index=False, sep=";", decimal=",", na_rep="NA")
    frame.to_parquet(tmp_path / "c.parquet", row_group_size=7)
    frame.set_index("time").to_parquet(tmp_path / "d.parquet")
    np.savez_compressed(tmp_path / "e.npz", data=values)
    by_pandas = {
        "a.csv": pd.read_csv(tmp_path / "a.csv"),
        "b.csv": pd.read_csv(tmp_path / "b.csv", sep=";", decimal=","),
        "c.parquet": pd.read_parquet(tmp_path / "c.parquet"),
        "d.parquet": pd.read_parquet(tmp_path / "d.parquet").reset_index(),
    }
    for name, table in by_pandas.items():
        panel = read_panel(tmp_path / name)
        np.testing.assert_array_equal(panel.values[..., 0], table.iloc[:, 1:].to_numpy(panel.values.dtype), name)
        np.testing.assert_array_equal(panel.timestamps, pd.to_datetime(table["time"]).to_numpy("M8[ns]"), name)
        assert panel.series == tuple(table.columns[1:])
    with np.load(tmp_path / "e.npz") as archive:
        panel = read_panel(tmp_path / "e.npz")
        np.testing.assert_array_equal(panel.values[..., 0], archive["data"].astype(panel.values.dtype))
