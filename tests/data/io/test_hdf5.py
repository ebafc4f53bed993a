"""HDF5 files in the layout of pandas and PyTables, as METR-LA and PEMS-BAY."""

from __future__ import annotations

import datetime as dt
import pickle
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from fuzzing import used_or_refused

from elinformer.data.io.read import read_panel
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

h5py = pytest.importorskip("h5py")

VALUES = np.array([[64.4, 0, 67.1], [62.7, 68.6, np.nan], [64.0, 63.8, 63.4], [60.0, 61.0, 62.0]])
TIMES = pd.date_range("2012-03-01", periods=4, freq="5min")


def write_axis(group: h5py.Group, axis_name: str, labels: Sequence[object], kind: bytes, **attributes: bytes) -> None:
    data = np.asarray(labels)
    axis = group.create_dataset(axis_name, data=data.astype("S") if data.dtype.kind == "U" else data)
    given = {"CLASS": b"ARRAY", "FLAVOR": b"numpy", "VERSION": b"2.4", "kind": kind, "name": pickle.dumps(None, 0)}
    for key, value in (given | attributes).items():
        axis.attrs[key] = np.bytes_(value)


def write_table(
    path: Path,
    *,
    columns: Sequence[object] = ("773869", "767541", "767542"),
    key: str = "df",
    unit: str = "ns",
    kind: bytes = b"datetime64",
    times: pd.DatetimeIndex = TIMES,
    **time_attributes: bytes,
) -> Path:
    """Write the attributes and data sets that `DataFrame.to_hdf(path, key=key)` writes."""
    numbers = times.to_numpy().astype(f"M8[{unit}]").astype(np.int64)
    label_kind = b"string" if isinstance(columns[0], str) else b"integer"
    with h5py.File(path, "a") as file:
        group = file.create_group(key)
        group.attrs.update({"pandas_type": np.bytes_(b"frame"), "ndim": 2, "nblocks": 1, "axis0_variety": b"regular"})
        write_axis(group, "axis0", columns, label_kind)
        write_axis(group, "axis1", numbers, kind, index_class=b"datetime", **time_attributes)
        write_axis(group, "block0_items", columns, label_kind)
        group.create_dataset("block0_values", data=VALUES).attrs["transposed"] = np.uint8(1)
    return path


@pytest.mark.parametrize(
    "layout",
    [
        {"columns": ["773869", "767541", "767542"], "key": "df"},
        {"columns": [400001, 400017, 400030], "key": "speed"},
        {"columns": ["a", "b", "c"], "key": "t", "unit": "us", "kind": b"datetime64[us]"},
        {"columns": ["a", "b", "c"], "kind": b"Vdatetime64\np1\n."},
    ],
    ids=["METR-LA", "PEMS-BAY", "pandas 3", "pickled by Python 2"],
)
@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_a_table_of_pandas_is_read(tmp_path: Path, layout: dict[str, Any], suffix: str) -> None:
    panel = read_panel(write_table(tmp_path / f"metr-la{suffix}", **layout), null_value=0.0)
    assert panel.series == tuple(str(column) for column in layout["columns"])
    np.testing.assert_array_equal(panel.timestamps, TIMES.to_numpy())
    np.testing.assert_array_equal(panel.values[..., 0], np.where(VALUES == 0, np.nan, VALUES).astype(np.float32))
    assert (panel.freq, panel.name, panel.channels) == ("5min", "metr-la", ("value",))


def test_the_hour_that_pems_bay_leaves_out_in_march_is_missing(tmp_path: Path) -> None:
    spring = pd.DatetimeIndex(["2017-03-12 01:50", "2017-03-12 01:55", "2017-03-12 03:00", "2017-03-12 03:05"])
    panel = read_panel(write_table(tmp_path / "a.h5", times=spring))
    assert (panel.n_steps, panel.freq) == (16, "5min")
    np.testing.assert_array_equal(panel.mask[:, 0, 0], [True] * 2 + [False] * 12 + [True] * 2)


def test_times_with_a_zone_are_read_by_its_wall_clock(tmp_path: Path) -> None:
    panel = read_panel(write_table(tmp_path / "a.h5", tz=b"America/Los_Angeles"))
    assert panel.timestamps[0] == np.datetime64("2012-02-29T16:00")


