"""Random tables as people keep them, files of every kind that hold them, and what pandas and NumPy read there."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet

try:
    import h5py
except ImportError:  # its files are left out
    h5py = None

FREQS = ("1s", "1min", "5min", "15min", "30min", "1h", "6h", "1D", "7D", "W-WED", "MS", "ME", "QS", "YS")
WITHIN_A_DAY = FREQS[:6]
ZONES = (None, None, None, "UTC", "Asia/Kolkata", "America/New_York")
MISSING_WORDS = ("", "NA", "NaN", "nan", "null", "N/A")
NAMES = (
    "a",
    "b c",
    "7",
    "ü",
    "価格",
    "x,y",
    'say "so"',
    "semi;colon",
    "a|b",
    "inf",
    "1.5",
    "-",
    "a.b",
    "2024",
    "%",
    "n" * 300,
    "nan",
    "True",
    "y",
    "value",
    "é" * 60,
    "#1",
    "'",
    "two\nlines",
)
NUMBERS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: np.round(rng.normal(size=n) * 10.0 ** rng.integers(-6, 7), 4),
    "many digits": lambda rng, n: rng.normal(size=n),
    "small whole": lambda rng, n: rng.integers(-5, 200, n).astype(float),
    "flags": lambda rng, n: rng.integers(0, 2, n).astype(float),
    "large whole": lambda rng, n: rng.integers(1 << 24, 1 << 45, n).astype(float),
    "small swing at a large level": lambda rng, n: np.round(1e9 + rng.normal(size=n) * 5, 3),
    "constant": lambda rng, n: np.full(n, np.round(rng.normal() * 100, 2)),
    "zeros": lambda rng, n: np.zeros(n),
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-30,
    "huge": lambda rng, n: rng.normal(size=n) * 1e30,
}


@dataclass
class Table:
    """Numbers of some series by time, NaN where they are missing.

    Attributes:
        frame: Numbers (T, N); the index has the times as a clock shows them.
        zone: Zone of the clock.
    """

    frame: pd.DataFrame
    zone: str | None = None

    @property
    def times(self) -> pd.DatetimeIndex:
        """Times with their zone."""
        times = pd.DatetimeIndex(self.frame.index)
        return times if self.zone is None else times.tz_localize(self.zone)


@dataclass
class Written:
    """File, and what pandas and NumPy read from it.

    Attributes:
        path: The file or folder.
        frame: Numbers by times, or by row numbers, and series.
        options: Options of `read_panel` that the file needs.
    """

    path: Path
    frame: pd.DataFrame
    options: dict[str, Any] = field(default_factory=dict)


def draw_table(draw: random.Random) -> Table:
    """Return a table that makes a panel."""
    rng = np.random.default_rng(draw.randrange(1 << 30))
    n_steps, n_series, zone = draw.choice([3, 4, 8, 30, 60, 200]), draw.choice([1, 2, 3, 4, 9]), draw.choice(ZONES)
    freq = draw.choice(FREQS if zone is None else WITHIN_A_DAY)  # clocks that are set on have tests of their own
    start = f"{draw.choice([1700, 1969, 1999, 2023, 2024, 2055]) if zone is None else 2024}-06-0{draw.randint(1, 9)}"
    times = pd.date_range(start, periods=n_steps, freq=freq)
    columns = {name: NUMBERS[draw.choice([*NUMBERS])](rng, n_steps) for name in draw.sample(NAMES, n_series)}
    frame = pd.DataFrame(columns, index=times)
    holes = rng.random(frame.shape) < draw.choice([0, 0, 0.1, 0.5])
    holes[:3] = False
    return Table(frame.mask(holes), zone)


def spell(times: pd.DatetimeIndex, draw: random.Random) -> list[str]:
    """Return times as text in one of the forms of ISO 8601."""
    if times.tz is not None:
        return [time.isoformat() for time in times]
    forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.000"]
    forms += ["%Y-%m-%d %H:%M"] if (times.second == 0).all() else []
    forms += ["%Y-%m-%d", "%Y-%m-%d", "%Y/%m/%d"] if (times == times.normalize()).all() else []
    form = draw.choice(forms)
    return [time.strftime(form) for time in times]


def write_csv(table: Table, draw: random.Random, folder: Path) -> Written:
    """Write a wide CSV file in one of the usual ways."""
    path, out = folder / "t.csv", table.frame.rename(columns=lambda name: name.replace("\n", " "))
    sep = draw.choice([",", ",", ";", "\t", "|"])
    fractions = (table.frame[:15].fillna(0) % 1 != 0).any(axis=None)
    decimal = draw.choice([".", ","]) if sep != "," and fractions else "."
    out.insert(0, draw.choice(["time", "ds", "Date", "when"]), spell(table.times, draw))
    text = out.to_csv(
        index=False,
        sep=sep,
        decimal=decimal,
        na_rep=draw.choice(MISSING_WORDS),
        lineterminator=draw.choice(["\n", "\n", "\r\n"]),
        quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL]),
    )
    above = draw.choice(["", "", "", "# made by hand\n", f"sep={sep}\n"])
    text = above + (text if draw.random() < 0.8 else text.rstrip("\r\n"))
    path.write_bytes(draw.choice([b"", b"", b"\xef\xbb\xbf"]) + text.encode())
    frame = pd.read_csv(path, sep=sep, decimal=decimal, skiprows=int(bool(above)))
    return Written(path, _as_written(frame.iloc[:, 1:], table))


def write_long_csv(table: Table, draw: random.Random, folder: Path) -> Written:
    """Write a long CSV file, sorted by series or by time."""
    path, sep, long = folder / "t.csv", draw.choice([",", ";", "\t"]), _long(table, draw)
    name, time, value = long.columns
    long[time] = [moment.isoformat() for moment in long[time]]
    word = draw.choice(MISSING_WORDS)
    long.to_csv(path, index=False, sep=sep, na_rep=word)
    read = pd.read_csv(path, sep=sep, dtype={name: str}, keep_default_na=False, na_values={value: [word]})
    read[time] = _clock(pd.to_datetime(read[time], format="ISO8601"))
    return Written(path, _wide(read))


def write_parquet(table: Table, draw: random.Random, folder: Path) -> Written:
    """Write a wide Parquet file with columns of many types."""
    path, time = folder / "t.parquet", draw.choice(["time", "ds", "when"])
    columns = {time: _times_of_arrow(table.times, draw)}
    columns |= {name: _column_of_arrow(column, draw) for name, column in table.frame.items()}
    options = {"row_group_size": draw.choice([1, 7, 1000]), "compression": draw.choice(["none", "snappy", "zstd"])}
    pa_parquet.write_table(pa.table(columns), path, **options)
    read = pa_parquet.read_table(path).drop_columns([time])
    numbers = {column: [_number(cell) for cell in read[column].to_pylist()] for column in read.column_names}
    return Written(path, pd.DataFrame(numbers, index=table.frame.index))


def write_indexed_parquet(table: Table, draw: random.Random, folder: Path) -> Written:
    """Write a wide table with the times in an index of pandas."""
    path = folder / "t.parquet"
    frame = table.frame.set_index(table.times.as_unit(draw.choice(["ms", "us", "ns"])))
    frame.index.name = draw.choice([None, "time", "moment"])
    frame.to_parquet(path)
    return Written(path, _as_written(pd.read_parquet(path), table))


def write_long_parquet(table: Table, draw: random.Random, folder: Path) -> Written:
    """Write a long Parquet file; names of series are text or of a dictionary."""
    path, long = folder / "t.parquet", _long(table, draw)
    name, time, _ = long.columns
    if draw.random() < 0.4:
        long[name] = long[name].astype("category")
    long.to_parquet(path, index=False, row_group_size=draw.choice([5, 1000]))
    read = pd.read_parquet(path)
    read[time] = _clock(read[time])
    return Written(path, _wide(read))


def write_npz(table: Table, draw: random.Random, folder: Path) -> Written:
    """Write an archive of NumPy with an array in one of many types and orders."""
    path, values = folder / "t.npz", table.frame.to_numpy()
    kinds = ["<f8", ">f8", "<f4"] if np.abs(values[~np.isnan(values)]).max() < 1e35 else ["<f8"]
    if not np.isnan(values).any() and (values % 1 == 0).all() and np.abs(values).max() < 1 << 50:
        kinds += ["<i8", ">i8", *(["|i1", "|u1", "<u2"] if (values >= 0).all() and (values < 100).all() else [])]
    with np.errstate(under="ignore"):
        data = values.astype(draw.choice(kinds), order=draw.choice(["C", "F"]))
    names = {} if draw.random() < 0.5 else {"series": np.array([*table.frame.columns])}
    names |= {} if "series" in names else {"timestamps_start": np.array("2024-01-01"), "freq": np.array("1h")}
    draw.choice([np.savez, np.savez_compressed])(path, data=data[..., None] if draw.random() < 0.3 else data, **names)
    with np.load(path) as archive:
        read = archive["data"].astype(np.float64).reshape(values.shape)
        columns = [str(name) for name in archive["series"]] if "series" in names else [*map(str, range(read.shape[1]))]
    index = np.arange(len(read)) if "series" in names else pd.date_range("2024-01-01", periods=len(read), freq="1h")
    return Written(path, pd.DataFrame(read, index=index, columns=columns))


def write_hdf5(table: Table, draw: random.Random, folder: Path) -> Written:
    """Write the layout of `DataFrame.to_hdf`, in one or two blocks."""
    path, frame = folder / "t.h5", table.frame
    names = [name.encode() for name in frame.columns]
    unit, instants = (
        draw.choice(["s", "ms", "us", "ns"]),
        table.times if table.zone is None else table.times.tz_convert(None),
    )
    cut = draw.randint(0, len(names))
    with h5py.File(path, "w") as file:
        group = file.create_group(draw.choice(["df", "speed"]))
        group["axis0"] = np.array(names)
        group["axis1"] = instants.to_numpy().astype(f"M8[{unit}]").astype(np.int64)
        group["axis1"].attrs["kind"] = np.bytes_(f"datetime64[{unit}]".encode())
        if table.zone is not None:
            group["axis1"].attrs["tz"] = np.bytes_(table.zone.encode())
        for block, columns in enumerate([slice(0, cut), slice(cut, None)] if 0 < cut < len(names) else [slice(None)]):
            values = frame.iloc[:, columns].to_numpy()
            group[f"block{block}_items"] = np.array(names[columns])
            packed = {"compression": "gzip"} if draw.random() < 0.3 else {}
            group.create_dataset(f"block{block}_values", data=values, **packed)
        read = {key: group[key][:] for key in group}
    blocks = {name.decode(): column for key in read if key.endswith("_values")
              for name, column in zip(read[key.replace("values", "items")], read[key].T, strict=True)}  # fmt: skip
    return Written(path, pd.DataFrame(blocks, index=frame.index)[[*frame.columns]])


def write_basicts(table: Table, draw: random.Random, folder: Path) -> Written:
    """Write a folder in three parts."""
    path, values = folder / "t", table.frame.to_numpy().astype(draw.choice([np.float32, np.float64]))
    path.mkdir()
    cuts = [0, max(1, len(values) // 2), len(values) - 1, len(values)]
    for part, start, stop in zip(("train", "val", "test"), cuts[:-1], cuts[1:], strict=True):
        np.save(path / f"{part}_data.npy", values[start:stop])
    (path / "meta.json").write_text(json.dumps({"frequency (minutes)": 5, "variable_names": [*table.frame.columns]}))
    read = np.concatenate([np.load(path / f"{part}_data.npy") for part in ("train", "val", "test")])
    return Written(path, pd.DataFrame(read.astype(np.float64), columns=table.frame.columns))


WRITERS: list[Callable[[Table, random.Random, Path], Written]] = [
    write_csv, write_csv, write_long_csv, write_parquet, write_indexed_parquet, write_long_parquet, write_npz,
    write_basicts,
    *([] if h5py is None else [write_hdf5]),
]  # fmt: skip


def empty(folder: Path) -> Path:
    """Return the folder without its content."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _long(table: Table, draw: random.Random) -> pd.DataFrame:
    """Return the rows of a long table: name, time with its zone, value."""
    names = draw.choice([("unique_id", "ds", "y"), ("item_id", "timestamp", "target"), ("id", "date", "value")])
    wide = table.frame.set_index(table.times)
    parts = [pd.DataFrame({names[0]: name, names[1]: wide.index, names[2]: wide[name].to_numpy()}) for name in wide]
    long = pd.concat(parts, ignore_index=True)
    if draw.random() < 0.5:
        long = long.sort_values(names[1], kind="stable", ignore_index=True)
    return long.rename(columns=dict(zip(long.columns, names, strict=True)))


