"""HDF5 files with a table of pandas (METR-LA, PEMS-BAY, LargeST), read without PyTables.

The layout is that of `DataFrame.to_hdf(format="fixed")`: a group with `axis0` (names of the columns), `axis1`
(times), and for each type of column `block<i>_items` and `block<i>_values`. PyTables pickles some of its
attributes and axes; nothing is unpickled here.

Source: pandas, io/pytables.py, GenericFixed and BlockManagerFixed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from elinformer.data.io.cells import Times, in_zone
from elinformer.data.io.limits import check_unpacked
from elinformer.data.io.packed import refuse_calendar_numbers
from elinformer.data.io.recording import Recording
from elinformer.data.io.streams import KEYS
from elinformer.data.pieces import Piece, Pieces, row_blocks
from elinformer.data.time_grid import nanoseconds, step_numbers
from elinformer.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

PICKLED_DIFFERENCE = (
    r"cdatetime\ntimezone\np\d+\n\(cdatetime\ntimedelta\np\d+\n\(I(-?\d{1,2})\nI(\d{1,6})\nI0\n"
    r"tp\d+\nRp\d+\ntp\d+\nRp\d+\n\."
)
"""Pickle of `datetime.timezone(datetime.timedelta(days, seconds))` in protocol 0."""

H5PY_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError)
"""Errors that h5py raises for damaged files: among them a type, a size or a filter that there is not."""


def read_hdf5(path: Path, tz: str | None = None) -> Recording:
    """Read the pandas table of an HDF5 file: rows are times, columns are series.

    Args:
        path: The file.
        tz: Zone by whose clock times with a zone are read; their own by default.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: The file is no HDF5 file, has no such table or several, or its names are Python objects.
    """
    with _open_table(path) as table:
        series, (times, zone) = _names(_dataset(table, "axis0")), _times(_dataset(table, "axis1"), tz)
        if {*KEYS} <= {*series}:
            raise InputError("expected a wide table in HDF5, got columns unique_id and ds: write it as Parquet")
        column = {name: i for i, name in enumerate(series)}
        blocks: dict[str, np.ndarray] = {}
        for name in filter(re.compile(r"block\d+_values").fullmatch, table):
            items = _names(_dataset(table, name.replace("values", "items")))
            if unknown := [item for item in items if item not in column]:
                raise InputError(f"expected the columns of axis0 in {name}, got {unknown[0]!r}: write the table again")
            blocks[name] = np.array([column[item] for item in items], np.intp)
            _check_block(_dataset(table, name), (len(times), len(items)))
        _check_columns(series, [series[place] for places in blocks.values() for place in places])

    def read() -> Iterator[Piece]:
        with _open_table(path) as table:
            for name, columns in blocks.items():
                for rows in row_blocks((len(times), len(columns))):
                    yield Piece(rows, columns, _dataset(table, name)[rows][..., None])

    return Recording(values=Pieces((len(times), len(series), 1), read), times=times, zone=zone, series=series)


@contextmanager
def _open_table(path: Path) -> Generator[Any]:
    """Open the group of the table."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError('reading .h5 files needs h5py: pip install "elinformer[hdf5]"') from error
    try:
        with h5py.File(path, "r") as file:
            yield _only_table(file)
    except InputError:
        raise
    except H5PY_ERRORS as error:
        raise InputError(f"expected a whole HDF5 file, got a damaged or another one ({error})") from error


def _only_table(file: Any) -> Any:
    """Return the group of the only table."""
    groups = {name: group for name in file if hasattr(group := _member(file, name), "keys")}
    tables = [name for name, group in groups.items() if {"axis0", "axis1", "block0_values"} <= set(group)]
    if len(tables) == 1:
        return groups[tables[0]]
    if any("table" in group for group in groups.values()):
        raise InputError(
            "expected a pandas table of format='fixed', got one of format='table': write it again with "
            "to_hdf(format='fixed'), or as Parquet"
        )
    raise InputError(
        f"expected one pandas table (a group with axis0, axis1 and block0_values), got {len(tables)} among "
        f"{', '.join(file) or 'nothing at all'}: write the one you want to its own file"
    )


def _member(group: Any, name: str) -> Any:
    """Return a group or a data set that is in the file itself.

    Raises:
        InputError: It is a link, which may lead to another file.
    """
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"expected all data in the file itself, got a link as {name}: write the table again")
    return group[name]