def test_an_hour_that_the_clock_repeats_is_the_mean_of_both_as_in_a_table(tmp_path: Path) -> None:
    autumn = pd.date_range("2012-11-04 07:00", periods=4, freq="1h")  # in UTC; 01:00 comes twice
    panel = read_panel(write_table(tmp_path / "a.h5", times=autumn, tz=b"America/Los_Angeles"))
    np.testing.assert_array_equal(panel.timestamps, pd.date_range("2012-11-04", periods=3, freq="1h").to_numpy())
    np.testing.assert_array_equal(panel.values[1, :, 0], np.float32(np.nanmean(VALUES[1:3], 0)))


def test_an_unknown_zone_is_refused(tmp_path: Path) -> None:
    for tz in (b"cpytz\n_p\np0\n.", b"Atlantis/Capital"):
        with pytest.raises(InputError, match="expected the name of a time zone") as caught:
            read_panel(write_table(tmp_path / f"{len(tz)}.h5", tz=tz))
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("zone", [dt.UTC, dt.timezone(dt.timedelta(hours=-3.5)), dt.timezone(dt.timedelta(hours=2))])
def test_a_fixed_zone_that_pandas_pickles_is_known_by_its_text(tmp_path: Path, zone: dt.timezone) -> None:
    panel = read_panel(write_table(tmp_path / "a.h5", tz=pickle.dumps(zone, 0)))
    np.testing.assert_array_equal(panel.timestamps, TIMES.tz_localize("UTC").tz_convert(zone).tz_localize(None))


