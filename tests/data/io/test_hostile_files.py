"""Files and paths that are wrong, hostile or endless: each is refused by one sentence, in little time and memory."""

from __future__ import annotations

import io
import itertools
import json
import os
import struct
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from elinformer.data.io import limits, recording
from elinformer.data.io.convert import convert_panel
from elinformer.data.io.read import read_panel
from elinformer.data.panel import Panel
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[[Path], Path | str]


def archive(folder: Path, **members: object) -> Path:
    np.savez(folder / "a.npz", **{"data": np.ones((6, 2)), **members})  # pyright: ignore[reportArgumentType]
    return folder / "a.npz"


def archive_with_header(folder: Path, text: str) -> Path:
    header = text.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(folder / "a.npz", "w") as file:
        file.writestr("data.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(100))
    return folder / "a.npz"


def shaped(shape: str) -> str:
    return f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"


def damaged_archive(folder: Path, method: int, offset: int | None = None, value: int = 0) -> Path:
    content = io.BytesIO()
    np.save(content, np.arange(600.0).reshape(300, 2))
    with zipfile.ZipFile(folder / "a.npz", "w", method) as file:
        file.writestr("data.npy", content.getvalue())
    data = bytearray((folder / "a.npz").read_bytes())
    data[data.find(b"PK\x01\x02") + offset if offset else len(data) // 2] = value
    (folder / "a.npz").write_bytes(data)
    return folder / "a.npz"


def csv(folder: Path, text: str) -> Path:
    (folder / "a.csv").write_text(text)
    return folder / "a.csv"


def parquet(folder: Path, notes: bytes | None = None, **columns: pa.Array) -> Path:
    table = pa.table({"time": pa.array([0, 1, 2]), "a": pa.array([1.0, 2.0, 3.0]), **columns})
    pa_parquet.write_table(table.replace_schema_metadata(notes and {b"pandas": notes}), folder / "a.parquet")
    return folder / "a.parquet"


def parquet_twice(folder: Path, name: str) -> Path:
    notes = {"index_columns": [name], "columns": []}
    table = pa.Table.from_arrays([pa.array([0, 1, 2])] * 2, [name, name])
    pa_parquet.write_table(table.replace_schema_metadata({b"pandas": json.dumps(notes)}), folder / "a.parquet")
    return folder / "a.parquet"


def damaged_parquet(folder: Path) -> Path:
    path = parquet(folder, abcdef=pa.array([1.0, 2.0, 3.0]))
    path.write_bytes(path.read_bytes().replace(b"abcdef", b"abc\xe1ef"))
    return path


def parquet_of_other_counts(folder: Path, is_wanted: Callable[[pa_parquet.FileMetaData], bool]) -> Path:
    path = parquet(folder)
    whole = path.read_bytes()
    for place, code in itertools.product(range(len(whole) - 1, 0, -1), [b"\x08", b"\0"]):  # 6 is the code of three
        path.write_bytes(whole[:place] + code + whole[place + 1 :] if whole[place] == 6 else b"")
        with suppress(pa.ArrowException, OSError):
            if is_wanted(pa_parquet.read_metadata(path)):
                return path
    raise AssertionError("no byte of the file is that number of rows")


def text_of_latin_1(folder: Path) -> Path:
    text = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(np.arange(4, dtype=np.int32)), pa.py_buffer(b"1\xf62")]
    )
    return parquet(folder, a=text)


def basicts(folder: Path, meta: str) -> Path:
    for part in ("train", "val", "test"):
        np.save(folder / f"{part}_data.npy", np.ones((4, 2)))
    (folder / "meta.json").write_text(meta)
    return folder


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.csv")
    return folder / "a.csv"


def pipe_in_folder(folder: Path) -> Path:
    basicts(folder, "{}")
    (folder / "val_data.npy").unlink()
    os.mkfifo(folder / "val_data.npy")
    return folder


