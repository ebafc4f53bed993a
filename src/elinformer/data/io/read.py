"""read_panel: read a panel from a file or a folder of any kind."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from elinformer._arguments import explain_arguments
from elinformer.data.io.basicts import read_basicts
from elinformer.data.io.columns import NOTHING_DECLARED, Columns, declared_columns
from elinformer.data.io.folder import is_panel_folder, open_panel
from elinformer.data.io.hdf5 import read_hdf5
from elinformer.data.io.limits import check_regular
from elinformer.data.io.npz import read_npz
from elinformer.data.io.static import static_covariates
from elinformer.data.io.streams import CsvStream, ParquetStream
from elinformer.data.io.tables import read_table
from elinformer.data.panel import Panel
from elinformer.data.roles import Roles
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    import numpy as np

    from elinformer.data.form import Resample
    from elinformer.data.io.recording import Recording

    Reader = Callable[[Path, "Reading"], Recording]


@explain_arguments
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
    step: str | None = None,
    id_col: str | None = None,
    time_col: str | None = None,
    target_col: str | None = None,
    targets: Sequence[str] | None = None,
    tz: str | None = None,
    resample: Resample | None = None,
    sep: str | None = None,
    decimal: str | None = None,
    future: Sequence[str] = (),
    past: Sequence[str] = (),
    static: str | Path | None = None,
) -> Panel:
    """Read a panel from a file, or a folder, of one of these kinds.

    - `.npz`: an array `data` (T, N) or (T, N, C), and any of `timestamps_start`, `freq`, `steps_per_day`, `series`
      and `channels`; the PEMS files have `data` only.
    - `.h5`, `.hdf5`: a pandas table, times by series (METR-LA, PEMS-BAY). Needs the extra `hdf5`.
    - `.csv`, `.parquet`, long: the columns `unique_id`, `ds` and `y`, or other usual names, or those that you give.
    - `.csv`, `.parquet`, wide: the column of times is called `ds`, `date` or the like, or it is the first; every other
      column is a series.
    - A folder that `elinformer convert` or `write_panel` wrote: its values are mapped, not read.
    - A BasicTS folder: `train_data.npy`, `val_data.npy`, `test_data.npy` and `meta.json`.

    Times are read as ISO 8601, by the wall clock of their zone; whole numbers are step numbers. Times that a table
    leaves out become missing values. An argument replaces the file's own description. A file without times makes a
    panel without a calendar, unless `start` and `freq` are given. `Panel.notes` tells what was guessed.

    Args:
        path: File or folder.
        null_value: Number that stands for missing, such as 0.0 in traffic data. NaN: no number does, whatever the
            file says.
        start: Time of the first step, for a file without times.
        freq: Step as pandas writes it ("5min", "1h"); inferred from the times by default.
        steps_per_day: Steps of a day if only a part of it is recorded (service hours).
        series: N names that replace those of the file.
        channels: C names that replace those of the file.
        name: Name of the panel; the name of the file by default.
        step: As `freq`, for a file that has times; ignored for others.
        id_col: Column with the names of the series, in a long table.
        time_col: Column with the times.
        target_col: Column with the values.
        targets: Columns with the values, if there are several: channels of a long table, series of a wide one. Columns
            that are neither are left out.
        tz: Zone by whose clock times with a zone are read; their own by default.
        resample: "mean" or "sum" brings irregular times to steps of `freq`.
        sep: Separator of the columns of a CSV file; found from the file by default.
        decimal: "." or "," before the decimals of a CSV file; found from the file by default.
        future: Names of columns that are future covariates: see docs/covariates.md. All series share a column of a wide
            table.
        past: Names of columns that are past covariates.
        static: CSV or Parquet file with `unique_id` and static covariates.

    Raises:
        InputError: There is no such file, or it does not make a panel. The message begins with the path.
    """
    source, roles = checked_path(path), roles_of(future, past, static)
    with name_in_errors(source):
        columns = (id_col, time_col, target_col, targets, roles.columns)
        reading = Reading.of(*columns, tz=tz, resample=resample, sep=sep, decimal=decimal)
        if source.is_dir() and is_panel_folder(source):
            given = {"null_value": null_value, "start": start, "freq": freq, "steps_per_day": steps_per_day}
            _refuse_options(**given, **reading.given)
            return roles.assign(_rename(open_panel(source), series=series, channels=channels, name=name))
        recording = read_recording(source, reading)
        recording = recording.with_options(
            resample=resample,
            null_value=null_value,
            start=start,
            freq=step if freq is None and recording.has_clock else freq,
            steps_per_day=steps_per_day,
            series=series,
            channels=channels,
            name=name or default_name(source),
        )
        return recording.with_roles(roles).to_panel()


def roles_of(future: Sequence[str], past: Sequence[str], static: str | Path | None) -> Roles:
    """Return the roles of columns, with static covariates from a file."""
    return Roles(tuple(future), tuple(past), None if static is None else partial(static_covariates, static))


def checked_path(path: str | Path) -> Path:
    """Return the path of an existing file or folder.

    Raises:
        InputError: There is none, or the system refuses the path.
    """
    try:
        source = Path(path).expanduser()
        str(source).encode()  # readers of files take no other names
        source.stat()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file or folder: check the path") from error
    except (OSError, RuntimeError, ValueError) as error:  # no access, no such user, a NUL or no UTF-8 in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".")
        raise InputError(f"{str(path)[:200]!r}: expected a path that can be read, got {reason}: check it") from error
    return source


@contextmanager
def name_in_errors(source: Path) -> Generator[None]:
    """Let every message of an InputError begin with the path."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def default_name(source: Path) -> str:
    """Return the name of a panel from `source`, if the caller gives none."""
    return source.absolute().name if source.is_dir() else source.stem