def _wide(long: pd.DataFrame) -> pd.DataFrame:
    """Return a wide table of a long one, its series in the order of their first appearance."""
    name, time, value = long.columns
    by_name = long.astype({name: str}).set_index([time, name])[value]
    wide = by_name.unstack()  # noqa: PD010  a pivot table would average
    return wide[[*long[name].astype(str).unique()]].astype(np.float64)


def _clock(times: pd.Series) -> pd.Series:
    return times if times.dt.tz is None else times.dt.tz_localize(None)


def _as_written(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Return numbers with the times of the table."""
    return frame.astype(np.float64).set_axis(table.frame.index)


def _times_of_arrow(times: pd.DatetimeIndex, draw: random.Random) -> pa.Array:
    kinds: list[pa.DataType] = [pa.timestamp(unit, times.tz and str(times.tz)) for unit in ("s", "ms", "us", "ns")]
    if times.tz is None and (times == times.normalize()).all():
        kinds += [pa.date32(), pa.date64()]
    kind = draw.choice([*kinds, pa.string()])
    return pa.array([time.isoformat() for time in times]) if kind == pa.string() else pa.array(times).cast(kind)


def _column_of_arrow(column: pd.Series, draw: random.Random) -> pa.Array:
    """Return numbers in a type that holds them."""
    exact, whole = pa.array(column, from_pandas=True), bool((column.dropna() % 1 == 0).all())
    kinds = [pa.float64(), pa.float64(), pa.float32(), pa.string(), pa.large_string()]
    if whole and column.abs().max() < 1 << 50:
        kinds += [pa.int64(), pa.decimal128(38, 0), *([pa.int8(), pa.uint8(), pa.int16()] if column.min() >= 0 else [])]
        kinds += [pa.bool_()] if column.dropna().isin([0, 1]).all() else []
        kinds = [kind for kind in kinds if column.abs().max() < 100 or kind not in {pa.int8(), pa.uint8(), pa.int16()}]
    kind = draw.choice(kinds)
    if kind in {pa.string(), pa.large_string()}:
        return pa.array([None if number is None else repr(number) for number in exact.to_pylist()], kind)
    if pa.types.is_decimal(kind):
        exact = exact.cast(pa.int64())
    return exact.cast(kind, safe=False)


def _number(cell: Any) -> float:
    return np.nan if cell is None else float(cell)