REFUSED: dict[str, Make] = {
    "an archive of a damaged LZMA member": lambda f: damaged_archive(f, zipfile.ZIP_LZMA),
    "an archive of an unknown compression": lambda f: damaged_archive(f, zipfile.ZIP_STORED, 10, 95),
    "an encrypted archive": lambda f: damaged_archive(f, zipfile.ZIP_STORED, 8, 1),
    "a header cut inside a bracket": lambda f: archive_with_header(f, shaped("(6, 2")[:-4]),
    "a negative size": lambda f: archive_with_header(f, shaped("(10, -3)")),
    "a truth value as a size": lambda f: archive_with_header(f, shaped("(25, True)")),
    "a header of a billion rows": lambda f: archive_with_header(f, shaped("(1000000000, 2)")),
    "numbers that no float holds": lambda f: archive(f, data=np.full((6, 2), np.longdouble("1e4000"))),
    "names that are no UTF-8": lambda f: archive(f, series=np.array([b"k\xf6ln", b"b"])),
    "times that end after 2262": lambda f: archive(
        f, data=np.ones((2000, 2)), timestamps_start="2262-04-01", freq="1h"
    ),
    "service hours after 2262": lambda f: archive(f, timestamps_start="2300-01-01", freq="1h", steps_per_day=3),
    "a start that is no date": lambda f: archive(f, timestamps_start="now", freq="1h"),
    "a start with the day first": lambda f: archive(f, timestamps_start="03/04/2024", freq="1h"),
    "a frequency of 23 digits": lambda f: archive(f, timestamps_start="2024-01-01", freq="9" * 23 + "D"),
    "a day of 10^18 steps": lambda f: archive(f, timestamps_start="2024-01-01", freq="1h", steps_per_day=10**18),
    "times of 20 digits": lambda f: csv(f, "time,a\n20240101000000000000,1\n20240101000000000001,2\n"),
    "step numbers that no int64 holds": lambda f: parquet(f, time=pa.array([2**63 + i for i in range(3)], pa.uint64())),
    "step numbers after which no other fits": lambda f: parquet(f, time=pa.array([2**63 - 4 + i for i in range(3)])),
    "times after 2262 by the clock of their zone": lambda f: parquet(
        f, time=pa.array([2**63 - 4 + i for i in range(3)], pa.timestamp("ns", "Asia/Tokyo"))
    ),
    "words as times": lambda f: csv(f, "time,a\nnow,1\ntoday,2\n"),
    "a separator of Excel that is no ASCII": lambda f: csv(f, "sep=é\ntimeéa\n0é1\n1é2\n"),
    "letters that there are not": lambda f: archive(f, series=np.array([0x7FFFFFFF, 5], "<u4").view("<U1")),
    "half of a letter as a name": lambda f: archive(f, series=np.array(["\udcff", "b"])),
    "a start that is a number": lambda f: archive(f, timestamps_start=np.array(5), freq="1h"),
    "a step of 1,140 years": lambda f: archive(f, timestamps_start="2024-01-01", freq="9999999h"),
    "no number as the name of a series": lambda f: parquet(
        f, unique_id=pa.array([1.5, 1.5, np.nan]), ds=pa.array([0, 1, 2]), y=pa.array([1.0, 2.0, 3.0])
    ),
    "names of series in Latin-1": lambda f: parquet(
        f, unique_id=pa.array([b"k\xf6ln"] * 3), ds=pa.array([0, 1, 2]), y=pa.array([1.0, 2.0, 3.0])
    ),
    "lists as times": lambda f: parquet(f, time=pa.array([[0], [1], [2]])),
    "bytes as times": lambda f: parquet(f, time=pa.array([b"0", b"1", b"2"])),
    "lists as numbers": lambda f: parquet(f, a=pa.array([[0], [1], [2]])),
    "bytes as numbers": lambda f: parquet(f, a=pa.array([b"\xff"] * 3)),
    "bytes of one size as numbers": lambda f: parquet(f, a=pa.array([b"\xff"] * 3, pa.binary(1))),
    "times of a day as numbers": lambda f: parquet(f, a=pa.array([0, 1, 2], pa.time64("ns"))),
    "notes of pandas that are no JSON": lambda f: parquet(f, b"{"),
    "notes of pandas for another table": lambda f: parquet(
        f, b'{"index_columns": ["x"], "columns": [], "column_indexes": []}'
    ),
    "nested notes of pandas": lambda f: parquet(f, b"[" * 5000),
    "an index of pandas that is there twice": lambda f: parquet_twice(f, "time"),
    "times after the year 9999 in an index": lambda f: parquet(
        f, __index_level_0__=pa.array([10**12] * 3, pa.timestamp("s"))
    ),
    "times of a zone that there is not": lambda f: parquet(f, time=pa.array([0, 1, 2], pa.timestamp("s", "Mars/Base"))),
    "half floats as names of series": lambda f: parquet(
        f, unique_id=pa.array([0, 1, 2], pa.float16()), y=pa.array([1.0, 2.0, 3.0]), ds=pa.array([0, 1, 2])
    ),
    "maps as names of series": lambda f: parquet(
        f, unique_id=pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64())), ds=pa.array([0, 1, 2])
    ),
    "a header of two lines": lambda f: csv(f, 'time,"a\nb"\n0,1\n1,2\n'),
    "a damaged name in Parquet": damaged_parquet,
    "a Parquet file of fewer rows than it says": lambda f: parquet_of_other_counts(
        f, lambda counts: (counts.num_rows, counts.row_group(0).num_rows) in {(4, 3), (3, 4)}
    ),
    "a Parquet column without the times of its rows": lambda f: parquet_of_other_counts(
        f, lambda counts: counts.row_group(0).column(0).num_values == 0
    ),
    "a Parquet column without the numbers of its rows": lambda f: parquet_of_other_counts(
        f, lambda counts: counts.row_group(0).column(1).num_values == 0
    ),
    "text in Parquet that is no UTF-8": text_of_latin_1,
    "nested JSON": lambda f: basicts(f, "[" * 200_000),
    "a name that is too long": lambda f: f / f"{'a' * 5000}.csv",
    "a user that there is not": lambda _: "~nosuchuser/a.csv",
    "a name with NUL": lambda _: "a\0.csv",
    "a name that is no UTF-8": lambda f: f / "\udcff.csv",
    "a pipe": pipe,
    "a pipe in a folder": pipe_in_folder,
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_file_ends_with_one_sentence(tmp_path: Path, make: Make) -> None:
    path = make(tmp_path)
    for read in (read_panel, lambda source: convert_panel(source, tmp_path / "out")):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(caught.value).isprintable()  # a line without bytes of the file


