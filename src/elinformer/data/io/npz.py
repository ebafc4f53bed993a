"""NumPy archives (`.npz`) with an array `data`, such as the PEMS benchmarks."""

from __future__ import annotations

import lzma
import math
import shutil
import sys
import tempfile
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from elinformer.data.io.limits import check_unpacked
from elinformer.data.io.recording import Recording
from elinformer.data.pieces import Piece, Pieces, panel_shape, row_blocks
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

DATA = "data"
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError)
"""Errors of damaged members, unknown compression and encryption."""


class Layout(NamedTuple):
    """Header of a stored array."""

    shape: tuple[int, ...]
    by_column: bool
    dtype: np.dtype


def read_npz(path: Path) -> Recording:
    """Read an archive of `data` (T, N) or (T, N, C), NaN = missing.

    `timestamps_start`, `freq`, `steps_per_day`, `series` and `channels` are read if the archive has them; the PEMS
    files have none. Nothing is unpickled.

    Raises:
        InputError: The file is no such archive, has no array `data`, or holds Python objects.
    """
    members = _members(path)
    if DATA not in members:
        others = ", ".join(members)[:500] or "none at all"
        raise InputError(f"expected an array called 'data', got {others}: rename it")
    keys = ("timestamps_start", "freq", "steps_per_day", "series", "channels")
    arrays = {key: _read(path, key) for key in keys if key in members}
    steps_per_day = _scalar(arrays, "steps_per_day")
    return Recording(
        values=_data_pieces(path),
        start=_scalar(arrays, "timestamps_start"),
        freq=_scalar(arrays, "freq"),
        steps_per_day=None if steps_per_day is None else _whole_number(steps_per_day),
        series=_names(arrays, "series"),
        channels=_names(arrays, "channels"),
    )


def _members(path: Path) -> list[str]:
    """Return the names of the arrays of an archive."""
    if not zipfile.is_zipfile(path):
        raise InputError("expected an .npz archive as numpy.savez writes it, got another or a truncated file")
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"expected an .npz archive as numpy.savez writes it, got a damaged one ({error})") from error


def _data_pieces(path: Path) -> Pieces:
    with _open_member(path, DATA) as (_, layout):
        shape = panel_shape(layout.dtype, layout.shape)

    def read() -> Iterator[Piece]:
        with _open_member(path, DATA) as (file, layout):
            if layout.by_column:
                yield from _pieces_by_column(file, layout)
                return
            for rows in row_blocks(shape):
                size = (rows.stop - rows.start, *shape[1:])
                numbers = np.frombuffer(file.read(int(np.prod(size)) * layout.dtype.itemsize), layout.dtype)
                yield Piece(rows, slice(None), numbers.reshape(size))
            file.read(1)  # at its end the checksum of the member is checked

    return Pieces(shape, read)


def _pieces_by_column(file: IO[bytes], layout: Layout) -> Iterator[Piece]:
    """Yield pieces of an array that is stored column after column. It is unpacked to a temporary file first."""
    with tempfile.TemporaryFile() as scratch:
        shutil.copyfileobj(file, scratch, 1 << 20)
        mapped = np.memmap(scratch, layout.dtype, "r", shape=layout.shape, order="F")
        yield from Pieces.of(np.asarray(mapped)).read()


@contextmanager
def _open_member(path: Path, key: str) -> Generator[tuple[IO[bytes], Layout]]:
    """Open an array of an archive and read its header. The array is as large as its header says."""
    with _refuse_damage(key), zipfile.ZipFile(path) as archive:
        info = archive.getinfo(key if key in archive.namelist() else f"{key}.npy")
        check_unpacked(f"{key!r}", info.file_size, info.compress_size)
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if version[0] < 2 else np.lib.format.read_array_header_2_0
            layout = Layout(*read_header(file))
            if layout.dtype.hasobject:
                raise ValueError("it holds Python objects")
            size = math.prod(layout.shape) * layout.dtype.itemsize
            if any(type(n) is not int or n < 0 for n in layout.shape) or size != info.file_size - file.tell():
                raise ValueError(f"its header says {layout.dtype} of {layout.shape}, and the array has another size")
            yield file, layout


def _read(path: Path, key: str) -> np.ndarray:
    with _open_member(path, key) as (file, layout):
        if not layout.dtype.itemsize:
            return np.zeros(layout.shape, layout.dtype)
        return np.frombuffer(file.read(), layout.dtype).reshape(layout.shape, order="F" if layout.by_column else "C")


@contextmanager
def _refuse_damage(key: str) -> Generator[None]:
    """Turn errors of reading the array `key` into InputError."""
    try:
        yield
    except InputError:
        raise
    except (OSError, EOFError, ValueError, OverflowError, tokenize.TokenError, *ARCHIVE_ERRORS) as error:
        raise InputError(
            f"expected an array of numbers or text as {key!r}, got a damaged one or Python objects, which are never "
            f"unpickled: save it again ({error})"
        ) from error


def _scalar(arrays: Mapping[str, np.ndarray], key: str) -> str | None:
    """Return a single value as text, None if it is absent, empty or no time."""
    text = (_names(arrays, key) or [""])[0].strip()
    return None if text.lower() in {"", "nat", "nan", "none"} else text


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"expected a whole number as steps_per_day, got {text!r}: save it again") from error


def _names(arrays: Mapping[str, np.ndarray], key: str) -> list[str] | None:
    names = np.ravel(arrays.get(key, ()))
    if names.dtype.kind == "U" and names.dtype.itemsize:
        codes = names.view(np.dtype("u4").newbyteorder(names.dtype.byteorder))
        if (codes > sys.maxunicode).any():
            raise InputError(f"expected text as {key!r}, got numbers that are no letters: save it again")
    try:
        texts = np.strings.decode(names, "utf-8") if names.dtype.kind == "S" else names.astype(str)
    except ValueError as error:
        raise InputError(f"expected names in UTF-8 as {key!r}, got others ({error}): save them as text") from error
    return [str(name) for name in texts] if len(names) else None
