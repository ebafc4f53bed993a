"""read_panel: one function for every kind of file."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer.data.io.basicts import read_basicts
from elinformer.data.io.folder import is_panel_folder, open_panel
from elinformer.data.io.frames import panel_from_frame
from elinformer.data.io.hdf5 import read_hdf5
from elinformer.data.io.npz import read_npz
from elinformer.data.io.tables import KEYS, CsvStream, ParquetStream, stream_long, stream_wide_columns, stream_wide_rows
from elinformer.data.panel import Panel
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import numpy as np

    from elinformer.data.io.recording import Recording

    Reader = Callable[[Path], Recording]


def read_panel(
    path: str | Path,
    *,
    null_value: float | None = None,
    start: str | np.datetime64 | None = None,
    freq: str | None = None,
    steps_per_day: int | None = None,
    series: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    name: str | None = None,
) -> Panel:
    """Read a panel from a file, or a folder, of one of these kinds.

    - `.npz`: an array `data` (T, N) or (T, N, C), with `timestamps_start`, `freq`, `steps_per_day`, `series`
      and `channels` where known; the PEMS files have `data` alone.
    - `.h5`, `.hdf5`: a pandas table, times by series (METR-LA, PEMS-BAY). Needs the extra `hdf5`.
    - `.csv`, `.parquet`, long: the columns `unique_id`, `ds` and `y`; every further column is one more channel.
    - `.csv`, `.parquet`, wide: the first column is the time, every other column a series.
    - A folder that `elinformer convert` or `Panel.save` wrote: its values are mapped, not read.
    - A BasicTS folder: `train_data.npy`, `val_data.npy`, `test_data.npy` and `meta.json`.

    Times are read as ISO 8601 by the wall clock of their zone; whole numbers are step numbers. Tables may
    leave rows out: the panel has those steps as missing. What the caller says goes before what the file says.
    A file without times gives a panel without a calendar, unless `start` and `freq` are given.

    Args:
        path: The file or folder.
        null_value: A number that stands for missing, such as 0.0 in traffic data; NaN for none, where the
            file names one.
        start: The time of the first step, for a file without times.
        freq: The step as pandas writes it ("5min", "1h"); inferred from the times where absent.
        steps_per_day: Where only a part of every day is recorded (service hours).
        series: N names in place of the file's.
        channels: C names in place of the file's.
        name: What the panel is called; the name of the file by default.

    Raises:
        InputError: Whatever keeps the path from being such a panel, as one sentence that begins with the path.
    """
    source = Path(path).expanduser()
    with naming(source):
        if source.is_dir() and is_panel_folder(source):
            _check_unasked(null_value=null_value, start=start, freq=freq, steps_per_day=steps_per_day)
            return _renamed(open_panel(source), series=series, channels=channels, name=name)
        recording = find_reader(source)(source).with_options(
            null_value=null_value,
            start=start,
            freq=freq,
            steps_per_day=steps_per_day,
            series=series,
            channels=channels,
            name=name or name_of(source),
        )
        return recording.to_panel()


@contextmanager
def naming(source: Path) -> Generator[None]:
    """Let the messages of all that is refused begin with the path."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def name_of(source: Path) -> str:
    """Return the default name of a panel that is read from `source`."""
    return source.absolute().name if source.is_dir() else source.stem


def _check_unasked(**reading: object) -> None:
    given = [name for name, value in reading.items() if value is not None]
    if given:
        raise InputError(
            f"expected no {' or '.join(given)} for a panel on disk, which is mapped as it is: convert it once more "
            f"with {' and '.join(given)}"
        )


def _renamed(panel: Panel, *, series: Sequence[str] | None, channels: Sequence[str] | None, name: str | None) -> Panel:
    given = {
        "series": None if series is None else tuple(series),
        "channels": None if channels is None else tuple(channels),
        "name": name,
    }
    return replace(panel, **{key: value for key, value in given.items() if value is not None}, checked=True)


def as_panel(data: Panel | Any, *, freq: str | None = None, steps_per_day: int | None = None) -> Panel:
    """A panel as it is, or one made of an eager data frame, long or wide."""
    return data if isinstance(data, Panel) else panel_from_frame(data, freq=freq, steps_per_day=steps_per_day)


def find_reader(source: Path) -> Reader:
    """Return the reader that the ending of `source` asks for, or that of BasicTS folders.

    Raises:
        InputError: There is none, or the file is empty or cannot be read.
    """
    if source.is_dir():
        return read_basicts
    suffix = source.suffix.lower()
    if suffix not in READERS:
        raise InputError(
            f"expected {', '.join(READERS)} or a folder, got {source.suffix or 'a name without an ending'}: "
            "convert it to one of these"
        )
    try:
        with source.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f"expected a file that can be read, got {error.strerror}: check the path") from error
    if empty:
        raise InputError("expected data, got an empty file: fetch or write it again")
    return READERS[suffix]


def _read_csv(path: Path) -> Recording:
    table = CsvStream(path)
    return stream_long(table) if KEYS[0] in table.names else stream_wide_rows(table)


def _read_parquet(path: Path) -> Recording:
    table = ParquetStream(path)
    return stream_long(table) if KEYS[0] in table.names else stream_wide_columns(table)


READERS: dict[str, Reader] = {
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