def test_names_of_an_archive_may_be_bytes_in_utf_8(tmp_path: Path) -> None:
    assert read_panel(archive(tmp_path, series=np.array(["köln".encode(), b"b"]))).series == ("köln", "b")


def test_names_of_series_in_parquet_may_be_bytes_in_utf_8(tmp_path: Path) -> None:
    columns = {"ds": pa.array([0, 1, 2]), "y": pa.array([1.0, 2.0, 3.0])}
    pa_parquet.write_table(pa.table({"unique_id": pa.array(["köln".encode()] * 3), **columns}), tmp_path / "a.parquet")
    assert read_panel(tmp_path / "a.parquet").series == ("köln",)


@pytest.mark.parametrize(
    "options",
    [
        {"decimal": "x"},
        {"decimal": ""},
        {"sep": "é"},
        {"sep": "\n"},
        {"sep": '"'},
        {"null_value": 10**400},
        {"freq": "1D", "resample": ["mean"]},
        {"freq": "9999999h", "resample": "mean"},
        {"targets": [""]},
        {"tz": "../../etc/passwd"},
        {"static": "/dev/zero"},
        {"static": "~nosuchuser/a.csv"},
        {"static": "a\0.csv"},
    ],
    ids=str,
)
def test_options_that_no_file_can_be_read_with_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    path = csv(tmp_path, "time,a\n2024-01-01T00:00Z,1\n2024-01-02T00:00Z,2\n")
    with pytest.raises(InputError):
        read_panel(path, **options)