def _dataset(table: Any, name: str) -> Any:
    """Return a data set of the table.

    Raises:
        InputError: There is none, its data lie in other files or are codes, or it claims far more than is stored.
    """
    found = _member(table, name) if name in table else None
    if found is None or not hasattr(found, "shape"):
        raise InputError(f"expected an array {name} in {table.name}, got none: write the table again")
    if found.is_virtual or found.external:
        raise InputError(f"expected all data in the file itself, but {found.name} is in others: write the table again")
    if not found.shape:
        raise InputError(f"expected an array as {found.name}, got a single value: write the table again")
    if "enum" in (found.dtype.metadata or {}):
        raise InputError(f"expected numbers or text in {found.name}, got codes of an enumeration: write its labels")
    check_unpacked(found.name, found.nbytes, found.id.get_storage_size())
    return found


def _names(axis: Any) -> list[str]:
    if axis.dtype.kind not in "Siu" or axis.ndim != 1:
        got = "Python objects, which are never unpickled" if axis.dtype.hasobject else f"{axis.dtype} of {axis.shape}"
        raise InputError(
            f"expected one row of names of text or whole numbers in {axis.name}, got {got}: write the table again with "
            "columns of one type"
        )
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in axis[:].tolist()]
    except UnicodeDecodeError as error:
        raise InputError(f"expected names in UTF-8 in {axis.name}, got others ({error}): write them again") from error


def _check_columns(series: list[str], stored: list[str]) -> None:
    """Refuse blocks that do not have every column once."""
    if sorted(stored) != sorted(series):
        wrong = next(iter((Counter(series) - Counter(stored)) or (Counter(stored) - Counter(series))))
        raise InputError(
            f"expected each column of axis0 in one block, got {wrong!r} in {stored.count(wrong)}: write the table again"
        )


def _check_block(block: Any, shape: tuple[int, int]) -> None:
    if block.dtype.kind not in "fiub" or block.shape != shape:
        raise InputError(
            f"expected numbers of shape {shape} in {block.name}, got {block.dtype} of shape {block.shape}: drop the "
            "columns that hold no numbers"
        )


def _times(axis: Any, tz: str | None) -> Times:
    kind = _text(axis.attrs.get("kind", b"datetime64"))
    if axis.dtype.kind not in "iu" or axis.ndim != 1 or not re.search(r"datetime64|integer", kind):
        raise InputError(f"expected times in {axis.name}, got {kind} of {axis.dtype}: index the table by time")
    if _text(axis.attrs.get("index_class", b"")) == "period":
        raise InputError(
            f"expected time stamps in {axis.name}, got a PeriodIndex, whose step is pickled and never read: write the "
            "table again after frame.index = frame.index.to_timestamp()"
        )
    if "integer" in kind:
        return Times(refuse_calendar_numbers(axis.name, step_numbers(axis[:])), None)
    unit = re.search(r"datetime64(?:\[(.*)\])?", kind)
    if axis.dtype == np.uint64 or unit is None or unit[1] not in {None, "s", "ms", "us", "ns"}:
        raise InputError(f"expected times as pandas writes them in {axis.name}, got {kind} of {axis.dtype}")
    times = nanoseconds(axis[:].astype("int64").view(f"datetime64[{unit[1] or 'ns'}]"))
    zone = _text(axis.attrs.get("tz", b""))
    return _in_zone(axis.name, times, zone, tz) if zone else Times(times, None)


def _in_zone(name: str, times: np.ndarray, zone: str, tz: str | None) -> Times:
    try:
        local = pd.DatetimeIndex(times, tz="UTC").tz_convert(_zone(zone))
    except (KeyError, ValueError, OSError) as error:
        named = f"{zone!r}" if zone.isprintable() else "a Python object, which is never unpickled"
        raise InputError(
            f"expected the name of a time zone in {name}, got {named}: write the table without a zone"
        ) from error
    return in_zone(name, local, tz)


def _zone(text: str) -> str | dt.tzinfo:
    """Return the zone that an attribute names.

    pandas writes a name, but pickles UTC and zones of a fixed difference to it. The pickle is compared as text.
    """
    difference = re.fullmatch(PICKLED_DIFFERENCE, text)
    if difference is not None:
        return dt.timezone(dt.timedelta(int(difference[1]), int(difference[2])))
    return "UTC" if text.startswith("cpytz\n_UTC\n") else text


def _text(attribute: Any) -> str:
    return attribute.decode("utf-8", "replace") if isinstance(attribute, bytes) else str(attribute)
