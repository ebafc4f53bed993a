"""Files of every kind to panels on disk, without reading them whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from elinformer.data.io.folder import check_panel_folder, is_panel_folder, open_panel, recording_of, write_recording
from elinformer.data.io.read import find_reader, name_of, naming

if TYPE_CHECKING:
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
    """Write what `read_panel(source, ...)` reads to a folder, a piece at a time, and open it from there.

    Args:
        source: A file or folder as `read_panel` reads it. The rows of every series in a long table have to stand in the
            order of time.
        folder: Where the panel goes.
        null_value: A number that stands for missing, such as 0.0 in traffic data.
        start: The time of the first step, for a file without times.
        freq: The step as pandas writes it; inferred from the times where absent.
        steps_per_day: Where only a part of every day is recorded.
        name: What the panel is called; the name of the file by default.
        overwrite: Whether a panel that stands in `folder` may be replaced.
        progress: Called with the number of values that are written, and of all.

    Raises:
        InputError: What `read_panel` refuses, a long table that is not sorted, or a folder that cannot be written to.
    """
    check_panel_folder(folder, overwrite=overwrite)
    path = Path(source).expanduser()
    with naming(path):
        is_panel = path.is_dir() and is_panel_folder(path)
        recording = recording_of(open_panel(path)) if is_panel else find_reader(path)(path)
        recording = recording.with_options(
            null_value=null_value,
            start=start,
            freq=freq,
            steps_per_day=steps_per_day,
            name=name or (None if is_panel else name_of(path)),
        )
        return write_recording(recording, folder, overwrite=overwrite, progress=progress)
