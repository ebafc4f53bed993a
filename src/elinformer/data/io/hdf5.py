"""HDF5 files with a table of pandas (METR-LA, PEMS-BAY, LargeST), read without PyTables.

The layout is that of `DataFrame.to_hdf(format="fixed")`: a group with `axis0` (names of the columns), `axis1`
(times), and for each type of column `block<i>_items` and `block<i>_values`. PyTables pickles some of its
attributes and axes; nothing is unpickled here.

Source: pandas, io/pytables.py, GenericFixed and BlockManagerFixed.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from elinformer.data.io.cells import wall_clock
from elinformer.data.io.recording import Recording
from elinformer.data.pieces import Piece, Pieces, row_blocks
from elinformer.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


def read_hdf5(path: Path) -> Recording:
    """Read the pandas table of an HDF5 file: rows are times, columns are series.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: The file is no HDF5 file, has no such table or several, or its names are Python objects.
    """
    with _open_table(path) as table:
        series, times = _names(table["axis0"]), _times(table["axis1"])
        column = {name: i for i, name in enumerate(series)}
        blocks = {
            name: np.array([column[item] for item in _names(table[name.replace("values", "items")])], np.intp)
            for name in table
            if re.fullmatch(r"block\d+_values", name)
        }
        for name, columns in blocks.items():
            _check_block(table[name], (len(times), len(columns)))

    def read() -> Iterator[Piece]:
        with _open_table(path) as table:
            for name, columns in blocks.items():
                for rows in row_blocks((len(times), len(columns))):
                    yield Piece(rows, columns, table[name][rows][..., None])

    return Recording(values=Pieces((len(times), len(series), 1), read), times=times, series=series)


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
    except (OSError, KeyError) as error:
        raise InputError(f"expected a whole HDF5 file, got a damaged or another one ({error})") from error


def _only_table(file: Any) -> Any:
    """Return the group of the only table."""
    groups = {name: group for name, group in file.items() if hasattr(group, "keys")}
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


def _names(axis: Any) -> list[str]:
    if axis.dtype.kind not in "Siu":
        raise InputError(
            f"expected names of text or whole numbers in {axis.name}, got Python objects, which are never unpickled: "
            "write the table again with columns of one type"
        )
    return [name.decode() if isinstance(name, bytes) else str(name) for name in axis[:].tolist()]


def _check_block(block: Any, shape: tuple[int, int]) -> None:
    if block.dtype.kind not in "fiub" or block.shape != shape:
        raise InputError(
            f"expected numbers of shape {shape} in {block.name}, got {block.dtype} of shape {block.shape}: drop the "
            "columns that hold no numbers"
        )


def _times(axis: Any) -> np.ndarray:
    kind = _text(axis.attrs.get("kind", b"datetime64"))
    if axis.dtype.kind not in "iu" or not re.search(r"datetime64|integer", kind):
        raise InputError(f"expected times in {axis.name}, got {kind} of {axis.dtype}: index the table by time")
    if "integer" in kind:
        return axis[:].astype(np.int64)
    unit = re.search(r"datetime64\[(\w+)\]", kind)
    times = axis[:].astype("int64").view(f"datetime64[{unit[1] if unit else 'ns'}]").astype("datetime64[ns]")
    zone = _text(axis.attrs.get("tz", b""))
    return _in_zone(axis.name, times, zone) if zone else times


def _in_zone(name: str, times: np.ndarray, zone: str) -> np.ndarray:
    try:
        local = pd.DatetimeIndex(times, tz="UTC").tz_convert(zone)
    except (KeyError, ValueError) as error:
        raise InputError(f"expected the name of a time zone, got {zone!r}: write the table without a zone") from error
    return wall_clock(name, local)


def _text(attribute: Any) -> str:
    return attribute.decode("utf-8", "replace") if isinstance(attribute, bytes) else str(attribute)
