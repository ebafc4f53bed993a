"""NumPy archives (`.npz`) with an array `data`, such as the PEMS benchmarks."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from elinformer.data.io.recording import Recording
from elinformer.data.pieces import Piece, Pieces, panel_shape, row_blocks
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from numpy.lib.npyio import NpzFile

DATA = "data"


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
    with _open(path) as archive:
        if DATA not in archive:
            others = ", ".join(archive.files) or "none at all"
            raise InputError(f"expected an array called 'data', got {others}: rename it")
        keys = ("timestamps_start", "freq", "steps_per_day", "series", "channels")
        arrays = {key: _read(archive, key) for key in keys if key in archive}
    steps_per_day = _scalar(arrays, "steps_per_day")
    return Recording(
        values=_data_pieces(path),
        start=_scalar(arrays, "timestamps_start"),
        freq=_scalar(arrays, "freq"),
        steps_per_day=None if steps_per_day is None else _whole_number(steps_per_day),
        series=_names(arrays, "series"),
        channels=_names(arrays, "channels"),
    )


def _open(path: Path) -> NpzFile:
    if not zipfile.is_zipfile(path):
        raise InputError("expected an .npz archive as numpy.savez writes it, got another or a truncated file")
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"expected an .npz archive as numpy.savez writes it, got a damaged one ({error})") from error


def _data_pieces(path: Path) -> Pieces:
    with _open_data(path) as (_, layout):
        shape = panel_shape(layout.dtype, layout.shape)

    def read() -> Iterator[Piece]:
        with _open_data(path) as (file, layout):
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
def _open_data(path: Path) -> Generator[tuple[IO[bytes], Layout]]:
    """Open the member `data` of an archive and read its header."""
    with _refuse_damage(DATA), zipfile.ZipFile(path) as archive:
        member = DATA if DATA in archive.namelist() else f"{DATA}.npy"
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if version[0] < 2 else np.lib.format.read_array_header_2_0
            layout = Layout(*read_header(file))
            if layout.dtype.hasobject:
                raise ValueError("it holds Python objects")
            yield file, layout


def _read(archive: NpzFile, key: str) -> np.ndarray:
    with _refuse_damage(key):
        return archive[key]


@contextmanager
def _refuse_damage(key: str) -> Generator[None]:
    """Turn errors of reading the array `key` into InputError."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"expected an array of numbers or text as {key!r}, got a damaged one or Python objects, which are never "
            f"unpickled: save it again ({error})"
        ) from error


def _scalar(arrays: Mapping[str, np.ndarray], key: str) -> str | None:
    """Return a single value as text, None if it is absent, empty or no time."""
    cells = np.ravel(arrays.get(key, ()))
    text = str(cells.astype(str)[0]).strip() if len(cells) else ""
    return None if text.lower() in {"", "nat", "nan", "none"} else text


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"expected a whole number as steps_per_day, got {text!r}: save it again") from error


def _names(arrays: Mapping[str, np.ndarray], key: str) -> list[str] | None:
    names = np.ravel(arrays.get(key, ()))
    return [str(name) for name in names.astype(str)] if len(names) else None
