"""convert_panel: write a file of any kind to a folder of mapped arrays, a piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elinformer._arguments import explain_arguments
from elinformer.data.io.folder import check_panel_folder, is_panel_folder, open_panel, write_recording
from elinformer.data.io.read import Reading, checked_path, default_name, name_in_errors, read_recording, roles_of
from elinformer.data.io.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from elinformer.data.form import Resample
    from elinformer.data.panel import Panel
    from elinformer.data.pieces import Progress


@explain_arguments
def convert_panel(
    source: str | Path,
    folder: str | Path,
    *,
    null_value: float | None = None,
    start: str | np.datetime64 | None = None,
    freq: str | None = None,
    steps_per_day: int | None = None,
    name: str | None = None,
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
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Panel:
    """Write the panel of a file to a folder, a piece at a time, and open it from there.

    The panel is the same as that of `read_panel(source, ...)`, to the bit.

    Args:
        source: File or folder that `read_panel` reads.
        folder: Folder that is made.
        null_value: Number that stands for missing, such as 0.0 in traffic data.
        start: Time of the first step, for a file without times.
        freq: Step as pandas writes it; inferred from the times by default.
        steps_per_day: Steps of a day if only a part of it is recorded.
        name: Name of the panel; the name of the file by default.
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
        overwrite: Replace a panel that is in `folder`.
        progress: Called with the number of values that are written, and of all.

    Raises:
        InputError: The file does not make a panel, as in `read_panel`, or the folder cannot be written.
    """
    check_panel_folder(folder, overwrite=overwrite)
    path = checked_path(source)
    with name_in_errors(path):
        is_panel = path.is_dir() and is_panel_folder(path)
        roles = roles_of(future, past, static)
        columns = (id_col, time_col, target_col, targets, roles.columns)
        reading = Reading.of(*columns, tz=tz, resample=resample, sep=sep, decimal=decimal)
        recording = Recording.of_panel(open_panel(path)) if is_panel else read_recording(path, reading)
        recording = recording.with_options(
            resample=resample,
            null_value=null_value,
            start=start,
            freq=freq,
            steps_per_day=steps_per_day,
            name=name or (None if is_panel else default_name(path)),
        )
        recording = recording.with_roles(roles)
        return write_recording(recording, folder, overwrite=overwrite, progress=progress)
