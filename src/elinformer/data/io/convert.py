"""convert_panel: write a file of any kind to a folder of mapped arrays, a piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elinformer.data.io.folder import check_panel_folder, is_panel_folder, open_panel, write_recording
from elinformer.data.io.read import checked_path, default_name, find_reader, name_in_errors
from elinformer.data.io.recording import Recording

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from elinformer.data.panel import Panel
    from elinformer.data.pieces import Progress


def convert_panel(
    source: str | Path,
    folder: str | Path,
    *,
    null_value: float | None = None,
    start: str | np.datetime64 | None = None,
    freq: str | None = None,
    steps_per_day: int | None = None,
    name: str | None = None,
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
        overwrite: Replace a panel that is in `folder`.
        progress: Called with the number of values that are written, and of all.

    Raises:
        InputError: The file does not make a panel, as in `read_panel`, or the folder cannot be written.
    """
    check_panel_folder(folder, overwrite=overwrite)
    path = checked_path(source)
    with name_in_errors(path):
        is_panel = path.is_dir() and is_panel_folder(path)
        recording = Recording.of_panel(open_panel(path)) if is_panel else find_reader(path)(path)
        recording = recording.with_options(
            null_value=null_value,
            start=start,
            freq=freq,
            steps_per_day=steps_per_day,
            name=name or (None if is_panel else default_name(path)),
        )
        return write_recording(recording, folder, overwrite=overwrite, progress=progress)