def test_a_number_for_missing_that_float32_does_not_hold_is_compared_without_a_warning(tmp_path: Path) -> None:
    panel = read_panel(csv(tmp_path, "time,a\n0,1e39\n1,2\n"), null_value=1e39)
    np.testing.assert_array_equal(panel.mask[:, 0, 0], [False, True])


@pytest.mark.parametrize("meta", [{"variable_names": 5}, {"regular_settings": [1]}, {"feature_description": {"a": 1}}])
def test_a_description_of_other_types_is_left_out(tmp_path: Path, meta: dict[str, Any]) -> None:
    assert read_panel(basicts(tmp_path, json.dumps(meta))).values.shape == (12, 2, 1)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "D"])
@pytest.mark.parametrize("year", ["1500", "2300"])
def test_times_that_nanoseconds_cannot_count_are_refused(unit: str, year: str) -> None:
    times = np.datetime64(f"{year}-01-01", unit) + np.arange(5)
    with pytest.raises(InputError, match="between 1678 and 2261"):
        Panel.from_arrays(np.ones((5, 2)), timestamps=times, freq="1D" if unit == "D" else f"1{unit}")


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", data=np.zeros((5000, 100)))
    with pytest.raises(InputError, match=r"at most 200 times .* without compression"):
        read_panel(tmp_path / "a.npz")


def test_a_table_of_parquet_that_unpacks_to_a_thousand_times_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1 << 20)
    table = pa.table({"time": np.zeros(1 << 20, int), "a": np.zeros(1 << 20)})
    pa_parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="at most 200 times"):
        read_panel(tmp_path / "a.parquet")


def test_a_long_table_whose_series_share_no_times_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    times = np.datetime_as_string(np.datetime64("2024-01-01T00:00") + np.arange(20_000))
    path = csv(tmp_path, "unique_id,ds,y\n" + "".join(f"id{i},{time},1\n" for i, time in enumerate(times)))
    with pytest.raises(InputError, match="20,000 recorded values spread over 20,000 steps of 20,000 series"):
        read_panel(path)


