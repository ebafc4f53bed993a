"""Converted panels are the panels that are read, whatever the file; and what cannot be streamed is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elinformer.data import row_blocks, table_streams, wide_streams
from elinformer.data.catalog import load_dataset
from elinformer.data.conversion import convert_panel
from elinformer.data.fingerprint import fingerprint
from elinformer.data.formats import read_panel
from elinformer.data.frames import long_frame
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from elinformer.data.panel import Panel

    Write = Callable[[Path, np.ndarray, np.ndarray], Path]

NUMBERS = st.floats(-1e6, 1e6, width=32) | st.just(np.float32(np.nan)) | st.just(np.float32(0))


def assert_same_panel(converted: Panel, read: Panel) -> None:
    for field in ("freq", "series", "channels", "steps_per_day", "name"):
        assert getattr(converted, field) == getattr(read, field), field
    for field in ("values", "mask", "timestamps"):
        np.testing.assert_array_equal(getattr(converted, field), getattr(read, field), field)
        assert getattr(converted, field).dtype == getattr(read, field).dtype
    assert fingerprint(converted) == fingerprint(read)


def outcome(make: Callable[[], Panel]) -> Panel | str:
    try:
        return make()
    except InputError as error:
        return str(error)


def assert_converted_as_read(source: Path, folder: Path, **options: Any) -> None:
    """The same panel, or the same sentence."""
    read, converted = (
        outcome(lambda: read_panel(source, **options)),
        outcome(lambda: convert_panel(source, folder, overwrite=True, **options)),
    )
    if isinstance(read, str) or isinstance(converted, str):
        assert converted == read
        return
    assert_same_panel(converted, read)
    assert_same_panel(read_panel(folder), read)


def write_npz(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    np.savez(path / "a.npz", data=values)
    return path / "a.npz"


def write_npz_by_column(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    known = {} if times.dtype.kind != "M" else {"timestamps_start": times[0], "freq": "1h"}
    np.savez_compressed(path / "a.npz", data=np.asfortranarray(values.astype(np.float64)), **known)
    return path / "a.npz"


def write_basicts(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    cuts = len(values) // 2, len(values) - 1
    (path / "b").mkdir()
    for part, block in zip(("train", "val", "test"), np.split(values, cuts), strict=True):
        np.save(path / f"b/{part}_data.npy", block if part != "val" else np.asfortranarray(block))
    (path / "b/meta.json").write_text(json.dumps({"frequency (minutes)": 60}))
    return path / "b"


def wide(values: np.ndarray, times: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(values[..., 0].astype(np.float64), columns=[f"s{i}" for i in range(values.shape[1])])
    frame.insert(0, "time", times)
    return frame


def long(values: np.ndarray, times: np.ndarray) -> pd.DataFrame:
    names = [f"00{i}" for i in range(values.shape[1])]
    return long_frame(values, times, names, ["y", "v", "w"][: values.shape[2]], column="y").rename(
        columns={"y_y": "y", "y_v": "v", "y_w": "w"}
    )


def write_wide_csv(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    wide(values, times).to_csv(path / "a.csv", index=False)
    return path / "a.csv"


def write_wide_csv_with_words(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    wide(values, times).to_csv(path / "a.csv", index=False, na_rep="nOne")
    return path / "a.csv"


def write_wide_parquet(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    pa_parquet.write_table(pa.Table.from_pandas(wide(values, times)), path / "a.parquet", row_group_size=3)
    return path / "a.parquet"


def write_indexed_parquet(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    if times.dtype.kind != "M":  # pandas stores step numbers in the index as a range, which is refused
        return write_wide_parquet(path, values, times)
    wide(values, times).set_index("time").rename_axis(None).to_parquet(path / "a.parquet")
    return path / "a.parquet"


def write_long_parquet(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    pa_parquet.write_table(pa.Table.from_pandas(long(values, times)), path / "a.parquet", row_group_size=5)
    return path / "a.parquet"


def write_long_parquet_by_time(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    frame = long(values, times).sort_values("ds", kind="stable").astype({"unique_id": "category"})
    frame[~frame["y"].isna()].to_parquet(path / "a.parquet")
    return path / "a.parquet"


def write_long_csv(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    long(values, times).to_csv(path / "a.csv", index=False, na_rep="n/a")
    return path / "a.csv"


WRITERS = [
    write_npz,
    write_npz_by_column,
    write_basicts,
    write_wide_csv,
    write_wide_csv_with_words,
    write_wide_parquet,
    write_indexed_parquet,
    write_long_parquet,
    write_long_parquet_by_time,
    write_long_csv,
]


@pytest.mark.parametrize("write", WRITERS)
@settings(max_examples=8)
@given(data=st.data())
def test_a_converted_panel_is_the_panel_that_is_read(
    write: Write, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = (data.draw(st.integers(3, 9)), data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 1, 3])))
    values = data.draw(hnp.arrays(np.float32, shape, elements=NUMBERS))
    begin = data.draw(st.sampled_from(["2024-02-29T22", None]))
    times = (
        np.arange(7, 7 + len(values))
        if begin is None
        else np.datetime64(begin, "ns") + np.arange(len(values)) * np.timedelta64(1, "h")
    )
    keep = np.ones(len(values), bool)
    keep[1 : data.draw(st.integers(1, len(values) - 1))] = data.draw(st.booleans())  # a gap, as tables may have
    path, small = tmp_path_factory.mktemp("conversion"), data.draw(st.sampled_from([2, 5, 1 << 20]))
    source = write(path, values[keep], times[keep])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_blocks, "VALUES_AT_A_TIME", small)
        patch.setattr(wide_streams, "COLUMN_VALUES", small)
        patch.setattr(table_streams, "TABLE_ROWS", small)
        patch.setattr(table_streams, "CSV_BYTES", 64 * small)
        assert_converted_as_read(source, path / "out", null_value=data.draw(st.sampled_from([None, 0.0])))


def convert(tmp_path: Path, source: Path, **options: Any) -> Panel:
    return convert_panel(source, tmp_path / "out", **options)


def test_a_panel_on_disk_is_converted_once_more_to_say_what_is_missing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=[[1.0, 2], [0, 3]])
    first = convert(tmp_path, tmp_path / "a.npz")
    second = convert_panel(tmp_path / "out", tmp_path / "other", null_value=0.0)
    assert (first.mask.sum(), second.mask.sum(), second.name) == (4, 3, "a")


def test_a_panel_on_disk_can_be_converted_in_place(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=[[1.0, 2], [0, 3]])
    before = convert(tmp_path, tmp_path / "a.npz")
    after = convert_panel(tmp_path / "out", tmp_path / "out", start="2024-01-01", freq="1h", overwrite=True)
    assert not before.has_time
    assert after.timestamps[1] == np.datetime64("2024-01-01T01")
    np.testing.assert_array_equal(before.values, after.values)


def test_service_hours_and_names_are_kept(tmp_path: Path) -> None:
    known = {"timestamps_start": "2024-01-01 06:00", "freq": "10min", "steps_per_day": 2, "channels": ["in", "out"]}
    np.savez(tmp_path / "a.npz", data=np.arange(24.0).reshape(6, 2, 2), series=["é", "ß"], **known)  # pyright: ignore[reportArgumentType]
    assert_converted_as_read(tmp_path / "a.npz", tmp_path / "out")


def test_progress_ends_with_all_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "VALUES_AT_A_TIME", 4)
    np.savez(tmp_path / "a.npz", data=np.ones((6, 2)))
    seen: list[tuple[int, int]] = []
    convert(tmp_path, tmp_path / "a.npz", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 12), (8, 12), (12, 12)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("rows_at_a_time", [1, 1 << 20])
@pytest.mark.parametrize(
    ("days", "message"), [([2, 1, 3], "01-01.* follows .*01-02"), ([1, 1, 2], "01-01.* follows .*01-01")]
)
def test_a_long_table_that_is_not_sorted_is_refused_with_the_step_that_is_missing(  # noqa: PLR0917  a table of cases
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, rows_at_a_time: int, days: list[int], message: str
) -> None:
    monkeypatch.setattr(table_streams, "TABLE_ROWS", rows_at_a_time)
    frame = pd.DataFrame({"unique_id": "a", "ds": [f"2024-01-0{day}" for day in days], "y": 1.0})
    source = tmp_path / f"a{suffix}"
    frame.to_csv(source, index=False) if suffix == ".csv" else frame.to_parquet(source)
    with pytest.raises(InputError, match=f"in series 'a' 2024-{message}.*: sort the table by unique_id and ds first"):
        convert(tmp_path, source)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("text", ["time,a\n2024-01-01,true\n2024-01-02,false\n", "unique_id,ds,y\na,1,1\na,2,True\n"])
def test_words_for_true_and_false_in_a_csv_file_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=r"expected a number in column '[ay]', got '[tT]rue' in row [12]"):
        convert(tmp_path, tmp_path / "a.csv")


def test_a_set_of_the_catalogue_is_converted_by_its_name(tmp_path: Path) -> None:
    assert_same_panel(convert_panel("nyc-airports", tmp_path / "out"), load_dataset("nyc-airports"))
    with pytest.raises(InputError, match="expected no freq or name for NYC-airports: the catalogue says"):
        convert_panel("NYC-airports", tmp_path / "out", freq="1h", name="airports", overwrite=True)
    with pytest.raises(InputError, match="out"):
        convert_panel("nyc-airports", tmp_path / "out")


def test_rows_of_several_series_may_come_in_any_order_of_series(tmp_path: Path) -> None:
    days = [f"2024-01-0{day}" for day in (1, 1, 2, 2, 3, 3)]
    frame = pd.DataFrame({"unique_id": list("abbaab"), "ds": days, "y": np.arange(6.0)})
    frame.to_parquet(tmp_path / "a.parquet")
    assert_converted_as_read(tmp_path / "a.parquet", tmp_path / "out")


CELLS = [
    ("time,a\n2024-01-01,1\n2024-01-02,x\n", "number in column 'a', got 'x' in row 2"),
    ("time,a\n2024-01-01,1\n,2\n", "column 'time', got nothing in row 2"),
    ("time,a\n2024-01-01,1\nlater,2\n", "column 'time', got 'later' in row 2"),
    ("time,a\n2024-01-01,1\n2024-01-02,2,3\n", r"rows are as long as its header.*Expected 2 columns, got 3"),
    ("time,a\n2024-01-01,1,3\n2024-01-02,2,3\n", r"rows are as long as its header.*Expected 2 columns, got 3"),
    ("time;a\n2024-01-01;1\n", "separate the columns by commas"),
    ("2024-01-01,1\n2024-01-02,2\n", r"what looks like data \('2024-01-01'\)"),
    ("time,a\n", "at least 2 time steps, got 0"),
    ("time,a\n2024-01-01,1\n", "at least 2 time steps, got 1"),
    ("time,a\n2024-01-01,\n2024-01-02,\n", "at least one observed value"),
    ("time,a,a\n2024-01-01,1,2\n", "columns of distinct names"),
    ("time,a\n2024-01-02,1\n2024-01-01,2\n", "time goes back at step 1"),
    ("time,a\n2024-01-01,1\n2024-01-02,inf\n", "got inf at step 1, series 'a'"),
    ("unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,x\n", "number in column 'y', got 'x' in row 2"),
    ("unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,1\na,x,2\n", "column 'ds', got 'x' in row 3"),
    ("unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,1\na,,2\n", "column 'ds', got nothing in row 3"),
    ("unique_id,ds,y\na,2024-01-01,1\n,2024-01-02,1\n", "column 'unique_id', got nothing in row 2"),
    ("unique_id,y\na,1\n", "the columns unique_id, ds and y .* none called ds"),
    ("unique_id,ds,y\n", "at least 2 time steps, got 0"),
]


@pytest.mark.parametrize(("text", "message"), CELLS)
def test_a_csv_that_cannot_be_a_panel_is_refused_by_row_and_column(tmp_path: Path, text: str, message: str) -> None:
    source = tmp_path / "a.csv"
    source.write_text(text)
    with pytest.raises(InputError, match=f"a.csv: .*{message}") as caught:
        convert(tmp_path, source)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


def test_a_cell_that_is_no_number_is_found_in_a_later_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_streams, "CSV_BYTES", 64)
    rows = "".join(f"{step},1.5\n" for step in range(100))
    (tmp_path / "a.csv").write_text(f"step,a\n{rows}100,wet\n")
    with pytest.raises(InputError, match="got 'wet' in row 101"):
        convert(tmp_path, tmp_path / "a.csv")


@pytest.mark.parametrize("row", ["k\xf6ln,1", "3000,k\xf6ln"], ids=["time", "value"])
def test_a_csv_that_is_no_text_in_utf_8_is_refused(tmp_path: Path, row: str) -> None:
    rows = "".join(f"{step},1\n" for step in range(3000))  # more than is read of a file to see its header
    (tmp_path / "a.csv").write_bytes(f"time,a\n{rows}{row}\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.csv: expected a CSV file .*: invalid UTF8 data"):
        convert(tmp_path, tmp_path / "a.csv")


@pytest.mark.parametrize("frame", [wide, long])
def test_a_truncated_or_damaged_parquet_file_is_refused(tmp_path: Path, frame: Callable[..., pd.DataFrame]) -> None:
    source = tmp_path / "a.parquet"
    frame(np.random.default_rng(0).normal(size=(500, 2, 1)), np.arange(500)).to_parquet(source)
    data = source.read_bytes()
    source.write_bytes(data[:-20])
    with pytest.raises(InputError, match=r"a\.parquet: expected a whole Parquet file"):
        convert(tmp_path, source)
    source.write_bytes(data[:4] + bytes(4000) + data[4004:])
    with pytest.raises(InputError, match=r"a\.parquet: expected a whole Parquet file"):
        convert(tmp_path, source)
    assert list(tmp_path.iterdir()) == [source]


def test_a_range_as_the_index_is_refused_with_the_step_that_is_missing(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.0, 2, 3]}, index=pd.RangeIndex(3, name="ds")).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"got a range as the index: write it with reset_index\(\)"):
        convert(tmp_path, tmp_path / "a.parquet")


def test_an_archive_that_is_damaged_at_its_end_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=np.random.default_rng(0).normal(size=(500, 3)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[-400] ^= 0xFF  # in the last values
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match="'data', got a damaged one"):
        convert(tmp_path, tmp_path / "a.npz")


def test_a_file_of_another_kind_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").touch()
    for name, message in (("a.xlsx", r"expected \.npz, .* or a folder, got \.xlsx"), ("b.csv", "No such file")):
        with pytest.raises(InputError, match=message):
            convert(tmp_path, tmp_path / name)


def test_a_converted_hdf5_table_is_the_one_that_is_read(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["df/axis0"] = file["df/block0_items"] = np.array([b"x", b"y"])
        file["df/axis1"] = np.array([0, 2], np.int64) * 3_600_000_000_000
        file["df/axis1"].attrs["kind"] = np.bytes_(b"datetime64")
        file["df/block0_values"] = np.array([[1, 0], [3, np.nan]])
    assert_converted_as_read(tmp_path / "a.h5", tmp_path / "out", freq="1h", null_value=0.0)
