"""Files that are wrong, odd or hostile in many ways, made of valid ones or from nothing, with seeds."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
from fuzzing import damaged_bytes

try:
    import h5py
except ImportError:  # its files are left out
    h5py = None

CELLS = (
    "",
    " ",
    "x",
    "1,5",
    "1.234,5",
    "1,234.5",
    "1e400",
    "-1e400",
    "inf",
    "-Infinity",
    "nan",
    "NaT",
    "--",
    "0x10",
    "1_000",
    "1 000",
    "+5",
    "5%",
    "$5",
    " 5 ",
    "TRUE",
    "false",
    "yes",
    "1.5.2",
    "1e5",
    ".5",
    "5.",
    "-0",
    "\u22125",
    "\uff11\uff12",
    "\u0661\u0662",
    '"',
    '""',
    "'5'",
    "\0",
    "5\0",
    "9" * 400,
    "2024-01-01",
    "1e-400",
    "00012",
    "0.1e1",
    "1d5",
    "None",
    "#N/A",
    "=1+1",
)
TIMES = (
    "now",
    "today",
    "2024",
    "2024-13-01",
    "2024-02-30",
    "03/04/2024",
    "1/2/2024",
    "2024-01-01 24:00",
    "2300-01-01",
    "1500-01-01",
    "0000-00-00",
    "NaT",
    "",
    "2024-W05-1",
    "20240101",
    "202401",
    "1e9",
    "1700000000",
    "2024-01-01T00:00:60",
    "2024-01-01 00:00Z",
    "2024-01-01 00:00+25:00",
    "2024-01-01 00:00+02:00",
    "12:00",
    "-2024-01-01",
    "2024-01-01 00:00:00.0000000001",
    "24-01-01",
    "Jan 1 2024",
    "2024-1-1",
    "2024/01/01",
    "\uff12024-01-01",
    "99999-01-01",
    "9" * 30,
    "0",
    "-1",
    "1.0",
    "nan",
)
HEADERS = (
    "",
    ",",
    ",,,",
    "a",
    "time",
    "time,time",
    "time,a,a",
    "time,a, a",
    "2024-01-01,1,2",
    "1,2,3",
    "time;a;b",
    "time\ta",
    "\0,a",
    "unique_id,ds",
    "unique_id,ds,y",
    "ds,y,unique_id",
    "unique_id,unique_id,ds,y",
    "id,time,value",
    '"time,a',
    'time,"a"b',
    "#",
    "sep=",
    "sep=;",
    "time,unique_id",
    "time,store,y",
    "index,time,y",
    "Unnamed: 0,time,y",
    "time,__index_level_0__",
    "\ufefftime,a",
)


def spoil_text(draw: random.Random, path: Path) -> None:
    """Change some cells, rows or the header of a CSV file."""
    lines = path.read_bytes().decode("utf-8-sig").split("\n")
    for _ in range(draw.choice([1, 1, 2, 3])):
        spoil = draw.choice([_spoil_cell, _spoil_cell, _spoil_rows])
        lines = spoil(draw, lines)
    content = "\n".join(lines).encode()
    if draw.random() < 0.1:
        content = draw.choice(
            [
                b"\xff\xfe" + "\n".join(lines).encode("utf-16-le"),
                content.replace(b"\n", b"\r"),
                b"\x1f\x8b" + content,
                content.replace(b"1", b"\xe9"),
                content[:1] * 100_000,
                content.replace(b"\n", b""),
                b"\xef\xbb\xbf" * 2 + content,
            ]
        )
    path.write_bytes(content)


def _spoil_cell(draw: random.Random, lines: list[str]) -> list[str]:
    """Return the lines with another cell or time in one row or in all, or with a cell less or more."""
    at = draw.randrange(len(lines))
    sep = next((sep for sep in "\t;|" if sep in lines[at]), ",")
    cells = lines[at].split(sep)
    place = draw.randrange(len(cells))
    kind = draw.choice(["cell", "cell", "time", "time", "less", "more", "all"])
    if kind == "all":
        text, rows = draw.choice(TIMES + CELLS), (line.split(sep) for line in lines[1:])
        return [lines[0], *(sep.join([*row[:place], text, *row[place + 1 :]]) for row in rows)]
    if kind == "cell":
        cells[place] = draw.choice(CELLS)
    elif kind == "time":
        cells[0] = draw.choice(TIMES)
    else:
        cells = cells[:-1] if kind == "less" else [*cells, draw.choice(CELLS)]
    return [*lines[:at], sep.join(cells), *lines[at + 1 :]]


def _spoil_rows(draw: random.Random, lines: list[str]) -> list[str]:
    """Return the lines with another header, with rows that are doubled, swapped or reversed, or with an empty one."""
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    swapped = list(lines)
    swapped[at], swapped[other] = lines[other], lines[at]
    blank = draw.choice(["", " ", "\r", ",,,", "#", '"'])
    return draw.choice(
        [
            [draw.choice(HEADERS), *lines[1:]],
            [*lines[:at], *lines[at : at + 1], *lines[at:]],
            swapped,
            [*lines[:at], blank, *lines[at:]],
            [*lines[:1], *lines[:0:-1]],
        ]
    )


def spoil_bytes(draw: random.Random, path: Path) -> None:
    """Damage a file, or a file of a folder."""
    place = draw.choice(sorted(path.iterdir())) if path.is_dir() else path
    for _ in range(draw.choice([1, 1, 3])):
        place.write_bytes(damaged_bytes(draw, place.read_bytes()))


def draw_array(draw: random.Random) -> np.ndarray:
    """Return an array of any type and shape."""
    shape = draw.choice(
        [(), (0,), (5,), (0, 3), (6, 0), (6, 2), (6, 2), (1, 2), (6, 2, 1), (6, 2, 3), (2, 2, 2, 2), (6, 2, 0)]
    )
    kind = draw.choice(
        ["f2", "f4", "f8", ">f8", "g", "i1", "i8", "u8", "?", "c16", "M8[s]", "m8[D]", "M8", "U5", "S3", "V8", "U0"]
    )
    values = np.zeros(shape, kind) if kind[0] in "MmUSV" or draw.random() < 0.2 else _numbers(draw, shape).astype(kind)
    if values.dtype.kind == "f" and values.size and draw.random() < 0.4:
        values.flat[draw.randrange(values.size)] = draw.choice([np.inf, -np.inf, np.nan, np.finfo(values.dtype).max])
    return values


def _numbers(draw: random.Random, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(draw.randrange(1 << 30)).integers(0, 100, shape)


def hostile_npz(draw: random.Random, folder: Path) -> Path:
    """Write an archive with arrays and headers of any kind."""
    path = folder / "t.npz"
    keys = {"data": draw_array(draw)}
    for key in draw.sample(
        ["timestamps_start", "freq", "steps_per_day", "series", "channels", "x"], draw.randint(0, 3)
    ):
        texts = [
            "2024-01-01",
            "1h",
            "h",
            "-1h",
            "0min",
            "5",
            "nan",
            "",
            "now",
            "B",
            "MS",
            "9" * 30,
            "1e300",
            "\0",
            "2300-01-01",
            "a",
        ]
        keys[key] = draw.choice([np.array(draw.choice(texts)), np.array([draw.choice(texts)] * 2), draw_array(draw)])
    if draw.random() < 0.15:
        del keys["data"]
    with zipfile.ZipFile(
        path, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    ) as file:
        for key, array in keys.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            content = buffer.getvalue()
            if draw.random() < 0.3:
                content = _with_header(draw, array)
            file.writestr(key + draw.choice([".npy", ".npy", ".npy", "", "/.npy"]), content)
    return path


def _with_header(draw: random.Random, array: np.ndarray) -> bytes:
    shape = draw.choice(
        [
            "(6, 2)",
            "(10**9, 2)",
            "(1000000000000, 2)",
            "(-1, 2)",
            "(6, 2",
            "6",
            "(6.0, 2)",
            "(True, 2)",
            "('6', 2)",
            "(9223372036854775807, 9223372036854775807)",
            "()",
            "(0, 1000000000)",
            "(4294967296, 4294967296)",
        ]
    )
    kind = draw.choice(
        ["'<f8'", "'<f8'", "'|O'", "'<f99'", "[('a', '<f8')]", "('<f8', (3,))", "'<U100000000'", "'|V0'", "3", "'f'"]
    )
    order = draw.choice(["False", "True", "None", "2"])
    text = draw.choice(
        [f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}", "{}", "[", "(" * 500, "{'a': 1}", "\0"]
    )
    header = text.encode().ljust(117) + b"\n"
    version = draw.choice([b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"])
    size = struct.pack("<H", len(header)) if version[0] == 1 else struct.pack("<I", draw.choice([len(header), 1 << 31]))
    return draw.choice([b"\x93NUMPY", b"\x93NUMPY", b"NUMPY"]) + version + size + header + array.tobytes()


def hostile_parquet(draw: random.Random, folder: Path) -> Path:
    """Write a Parquet file with columns of any type and name."""
    path, n = folder / "t.parquet", draw.choice([0, 1, 2, 3, 30])
    columns, names = [], []
    for i in range(draw.choice([0, 1, 2, 3, 3, 4])):
        columns.append(_any_column(draw, n))
        names.append(
            draw.choice(
                ["time", "ds", "unique_id", "y", "a", "", "__index_level_0__", "\0", "time ", "value", f"c{i}", f"c{i}"]
            )
        )
    notes = draw.choice(
        [
            None,
            None,
            None,
            b"{",
            b"{}",
            b'{"index_columns": ["a"], "columns": []}',
            b"[" * 5000,
            b"\xff",
            b'{"index_columns": [{"kind": "range", "name": "ds"}], "columns": []}',
            b'{"index_columns": 5, "columns": 5}',
        ]
    )
    table = pa.Table.from_arrays(columns, names).replace_schema_metadata(notes and {b"pandas": notes})
    try:
        pa_parquet.write_table(
            table, path, row_group_size=draw.choice([1, 2, 100]), version=draw.choice(["1.0", "2.6"])
        )
    except (pa.ArrowException, OSError):  # a type that Parquet has not
        pa_parquet.write_table(table.slice(0, 0).select([]), path)
    return path


def _any_column(draw: random.Random, n: int) -> pa.Array:
    counts = list(range(n))
    makers: list[Callable[[], pa.Array]] = [
        lambda: pa.array(
            counts, draw.choice([pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()])
        ),
        lambda: pa.array(
            counts,
            pa.timestamp(draw.choice(["s", "ms", "us", "ns"]), draw.choice([None, "UTC", "Mars/Base", "+05:30"])),
        ),
        lambda: pa.array([7258118400 + i for i in counts], pa.timestamp("s")),  # 2200
        lambda: pa.array([10**12 + i for i in counts], pa.timestamp("s")),
        lambda: pa.array([2**63 - 40 + i for i in counts], draw.choice([pa.int64(), pa.timestamp("ns", "Asia/Tokyo")])),
        lambda: pa.array(counts, draw.choice([pa.date32(), pa.time32("s"), pa.time64("ns"), pa.duration("s")])),
        lambda: pa.array([i * 86_400_000 for i in counts], pa.date64()),
        lambda: pa.array([None] * n, draw.choice([pa.null(), pa.float64(), pa.string(), pa.timestamp("ns")])),
        lambda: pa.array([draw.choice(CELLS + TIMES) for _ in counts], draw.choice([pa.string(), pa.large_string()])),
        lambda: pa.array([f"2024-01-{i + 1:02}" for i in counts]),
        lambda: pa.array([b"\xff"] * n, draw.choice([pa.binary(), pa.large_binary(), pa.binary(1)])),
        lambda: pa.array([[1]] * n),
        lambda: pa.array([{"a": 1}] * n),
        lambda: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        pa.array(["a", "b"] * n, pa.string())[:n].dictionary_encode,
        lambda: pa.array([i % 2 == 0 for i in counts]),
        lambda: pa.array([i if i != 1 else None for i in counts], pa.int64()),
        lambda: pa.array(counts, pa.int64()).cast(pa.decimal128(38, 0)),
        lambda: pa.array([1e39, np.inf, np.nan] * n)[:n],
        lambda: pa.array([2**63 + i for i in counts], pa.uint64()),
    ]
    return draw.choice(makers)()


def hostile_hdf5(draw: random.Random, folder: Path) -> Path:
    """Write an HDF5 file with data sets, attributes and links of any kind in the places of a table."""
    path = folder / "t.h5"
    with h5py.File(path, "w") as file:
        for table in draw.sample(["df", "x"], draw.choice([0, 1, 1, 1, 1, 1, 2])):
            group = file.create_group(table)
            parts: dict[str, Any] = {
                "axis0": np.array([b"a", b"b"]),
                "axis1": np.arange(3),
                "block0_items": np.array([b"a", b"b"]),
                "block0_values": np.ones((3, 2)),
            }
            if draw.random() < 0.2:
                parts["axis1"] = draw.choice([-1, 1]) * (2**63 - 4) + np.arange(3)
            if draw.random() < 0.1:
                parts |= {"block1_items": np.array([b"b"]), "block1_values": np.zeros((3, 1))}
            for name, value in parts.items():
                kind = draw.choice(["valid"] * 5 + ["array", "huge", "link", "group", "none", "objects", "codes"])
                _put(draw, group, name, value, kind)
                if name == "axis1" and kind in {"valid", "huge"}:
                    group[name].attrs["kind"] = draw.choice(
                        [b"integer", b"datetime64", b"datetime64[s]", b"datetime64[h]", b"x", 5, "integer", [1, 2]]
                    )
                    if draw.random() < 0.3:
                        group[name].attrs["tz"] = draw.choice(
                            [b"UTC", b"Mars", b"\xff", "x" * 1000, 5, b"cos\nsystem\n", b"../etc/passwd"]
                        )
    return path


def _put(draw: random.Random, group: Any, name: str, value: np.ndarray, kind: str) -> None:
    if kind == "valid":
        group[name] = value
    elif kind == "array":
        array = draw_array(draw)
        if array.dtype.kind in "fiubS" and array.dtype.itemsize:
            group[name] = array
    elif kind == "huge":
        shape = draw.choice([(10**9,), (10**9, 2), (10**12, 10**6), (2**40,)])
        group.create_dataset(
            name, shape=shape, dtype=draw.choice(["f8", "i8", "S1000"]), chunks=(1000,) + (1,) * (len(shape) - 1)
        )
    elif kind == "link":
        group[name] = draw.choice(
            [h5py.SoftLink(f"/{group.name}/{name}"), h5py.SoftLink("/x"), h5py.ExternalLink("/etc/passwd", "/x")]
        )
    elif kind == "group":
        group.create_group(name)
    elif kind == "objects":
        group.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype())
    elif kind == "codes":
        group[name] = np.zeros(value.shape).astype(h5py.enum_dtype({"low": 0}, "i8"))


def hostile_csv(draw: random.Random, folder: Path) -> Path:
    """Write a CSV file whose size, width or content is made to take memory or time."""
    n, day, path = draw.choice([100, 1000]), np.datetime64("1700-01-01", "s"), folder / "t.csv"
    rows = "".join(f"{i},{i}.5,{i}\n" for i in range(n))
    makers: list[Callable[[], str]] = [
        lambda: "unique_id,ds,y\n" + "".join(f"s{i},{day + i},1\n" for i in range(20 * n)),
        lambda: "ds,a\n" + "".join(f"{day + i * draw.choice([1, 10**6])},1\n" for i in range(n)),
        lambda: (
            "ds,"
            + ",".join(f"a{i}" for i in range(20 * n))
            + "\n"
            + "".join(f"{i}" + ",1" * 20 * n + "\n" for i in range(3))
        ),
        lambda: "ds,a" + ",1" * 100 * n,
        lambda: 'ds,a\n0,"' + "1\n" * 10 * n,
        lambda: "x" * 100 * n,
        lambda: "\0" * 100 * n,
        lambda: "ds," + "a," * n + "\n0" + ",1" * n,
        lambda: draw.choice(HEADERS) + "\n" + rows,
        lambda: "ds,a\n" + "".join(f"{draw.choice(TIMES)},1\n" for _ in range(3)),
        lambda: "ds,a\n" + "\n" * 100 * n + "0,1\n1,2\n",
    ]
    path.write_text(draw.choice(makers)(), encoding="utf-8")
    return path


HOSTILE: list[Callable[[random.Random, Path], Path]] = [
    hostile_npz,
    hostile_parquet,
    hostile_csv,
    *([] if h5py is None else [hostile_hdf5]),
]
