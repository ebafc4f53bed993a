"""Converted panels: equal to the panels that are read, for every kind of file."""

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

from elinformer.data import pieces
from elinformer.data.io import streams, tables
from elinformer.data.io.convert import convert_panel
from elinformer.data.io.frames import long_frame
from elinformer.data.io.read import read_panel
from elinformer.data.panel import fingerprint
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
    """Check that both ways give the same panel, or the same message."""
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
def test_a_converted_panel_equals_the_panel_that_is_read(
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
        patch.setattr(pieces, "VALUES_AT_A_TIME", small)
        patch.setattr(tables, "COLUMN_VALUES", small)
        patch.setattr(streams, "TABLE_ROWS", small)
        patch.setattr(streams, "CSV_BYTES", 64 * small)
        assert_converted_as_read(source, path / "out", null_value=data.draw(st.sampled_from([None, 0.0])))


def convert(tmp_path: Path, source: Path, **options: Any) -> Panel:
    return convert_panel(source, tmp_path / "out", **options)


def test_a_panel_on_disk_is_converted_again_with_a_null_value(tmp_path: Path) -> None:
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
    monkeypatch.setattr(pieces, "VALUES_AT_A_TIME", 4)
    np.savez(tmp_path / "a.npz", data=np.ones((6, 2)))
    seen: list[tuple[int, int]] = []
    convert(tmp_path, tmp_path / "a.npz", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 12), (8, 12), (12, 12)]


def test_rows_of_several_series_may_be_mixed_in_a_conversion(tmp_path: Path) -> None:
    days = [f"2024-01-0{day}" for day in (1, 1, 2, 2, 3, 3)]
    frame = pd.DataFrame({"unique_id": list("abbaab"), "ds": days, "y": np.arange(6.0)})
    frame.to_parquet(tmp_path / "a.parquet")
    assert_converted_as_read(tmp_path / "a.parquet", tmp_path / "out")


def test_a_converted_hdf5_table_equals_the_one_that_is_read(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["df/axis0"] = file["df/block0_items"] = np.array([b"x", b"y"])
        file["df/axis1"] = np.array([0, 2], np.int64) * 3_600_000_000_000
        file["df/axis1"].attrs["kind"] = np.bytes_(b"datetime64")
        file["df/block0_values"] = np.array([[1, 0], [3, np.nan]])
    assert_converted_as_read(tmp_path / "a.h5", tmp_path / "out", freq="1h", null_value=0.0)