def _refuse_options(**options: object) -> None:
    """Refuse options of reading, for a panel that is mapped as it is."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(
            f"expected no {' or '.join(given)} for a panel on disk, which is mapped as it is: convert it once more "
            f"with {' and '.join(given)}"
        )


def _rename(panel: Panel, *, series: Sequence[str] | None, channels: Sequence[str] | None, name: str | None) -> Panel:
    return replace(
        panel,
        series=panel.series if series is None else tuple(series),
        channels=panel.channels if channels is None else tuple(channels),
        name=name or panel.name,
        checked=True,
    )


@dataclass(frozen=True)
class Reading:
    """Options of reading a table.

    Attributes:
        declared: Columns that the caller names.
        tz: Zone by whose clock times are read.
        resample: How irregular times are brought to a grid.
        sep: Separator of a CSV file.
        decimal: Point or comma before the decimals of a CSV file.
    """

    declared: Columns = NOTHING_DECLARED
    tz: str | None = None
    resample: Resample | None = None
    sep: str | None = None
    decimal: str | None = None

    @classmethod
    def of(
        cls,
        id_col: str | None,
        time_col: str | None,
        target_col: str | None,
        targets: Sequence[str] | None,
        covariates: Sequence[str],
        *,
        tz: str | None,
        resample: Resample | None,
        sep: str | None,
        decimal: str | None,
    ) -> Reading:
        """Return the options of `read_panel`, with the columns that are covariates."""
        declared = declared_columns(id_col, time_col, target_col, targets, covariates)
        return cls(declared, tz, resample, sep, decimal)

    @property
    def given(self) -> dict[str, object]:
        """Options that were given, by their names in `read_panel`."""
        options = {"tz": self.tz, "resample": self.resample, "sep": self.sep, "decimal": self.decimal}
        columns = {**asdict(self.declared), "targets": self.declared.targets or None, "covariates": None}
        return {name: value for name, value in {**columns, **options}.items() if value is not None}


def read_recording(source: Path, reading: Reading) -> Recording:
    """Read a file, by its ending, or a BasicTS folder.

    Raises:
        InputError: There is no reader for it, the file is empty or cannot be read, or an option is not for such a file.
    """
    read, options = _reader(source)
    if others := [name for name in reading.given if name not in options]:
        raise InputError(
            f"expected no {' or '.join(others)} for {source.suffix or 'a folder'}, whose columns are known"
        )
    return read(source, reading)


def _reader(source: Path) -> tuple[Reader, Collection[str]]:
    """Return the reader for a file or a folder, and the options that it takes."""
    if source.is_dir():
        return lambda path, _: read_basicts(path), ()
    suffix = source.suffix.lower()
    if suffix not in READERS:
        raise InputError(
            f"expected {', '.join(READERS)} or a folder, got {source.suffix or 'a name without an ending'}: "
            "convert it to one of these"
        )
    check_regular(source)
    try:
        with source.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f"expected a file that can be read, got {error.strerror}: check the path") from error
    if empty:
        raise InputError("expected data, got an empty file: fetch or write it again")
    return READERS[suffix]


def _read_csv(path: Path, reading: Reading) -> Recording:
    table = CsvStream(path, reading.sep, reading.decimal)
    return read_table(table, reading.declared, tz=reading.tz, once=reading.resample is None)


def _read_parquet(path: Path, reading: Reading) -> Recording:
    table = ParquetStream(path)
    declared = reading.declared.beside(table.declared)
    return read_table(table, declared, tz=reading.tz, once=reading.resample is None)


def _read_npz(path: Path, reading: Reading) -> Recording:  # noqa: ARG001  an archive tells what its arrays are
    return read_npz(path)


def _read_hdf5(path: Path, reading: Reading) -> Recording:
    return read_hdf5(path, reading.tz)


OF_TABLES = ("id_col", "time_col", "targets", "tz", "resample")
READERS: dict[str, tuple[Reader, Collection[str]]] = {
    ".npz": (_read_npz, ()),
    ".h5": (_read_hdf5, ("tz", "resample")),
    ".hdf5": (_read_hdf5, ("tz", "resample")),
    ".csv": (_read_csv, (*OF_TABLES, "sep", "decimal")),
    ".parquet": (_read_parquet, OF_TABLES),
}
"""Readers by the ending of the file, with the options that each takes."""