def test_step_numbers_as_the_index_give_no_calendar(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.h5", kind=b"integer")
    with h5py.File(path, "a") as file:
        file["df/axis1"][:] = range(4)
    np.testing.assert_array_equal(read_panel(path).timestamps, np.arange(4))


def test_columns_of_several_types_are_put_in_their_order(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.h5", columns=["a", "b", "c"])
    with h5py.File(path, "a") as file:
        group = file["df"]
        del group["block0_items"], group["block0_values"]
        write_axis(group, "block0_items", ["c", "a"], b"string")
        group["block0_values"] = VALUES[:, [2, 0]]
        write_axis(group, "block1_items", ["b"], b"string")
        group["block1_values"] = np.arange(4)[:, None]
    panel = read_panel(path)
    assert panel.series == ("a", "b", "c")
    np.testing.assert_array_equal(panel.values[:, 0, 0], VALUES[:, 0].astype(np.float32))
    np.testing.assert_array_equal(panel.values[:, 1, 0], np.arange(4))
    np.testing.assert_array_equal(panel.values[:, 2, 0], VALUES[:, 2].astype(np.float32))


def test_pickled_attributes_are_not_read(tmp_path: Path) -> None:
    bomb = b"cbuiltins\nexec\n(Vraise SystemExit('unpickled')\ntR."
    with pytest.raises(SystemExit, match="unpickled"):
        pickle.loads(bomb)
    panel = read_panel(write_table(tmp_path / "a.h5", freq=bomb, name=bomb))
    assert panel.n_steps == 4


def test_a_pickled_axis_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["df/axis0"]
        axis = file["df"].create_dataset("axis0", (1,), h5py.vlen_dtype(np.uint8))
        axis[0] = np.frombuffer(pickle.dumps(["a", "b", "c"]), np.uint8)
    with pytest.raises(InputError, match="in /df/axis0, got Python objects, which are never unpickled"):
        read_panel(path)


def test_a_file_of_several_tables_is_refused(tmp_path: Path) -> None:
    path = write_table(write_table(tmp_path / "a.h5"), key="speed")
    with pytest.raises(InputError, match=r"expected one pandas table .* got 2 among df, speed"):
        read_panel(path)


def test_the_appendable_format_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["df/table"] = np.zeros(3)
    with pytest.raises(InputError, match=r"got one of format='table': .* as Parquet"):
        read_panel(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("replaced", "data", "message"),
    [
        ("axis1", np.arange(4.0), "expected times in /df/axis1, got datetime64 of float64"),
        ("block0_values", VALUES[:2], r"numbers of shape .* in /df/block0_values, got float64 of shape \(2, 3\)"),
        ("block0_values", np.full((4, 3), b"x"), r"numbers of shape \(4, 3\) in /df/block0_values, got .S1"),
        ("block0_values", VALUES[:, :2], r"/df/block0_values, got float64 of shape \(4, 2\): drop"),
        ("axis1", TIMES[::-1].to_numpy().astype(np.int64), "time goes back at step 1"),
    ],
)
def test_a_table_that_makes_no_panel_is_refused(tmp_path: Path, replaced: str, data: np.ndarray, message: str) -> None:
    path = write_table(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["df"][replaced]
        file["df"][replaced] = data
    with pytest.raises(InputError, match=message):
        read_panel(path)


PAIR = np.dtype([("number", np.int64), ("word", "S3")])
WRONG_TYPES: dict[str, Any] = {
    "compound": np.zeros(4, PAIR),
    "strings of any length": np.array(["a", "b", "c", "d"], h5py.string_dtype()),
    "strings of any length in Latin-1": np.array([b"k\xf6ln"] * 4, h5py.string_dtype("ascii")),
    "very long strings": np.array([b"x" * 100_000] * 4),
    "references": np.array([h5py.Reference()] * 4, h5py.ref_dtype),
    "references to regions": np.array([h5py.RegionReference()] * 4, h5py.regionref_dtype),
    "arrays of any length": np.array([np.arange(3)] * 4 + [None], h5py.vlen_dtype(np.int64))[:4],
    "arrays of one length": np.zeros(4, np.dtype((np.void, 24))),
    "opaque": np.zeros(4, "V8"),
    "opaque times": np.zeros(4, "M8[s]").astype(h5py.opaque_dtype("M8[s]")),
    "enumeration": np.arange(4).astype(h5py.enum_dtype({"low": 0, "high": 1}, np.int64)),
    "complex numbers": np.zeros(4, np.complex128),
    "no number": np.full(4, np.nan),
    "no values": np.zeros(0),
    "one number": np.float64(5),
    "nothing": h5py.Empty("f8"),
}
"""Four cells of types that are no names, no times and no numbers."""
WRONG_CELLS = [
    *(pytest.param(part, cells, id=f"{name} in {part}")
      for part in ("axis0", "axis1", "block0_items", "block0_values") for name, cells in WRONG_TYPES.items()),
    *(pytest.param(part, np.array([True, False, True, False]), id=f"truth values in {part}")
      for part in ("axis0", "axis1", "block0_items")),
    pytest.param("axis1", np.arange(4, dtype=np.uint64) + (1 << 63), id="times above 2^63"),
    pytest.param("block0_values", PAIR, id="a type instead of values"),
]  # fmt: skip


@pytest.mark.parametrize(("replaced", "cells"), WRONG_CELLS)
def test_cells_of_another_type_are_refused_in_one_sentence(tmp_path: Path, replaced: str, cells: Any) -> None:
    path = write_table(tmp_path / "a.h5")
    table = replaced == "block0_values" and getattr(cells, "shape", None) == (4,)
    with h5py.File(path, "a") as file:
        attributes = dict(file["df"][replaced].attrs)
        del file["df"][replaced]
        file["df"][replaced] = (
            cells[:, None][:, [0, 0, 0]] if table else cells
        )  # keeps a type of HDF5, as stack does not
        file["df"][replaced].attrs.update(attributes)
    with pytest.raises(InputError) as caught:
        read_panel(path)
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("kind", ["integer", "datetime64"])
def test_times_above_2_to_the_63_are_not_wrapped(tmp_path: Path, kind: str) -> None:
    path = write_table(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["df/axis1"]
        file["df/axis1"] = np.arange(4, dtype=np.uint64) + (1 << 63)
        file["df/axis1"].attrs["kind"] = kind.encode()
    with pytest.raises(InputError, match=r"9223372036854775808|uint64"):
        read_panel(path)


ATTRIBUTES = {name: value for name, value in WRONG_TYPES.items() if name != "very long strings"}
ATTRIBUTES |= {"no UTF-8": b"\xff", "letters": "é", "a long text": b"x" * 60_000}


@pytest.mark.parametrize("name", ["kind", "index_class", "tz"])
@pytest.mark.parametrize("value", ATTRIBUTES.values(), ids=ATTRIBUTES.keys())
def test_attributes_of_another_type_are_refused_or_mean_nothing(tmp_path: Path, name: str, value: Any) -> None:
    path = write_table(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["df/axis1"].attrs[name] = value
    panel = used_or_refused(read_panel, path)
    if panel is not None:
        np.testing.assert_array_equal(panel.timestamps, TIMES.to_numpy())


def test_a_table_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["df/block0_items"]
    with pytest.raises(InputError, match="block0_items"):
        read_panel(path)


def test_a_file_without_any_table_and_a_truncated_one_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["numbers"] = np.zeros(3)
    with pytest.raises(InputError, match=r"expected one pandas table .* got 0 among numbers"):
        read_panel(tmp_path / "a.h5")
    path = write_table(tmp_path / "b.h5")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="expected a whole HDF5 file"):
        read_panel(path)


def test_without_h5py_the_extra_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "elinformer\[hdf5\]"'):
        read_panel(path)