def test_a_panel_that_finds_no_memory_is_refused_with_the_way_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    path = csv(tmp_path, "time,a\n0,1\n1,2\n")
    monkeypatch.setattr(recording.np, "full", no_memory)
    with pytest.raises(InputError, match="elinformer convert"):
        read_panel(path)


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only the root user may become another user")
def test_a_folder_that_one_may_not_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    csv(tmp_path / "closed", "time,a\n0,1\n1,2\n")
    (tmp_path / "closed").chmod(0)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            read_panel(tmp_path / "closed/a.csv")
        except InputError:
            os._exit(0)
        except BaseException:
            os._exit(1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


h5py = pytest.importorskip("h5py")


def table(path: Path, **changes: object) -> Path:
    parts: dict[str, Any] = {
        "axis0": np.array([b"a", b"b"]),
        "axis1": np.arange(3),
        "block0_items": np.array([b"a", b"b"]),
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        for name, value in {**parts, "block0_values": np.ones((3, 2)), **changes}.items():
            if callable(value):
                value(group, name)
            else:
                group[name] = value
        if "axis1" not in changes:
            group["axis1"].attrs["kind"] = b"integer"
    return path


def claims_a_billion_times(group: Any, name: str) -> None:
    group.create_dataset(name, shape=(10**9,), dtype="i8", chunks=(1000,)).attrs["kind"] = b"integer"


def seconds_of_2300(group: Any, name: str) -> None:
    times = (np.datetime64("2300-01-01", "s") + np.arange(3)).astype("i8")
    group.create_dataset(name, data=times).attrs["kind"] = b"datetime64[s]"


def in_another_file(group: Any, name: str) -> None:
    other = table(group.file.filename.replace("a.h5", "b.h5"))
    group[name] = h5py.ExternalLink(str(other), f"/df/{name}")


def virtual(group: Any, name: str) -> None:
    other = table(group.file.filename.replace("a.h5", "b.h5"))
    layout = h5py.VirtualLayout(shape=(3, 2), dtype="f8")
    layout[:] = h5py.VirtualSource(str(other), f"/df/{name}", shape=(3, 2))
    group.create_virtual_dataset(name, layout)


def stored_outside(group: Any, name: str) -> None:
    raw = group.file.filename.replace("a.h5", "raw.bin")
    group.create_dataset(name, data=np.ones((3, 2)), external=[(raw, 0, h5py.h5f.UNLIMITED)])


def of_periods(group: Any, name: str) -> None:
    group.create_dataset(name, data=np.arange(3)).attrs.update({"kind": b"integer", "index_class": b"period"})


def without_a_time(group: Any, name: str) -> None:
    group.create_dataset(name, data=np.array([0, -(1 << 63), 2])).attrs["kind"] = b"datetime64[s]"


def in_hours(group: Any, name: str) -> None:
    group.create_dataset(name, data=np.arange(3)).attrs["kind"] = b"datetime64[h]"


def at_the_end_of_time(group: Any, name: str) -> None:
    axis = group.create_dataset(name, data=np.arange(3) + ((1 << 63) - 4))
    axis.attrs.update({"kind": b"datetime64[ns]", "tz": b"Asia/Tokyo"})


HDF5_REFUSED = {
    "a row without a time": {"axis1": without_a_time},
    "times in a unit that pandas does not write": {"axis1": in_hours},
    "times after 2262 by the clock of their zone": {"axis1": at_the_end_of_time},
    "a column in two blocks": {"block1_items": np.array([b"a"]), "block1_values": np.ones((3, 1))},
    "a column twice in a block": {"block0_items": np.array([b"a", b"a"])},
    "a column in no block": {"block0_items": np.array([b"a"]), "block0_values": np.ones((3, 1))},
    "names in Latin-1": {"axis0": np.array([b"k\xf6ln", b"b"])},
    "an axis that is one number": {"axis0": np.array(5)},
    "an axis of two dimensions": {"axis0": np.array([[1, 2], [3, 4]])},
    "items that are no columns": {"block0_items": np.array([b"a", b"c"])},
    "a link to itself": {"block0_values": h5py.SoftLink("/df/block0_values")},
    "a billion times that are not stored": {"axis1": claims_a_billion_times},
    "times in seconds of 2300": {"axis1": seconds_of_2300},
    "periods, whose step is pickled": {"axis1": of_periods},
    "a link to another file": {"block0_values": in_another_file},
    "an array of several files": {"block0_values": virtual},
    "an array that is stored outside": {"block0_values": stored_outside},
}


@pytest.mark.parametrize("changes", HDF5_REFUSED.values(), ids=HDF5_REFUSED.keys())
def test_a_wrong_hdf5_table_ends_with_one_sentence(tmp_path: Path, changes: dict[str, object]) -> None:
    path = table(tmp_path / "a.h5", **changes)
    with pytest.raises(InputError) as caught:
        read_panel(path)
    assert str(caught.value).isprintable()


def test_a_table_that_is_a_link_to_another_file_is_refused(tmp_path: Path) -> None:
    table(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["df"] = h5py.ExternalLink("b.h5", "/df")
    with pytest.raises(InputError, match="in the file itself"):
        read_panel(tmp_path / "a.h5")
