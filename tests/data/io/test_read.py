"""Files of every kind, read into memory (read_panel) and into a folder (convert_panel)."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from pickles import Bomb

from elinformer.data.io import long_tables, streams
from elinformer.data.io.convert import convert_panel
from elinformer.data.io.frames import long_frame
from elinformer.data.io.read import read_panel
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from elinformer.data.panel import Panel

    Read = Callable[[Path], Panel]

TIMES = pd.date_range("2024-01-01", periods=6, freq="5min")
VALUES = np.array([[1, 10], [2, 20], [3, np.nan], [4, 0], [5, 50], [6, 60]], np.float32)
WIDE = pd.DataFrame({"time": TIMES, "0071": VALUES[:, 0], "south": VALUES[:, 1]})
LONG = long_frame(VALUES[..., None], TIMES.to_numpy(), ["0071", "south"], ["y"], column="y")


def convert(path: Path) -> Panel:
    """Convert into a folder beside the file, and check that nothing remains if the file is refused."""
    before = sorted(path.parent.glob("*"))
    try:
        return convert_panel(path, path.parent / "out")
    except InputError:
        assert sorted(path.parent.glob("*")) == before
        raise


each_reader = pytest.mark.parametrize("read", [read_panel, convert])

SHARED = {  # steps, series, channels, first and last time, share observed in %
    "birmingham_parking": (1386, 30, 1, "2016-10-04T08:00", "2016-12-19T16:30", 85.1),
    "etth1": (17420, 7, 1, "2016-07-01T00:00", "2018-06-26T19:00", 100),
    "hangzhou_metro": (2700, 80, 1, "2019-01-01T06:00", "2019-01-25T23:50", 100),
    "irish_weather": (8760, 25, 6, "2017-01-01T00:00", "2017-12-31T23:00", 97.3),
    "metr_la_week1": (2016, 207, 1, "2012-03-01T00:00", "2012-03-07T23:55", 100),
    "nyc_taxi_od": (1464, 900, 1, "2018-05-01T00:00", "2018-06-30T23:00", 100),
    "pjm_load": (45312, 10, 1, "2013-06-02T00:00", "2018-08-02T23:00", 100),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", SHARED)
def test_the_shared_data_are_as_their_readme_states(name: str, shared_data: Path) -> None:
    panel = read_panel(shared_data / f"{name}.npz")
    n_steps, n_series, n_channels, first, last, observed = SHARED[name]
    assert panel.values.shape == (n_steps, n_series, n_channels)
    assert (panel.timestamps[0], panel.timestamps[-1]) == (np.datetime64(first), np.datetime64(last))
    assert panel.observed_share * 100 == pytest.approx(observed, abs=0.05)
    assert panel.name == name


@pytest.mark.shared_data
def test_a_day_of_the_metro_has_108_steps_and_begins_at_six(shared_data: Path) -> None:
    panel = read_panel(shared_data / "hangzhou_metro.npz")
    assert (panel.steps_per_day, panel.freq, panel.channels) == (108, "10min", ("inflow",))
    assert panel.timestamps[107] == np.datetime64("2019-01-01T23:50")
    assert panel.timestamps[108] == np.datetime64("2019-01-02T06:00")
    assert panel.future_timestamps(1)[0] == np.datetime64("2019-01-26T06:00")


@pytest.mark.shared_data
def test_names_of_the_shared_data_are_kept(shared_data: Path) -> None:
    weather = read_panel(shared_data / "irish_weather.npz")
    assert weather.series[:2] == ("ATHENRY", "BALLYHAISE")
    assert weather.channels == ("rain", "temp", "rhum", "msl", "wdsp", "wddir")
    assert read_panel(shared_data / "metr_la_week1.npz").series[0] == "773869"


@pytest.mark.shared_data
def test_an_archive_without_data_is_refused_with_its_keys(shared_data: Path) -> None:
    with pytest.raises(InputError, match=r"metr_la_adj\.npz: expected an array called 'data', got adj, sensor_ids"):
        read_panel(shared_data / "metr_la_adj.npz")


@pytest.mark.parametrize("n_channels", [None, 1, 3])
def test_a_pems_archive_has_data_and_no_times(tmp_path: Path, n_channels: int | None) -> None:
    data = np.random.default_rng(0).uniform(0, 400, (30, 4) if n_channels is None else (30, 4, n_channels))
    np.savez_compressed(tmp_path / "PEMS04.npz", data=data)
    panel = read_panel(tmp_path / "PEMS04.npz")
    np.testing.assert_array_equal(panel.values, data.reshape(30, 4, -1).astype(np.float32))
    assert (panel.freq, panel.has_time, panel.name) == (None, False, "PEMS04")
    timed = read_panel(
        tmp_path / "PEMS04.npz",
        start="2018-01-01",
        freq="5min",
        channels=["flow", "occupancy", "speed"][: n_channels or 1],
        name="California",
    )
    assert timed.timestamps[1] == np.datetime64("2018-01-01T00:05")
    assert (timed.channels[0], timed.name) == ("flow", "California")


@pytest.mark.parametrize(
    "start", ["", " ", np.array([], "U1"), np.datetime64("NaT"), b""], ids=["none", "blank", "nothing", "NaT", "bytes"]
)
def test_an_empty_start_means_step_numbers(tmp_path: Path, start: object) -> None:
    np.savez(tmp_path / "a.npz", data=VALUES, timestamps_start=start, freq="5min", steps_per_day=3)
    assert not read_panel(tmp_path / "a.npz").has_time
    timed = read_panel(tmp_path / "a.npz", start="2024-01-01 06:00")
    assert timed.timestamps[3] == np.datetime64("2024-01-02T06:00")


@pytest.mark.parametrize("start", ["2024-01-01", np.datetime64("2024-01-01", "ns"), b"2024-01-01", ["2024-01-01"]])
def test_a_start_may_be_stored_in_many_ways(tmp_path: Path, start: object) -> None:
    np.savez(tmp_path / "a.npz", data=VALUES, timestamps_start=start, freq="5min")
    np.testing.assert_array_equal(read_panel(tmp_path / "a.npz").timestamps, TIMES.to_numpy())


def test_arguments_replace_the_description_of_the_file(tmp_path: Path) -> None:
    stored = {"timestamps_start": "2024-01-01", "freq": "5min", "series": ["a", "b"], "channels": ["flow"]}
    np.savez(tmp_path / "a.npz", data=VALUES, **stored)  # pyright: ignore[reportArgumentType]
    panel = read_panel(tmp_path / "a.npz", start="2020-01-01", freq="1h", series=["x", "y"], channels=["speed"])
    assert (panel.freq, panel.series, panel.channels) == ("1h", ("x", "y"), ("speed",))
    assert panel.timestamps[1] == np.datetime64("2020-01-01T01:00")


def write(path: Path, frame: pd.DataFrame) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
@pytest.mark.parametrize("frame", [WIDE, LONG], ids=["wide", "long"])
def test_tables_are_read_wide_and_long(tmp_path: Path, suffix: str, frame: pd.DataFrame) -> None:
    path = write(tmp_path / f"roads{suffix.lower()}", frame)
    panel = read_panel(str(path.rename(path.with_suffix(suffix))))
    np.testing.assert_array_equal(panel.values[..., 0], VALUES)
    np.testing.assert_array_equal(panel.timestamps, TIMES.to_numpy())
    assert (panel.series, panel.freq, panel.name) == (("0071", "south"), "5min", "roads")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_left_out_of_a_table_are_missing(tmp_path: Path, suffix: str) -> None:
    panel = read_panel(write(tmp_path / f"a{suffix}", WIDE.drop(2)), null_value=0.0)
    np.testing.assert_array_equal(panel.mask[..., 0], [[1, 1], [1, 1], [0, 0], [1, 0], [1, 1], [1, 1]])


def test_an_index_that_pandas_wrote_to_parquet_is_the_time(tmp_path: Path) -> None:
    WIDE.set_index("time").rename_axis(None).to_parquet(tmp_path / "a.parquet")
    assert read_panel(tmp_path / "a.parquet").series == ("0071", "south")


def test_the_column_of_times_needs_no_name_in_a_csv(tmp_path: Path) -> None:
    WIDE.set_index("time").rename_axis(None).to_csv(tmp_path / "a.csv")
    panel = read_panel(tmp_path / "a.csv")
    assert panel.series == ("0071", "south")
    np.testing.assert_array_equal(panel.timestamps, TIMES.to_numpy())


def test_ids_that_look_like_numbers_keep_their_zeros(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", LONG.replace({"unique_id": {"south": "0080"}}))
    assert read_panel(path).series == ("0071", "0080")


def test_a_csv_of_step_numbers_has_no_calendar(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", WIDE.assign(time=range(10, 16)))
    np.testing.assert_array_equal(read_panel(path).timestamps, np.arange(10, 16))
    np.testing.assert_array_equal(read_panel(path, start="2024-01-01", freq="5min").timestamps, TIMES.to_numpy())


def test_a_csv_with_a_zone_is_read_by_its_wall_clock_and_a_byte_order_mark_is_no_name(tmp_path: Path) -> None:
    rows = "\n".join(f"2024-01-01T0{h}:00:00+02:00,{h}" for h in range(1, 4))
    (tmp_path / "a.csv").write_text(f"\ufefftime,a\n{rows}\n", encoding="utf-8")
    assert read_panel(tmp_path / "a.csv").timestamps[0] == np.datetime64("2024-01-01T01:00")


@each_reader
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("frame", [WIDE, LONG], ids=["wide", "long"])
def test_true_and_false_are_ones_and_zeros(tmp_path: Path, read: Read, suffix: str, frame: pd.DataFrame) -> None:
    column = frame.columns[-1]
    flags = pd.array([True, False, None] * (len(frame) // 3), dtype="boolean")
    panel = read(write(tmp_path / f"a{suffix}", frame.assign(**{column: flags})))
    np.testing.assert_array_equal(panel.values[:, -1, 0], [1, 0, np.nan] * 2)


@each_reader
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Etc/GMT-3", "+05:30"])
@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_of_a_parquet_file_are_read_by_the_wall_clock_of_their_zone(
    tmp_path: Path, read: Read, zone: str, unit: str
) -> None:
    times = pa.array(pd.date_range("2024-01-01", periods=3, freq="1h", tz=zone, unit=unit))
    pa_parquet.write_table(pa.table({"unique_id": ["a"] * 3, "ds": times, "y": [1.0, 2, 3]}), tmp_path / "long.parquet")
    pa_parquet.write_table(pa.table({"ds": times, "a": [1.0, 2, 3]}), tmp_path / "wide.parquet")
    for name in ("long.parquet", "wide.parquet"):
        (tmp_path / name[:4]).mkdir()
        panel = read((tmp_path / name).rename(tmp_path / name[:4] / name))
        np.testing.assert_array_equal(panel.timestamps, pd.date_range("2024-01-01", periods=3, freq="1h").to_numpy())


@each_reader
@pytest.mark.parametrize("frame", [WIDE, LONG], ids=["wide", "long"])
def test_periods_in_a_parquet_file_are_times(tmp_path: Path, read: Read, frame: pd.DataFrame) -> None:
    time = "time" if frame is WIDE else "ds"
    path = write(tmp_path / "a.parquet", frame.assign(**{time: frame[time].dt.to_period("5min")}))
    np.testing.assert_array_equal(read(path).timestamps, TIMES.to_numpy())


CSV_REFUSED = [
    ("time,a\n2024-01-01,1\n2024-01-02,x\n", "number in column 'a', got 'x' in row 2"),
    ("time,a\n2024-01-01,1\n,2\n", "column 'time', got nothing in row 2"),
    ("time,a\n2024-01-01,1\nlater,2\n", "column 'time', got 'later' in row 2"),
    ("time,a\n2024-01-01,1\n2024-01-02,2,3\n", r"rows are as long as its header.*Expected 2 columns, got 3"),
    ("time,a\n2024-01-01,1,3\n2024-01-02,2,3\n", r"rows are as long as its header.*Expected 2 columns, got 3"),
    ("time:a\n2024-01-01:1\n", r"pass sep=... \(--sep\)"),
    ("773869,767541\n64.4,67.6\n62.7,68.6\n", r"what looks like data \('773869, 767541'\)"),
    ("0,5.00,9.00\n1,5.37,8.79\n", "what looks like data"),
    ("s1,2024-01-01,5.2\ns1,2024-01-02,5.3\n", "what looks like data"),
    ("name,2024-01-01,2024-01-02\na,1,2\nb,1,2\n", "transpose the table"),
    ("# time,a\n0,1\n1,2\n", "take the # away"),
    ("2024-01-01,1\n2024-01-02,2\n", r"what looks like data \('2024-01-01, 1'\)"),
    ("time,a\n", "at least 2 time steps, got 0"),
    ("time,a\n2024-01-01,1\n", "at least 2 time steps, got 1"),
    ("time,a\n2024-01-01,\n2024-01-02,\n", "at least one observed value"),
    ("time,a,a\n2024-01-01,1,2\n", "columns of distinct names"),
    ("time,a\n2024-01-02,1\n2024-01-02,2\n", "time repeats at step 1"),
    ("time,a\n2024-01-01,1\n2024-01-02,inf\n", "got inf at step 1, series 'a'"),
    ("unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,x\n", "number in column 'y', got 'x' in row 2"),
    ("unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,1\na,x,2\n", "column 'ds', got 'x' in row 3"),
    ("unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,1\na,,2\n", "column 'ds', got nothing in row 3"),
    ("unique_id,ds,y\na,2024-01-01,1\n,2024-01-02,1\n", "column 'unique_id', got nothing in row 2"),
    ("unique_id,y\na,1\n", "the columns unique_id, ds and y .* none called ds"),
    ("date,store,sales\n2024-01-01,1,3\n2024-01-01,2,3\n", "unique_id, ds, y"),
    ("date,kind,sales\n2024-01-01,1,3\n2024-01-01,2,3\n2024-01-02,1,3\n", "unique_id, ds, y"),
    ('time,a\n2024-01-01,"1,5"\n2024-01-02,"2,5"\n', r"--decimal"),
    ("time;a\n2024-01-01;1,5\n2024-01-02;1.234,5\n", r"got '1.234,5' in row 2"),
    ("unique_id,ds,y\n", "at least 2 time steps, got 0"),
]


@each_reader
@pytest.mark.parametrize(("text", "message"), CSV_REFUSED)
def test_a_wrong_csv_is_refused_with_row_and_column(tmp_path: Path, read: Read, text: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"a.csv: .*{message}") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_cell_that_is_no_number_is_found_in_a_later_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CSV_BYTES", 64)
    rows = "".join(f"{step},1.5\n" for step in range(100))
    (tmp_path / "a.csv").write_text(f"step,a\n{rows}100,wet\n")
    with pytest.raises(InputError, match="got 'wet' in row 101"):
        read_panel(tmp_path / "a.csv")


@each_reader
@pytest.mark.parametrize(
    ("text", "message"),
    [("time,k\xf6ln\n", "text in UTF-8"), ("k\xf6ln,1\n", "invalid UTF8"), ("3000,k\xf6ln\n", "invalid UTF8")],
    ids=["header", "time", "value"],
)
def test_a_csv_that_is_no_text_in_utf_8_is_refused(tmp_path: Path, read: Read, text: str, message: str) -> None:
    rows = "".join(f"{step},1\n" for step in range(3000))  # more than is read of a file to see its header
    start = "" if text.startswith("time") else f"time,a\n{rows}"
    (tmp_path / "a.csv").write_bytes(f"{start}{text}".encode("latin-1"))
    with pytest.raises(InputError, match=rf"a\.csv: expected a CSV file .*{message}"):
        read(tmp_path / "a.csv")


@each_reader
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("rows_at_a_time", [1, 1 << 20])
@pytest.mark.parametrize("form", ["wide", "long"])
@pytest.mark.parametrize("back", [True, False])
def test_rows_in_any_order_are_read_as_those_in_order(  # noqa: PLR0917  a table of cases
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read: Read,
    suffix: str,
    rows_at_a_time: int,
    form: str,
    back: bool,
) -> None:
    monkeypatch.setattr(streams, "TABLE_ROWS", rows_at_a_time)
    wide = pd.DataFrame({"ds": [f"2024-01-{day:02}" for day in range(1, 8)], "a": range(7), "b": range(10, 17)})
    long = wide.melt("ds", var_name="unique_id", value_name="y").sort_values(["unique_id", "ds"])
    expected = np.stack([np.arange(7), np.arange(10, 17)], axis=1)[..., None]
    frame = {"wide": wide, "long": long}[form]
    panel = read(write(tmp_path / f"a{suffix}", frame[::-1] if back else frame.sample(frac=1, random_state=1)))
    assert panel.timestamps[0] == np.datetime64("2024-01-01")
    np.testing.assert_array_equal(panel.values[:, np.argsort(panel.series)], expected)


@each_reader
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("rows_at_a_time", [1, 1 << 20])
@pytest.mark.parametrize(
    ("days", "at_most", "message"),
    [
        ([1, 1, 2], None, "series 'a' has several of 2024-01-01"),
        ([1, 2, 1], None, "series 'a' has several of 2024-01-01"),
        ([1, 1, 2], 0, "series 'a' has several of 2024-01-01"),
        ([2, 1, 3], 0, "in series 'a' 2024-01-01.* follows .*01-02.*: sort the table by unique_id and ds first"),
    ],
)
def test_a_long_table_that_repeats_a_row_or_is_large_and_not_sorted_is_refused(  # noqa: PLR0917  a table of cases
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read: Read,
    suffix: str,
    rows_at_a_time: int,
    days: list[int],
    at_most: int | None,
    message: str,
) -> None:
    monkeypatch.setattr(streams, "TABLE_ROWS", rows_at_a_time)
    if at_most is not None:
        monkeypatch.setattr(long_tables, "MAX_PLACES", at_most)
    frame = pd.DataFrame({"unique_id": "a", "ds": [f"2024-01-0{day}" for day in days], "y": 1.0})
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / f"a{suffix}", frame))


@each_reader
def test_a_range_as_the_index_is_refused_with_the_remedy(tmp_path: Path, read: Read) -> None:
    pd.DataFrame({"a": [1.0, 2, 3]}, index=pd.RangeIndex(3, name="ds")).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"got a range as the index: write it with reset_index\(\)"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".hdf5", ".csv", ".parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").touch()
    with pytest.raises(InputError, match=f"a{suffix}: expected data, got an empty file"):
        read_panel(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".parquet"])
def test_a_file_of_another_kind_than_its_name_says_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_text("<html>404 Not Found</html>" * 50)
    with pytest.raises(InputError, match=f"a{suffix}: expected (an|a whole)"):
        read_panel(tmp_path / f"a{suffix}")


@each_reader
@pytest.mark.parametrize("name", ["gone.npz", "gone.csv", "gone/data.h5"])
def test_a_missing_path_is_refused(tmp_path: Path, read: Read, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no such file"):
        read(tmp_path / name)


@each_reader
@pytest.mark.parametrize(("name", "ending"), [("a.xlsx", ".xlsx"), ("data", "a name without an ending")])
def test_another_kind_of_file_is_refused(tmp_path: Path, read: Read, name: str, ending: str) -> None:
    (tmp_path / name).write_text("?")
    with pytest.raises(InputError, match=rf"expected \.npz, .* or a folder, got {ending}"):
        read(tmp_path / name)


@each_reader
@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_truncated_file_is_refused(tmp_path: Path, read: Read, suffix: str, share: float) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, data=VALUES)
    else:
        WIDE.to_parquet(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"truncated file|whole Parquet file"):
        read(path)


@each_reader
@pytest.mark.parametrize("frame", [WIDE, LONG], ids=["wide", "long"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, read: Read, frame: pd.DataFrame) -> None:
    path = write(tmp_path / "a.parquet", frame)
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    path.write_bytes(data[:4] + bytes(len(data) - footer - 4) + data[-footer:])
    with pytest.raises(InputError, match=r"a\.parquet: expected a whole Parquet file"):
        read(path)


@each_reader
@pytest.mark.parametrize("place", [180, -400], ids=["header", "last values"])
def test_an_archive_with_a_damaged_member_is_refused(tmp_path: Path, read: Read, place: int) -> None:
    np.savez(tmp_path / "a.npz", data=np.random.default_rng(0).normal(size=(500, 3)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[place] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match="'data', got a damaged one"):
        read(tmp_path / "a.npz")


def test_an_archive_without_arrays_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(InputError, match=r"expected an array called 'data', got readme\.txt"):
        read_panel(tmp_path / "a.npz")


@pytest.mark.parametrize("key", ["data", "series"])
def test_python_objects_in_an_archive_are_never_unpickled(tmp_path: Path, key: str) -> None:
    arrays = {"data": VALUES, key: np.array([Bomb(tmp_path / "fired")] * 2, dtype=object)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=f"as '{key}', got a damaged one or Python objects, which are never unpickled"):
        read_panel(tmp_path / "a.npz")
    assert not (tmp_path / "fired").exists()
    pickle.loads(pickle.dumps(Bomb(tmp_path / "fired")))
    assert (tmp_path / "fired").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": np.float32(1)}, r"expected values of shape \(T, N\)"),
        ({"data": VALUES[:1]}, "at least 2 time steps, got 1"),
        ({"data": VALUES * np.nan}, "at least one observed value"),
        ({"data": VALUES.astype(str)}, "expected numbers, got an array of <U"),
        ({"data": VALUES, "timestamps_start": "2024-01-01"}, "expected freq=.* beside start='2024-01-01'"),
        ({"data": VALUES, "timestamps_start": "soon", "freq": "1h"}, "expected a time such as .* got 'soon'"),
        ({"data": VALUES, "timestamps_start": "2024-01-01", "freq": "often"}, "expected a step such as"),
        ({"data": VALUES, "steps_per_day": "many"}, "whole number as steps_per_day, got 'many'"),
        ({"data": VALUES, "series": ["a"]}, "expected 2 names of series, got 1"),
    ],
)
def test_an_archive_that_makes_no_panel_is_refused(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=message):
        read_panel(tmp_path / "a.npz")


def test_a_step_without_a_start_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=VALUES)
    with pytest.raises(InputError, match=r"expected start=\.\.\. beside freq='5min'"):
        read_panel(tmp_path / "a.npz", freq="5min")


def test_a_missing_file_is_reported_without_torch(tmp_path: Path) -> None:
    code = """
import sys
from elinformer.data import read_panel
try:
    read_panel("gone.csv")
except ValueError as error:
    print(error, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "no such file" in done.stdout
    assert done.stdout.endswith("False\n")
