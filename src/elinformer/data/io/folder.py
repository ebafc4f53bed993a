"""Panels on disk: a folder of arrays that are mapped into memory, never read whole.

meta.json       format, schema, shape, names, step, and the fingerprint of what was written
values.npy      (T, N, C) float32, NaN where nothing was observed
mask.npy        (T, N, C) bool, True where a value was observed
timestamps.npy  (T,) datetime64[ns], or int64 step numbers
locations.npy   (N, 2) latitude and longitude in degrees, where they are known
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer._files import check_folder, new_folder
from elinformer.data.io.recording import Recording
from elinformer.data.panel import Panel, fingerprint
from elinformer.data.pieces import VALUES_AT_A_TIME, Pieces, panel_shape
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from elinformer.data.pieces import Progress

FORMAT = "elinformer-panel"
SCHEMA = 1
META, VALUES, MASK, TIMESTAMPS, LOCATIONS = "meta.json", "values.npy", "mask.npy", "timestamps.npy", "locations.npy"
AGAIN = "convert the data again"
NAMED = ("name", "freq", "steps_per_day", "channels", "series")


def is_panel_folder(folder: Path) -> bool:
    """Whether `folder` says of itself that it is a panel; a BasicTS folder has a meta.json too."""
    return (folder / META).is_file() and read_meta(folder / META).get("format") == FORMAT


def open_panel(folder: str | Path) -> Panel:
    """The panel of a folder, its values mapped and not read.

    Raises:
        InputError: Not such a folder, one of a newer schema, or files that are missing, truncated or of others.
    """
    path = Path(folder)
    meta = _checked_meta(path)
    values, mask = (_mapped_as(path / file, meta, kind) for file, kind in ((VALUES, meta["dtype"]), (MASK, "bool")))
    try:
        return Panel(
            values=values,
            mask=mask,
            timestamps=np.array(map_array(path / TIMESTAMPS)),
            freq=meta["freq"],
            series=tuple(meta["series"]),
            channels=tuple(meta["channels"]),
            locations=np.array(map_array(path / LOCATIONS)) if (path / LOCATIONS).exists() else None,
            steps_per_day=meta["steps_per_day"],
            name=meta["name"],
            checked=True,
        )
    except TypeError as error:
        raise InputError(f"expected a description of a panel in {META}, got another ({error}): {AGAIN}") from error


def _mapped_as(path: Path, meta: dict[str, Any], kind: str) -> np.ndarray:
    array = map_array(path)
    if list(array.shape) != meta["shape"] or array.dtype.name != kind:
        raise InputError(
            f"expected {kind} of shape {meta['shape']} in {path.name}, as {META} says, got {array.dtype} of "
            f"{array.shape}: {AGAIN}"
        )
    return array


def save_panel(panel: Panel, folder: str | Path, *, overwrite: bool = False) -> Panel:
    """Write a panel to a folder, whole or not at all, and open it from there.

    Raises:
        InputError: The folder cannot be written to, or holds something that may not go.
    """
    return write_recording(recording_of(panel), folder, overwrite=overwrite)


def write_panel(
    folder: str | Path,
    blocks: Iterable[np.ndarray],
    *,
    shape: tuple[int, ...],
    timestamps: np.ndarray | None = None,
    start: str | np.datetime64 | None = None,
    freq: str | None = None,
    steps_per_day: int | None = None,
    series: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    locations: np.ndarray | None = None,
    null_value: float | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Panel:
    """Write a panel that comes block by block to a folder, whole or not at all, and open it from there.

    Args:
        folder: Where to.
        blocks: Arrays (t, N) or (t, N, C) of any numbers of steps t, in the order of time; NaN is missing.
        shape: (T, N) or (T, N, C) of all of them together.
        timestamps: (T,) datetime64 or integer step numbers, of which some may be left out; the panel has those steps
            as missing.
        start: The time of the first step, where `timestamps` does not say it.
        freq: The step as pandas writes it; inferred from `timestamps` where absent.
        steps_per_day: Where only a part of every day is recorded.
        series: N names; "0", "1", ... by default.
        channels: C names.
        locations: (N, 2) latitude and longitude in degrees.
        null_value: A number that stands for missing.
        name: What the panel is called; the name of the folder by default.
        overwrite: Whether a panel that stands there may be replaced.
        progress: Called with the number of values that are written, and of all.

    Raises:
        InputError: Blocks of another shape, all that a Panel refuses, or a folder that cannot be written to.
    """
    whole = panel_shape(np.dtype(np.float32), tuple(shape))
    recording = Recording(
        values=Pieces.of_rows(blocks, whole),
        times=timestamps,
        series=series,
        channels=channels,
        locations=locations,
    ).with_options(
        null_value=null_value,
        start=start,
        freq=freq,
        steps_per_day=steps_per_day,
        name=name or Path(folder).resolve().name,
    )
    return write_recording(recording, folder, overwrite=overwrite, progress=progress)


def write_recording(
    recording: Recording,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    check: Callable[[Panel], None] | None = None,
) -> Panel:
    """Write what a file holds to a folder, piece by piece, whole or not at all, and open it from there.

    What `check` raises keeps the panel from its place.
    """
    check_panel_folder(folder, overwrite=overwrite)
    with new_folder(folder) as new:
        panel = recording.to_panel(lambda shape: _allocate(new, shape), progress)
        if check is not None:
            check(panel)
        _write_files(panel, new)
    return open_panel(folder)


def _write_files(panel: Panel, folder: Path) -> None:
    """All that belongs to a panel whose values and mask are in the folder."""
    for array in (panel.values, panel.mask):
        if isinstance(array, np.memmap):
            array.flush()  # an error of the disk comes now or never
    np.save(folder / TIMESTAMPS, panel.timestamps)
    if panel.locations is not None:
        np.save(folder / LOCATIONS, panel.locations)
    meta = {"format": FORMAT, "schema": SCHEMA, "shape": panel.values.shape, "dtype": panel.values.dtype.name}
    named = {name: getattr(panel, name) for name in NAMED}
    document = {**meta, **named, "fingerprint": fingerprint(panel)}
    (folder / META).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def recording_of(panel: Panel) -> Recording:
    """A panel as what was recorded, so that it can be written."""
    return Recording(
        values=panel.values,
        times=panel.timestamps,
        freq=panel.freq,
        steps_per_day=panel.steps_per_day,
        series=panel.series,
        channels=panel.channels,
        locations=panel.locations,
        name=panel.name,
    )


def check_panel_folder(folder: str | Path, *, overwrite: bool) -> None:
    """Refuse a folder that a panel may not be written to.

    Raises:
        InputError: It holds something that is no panel, or a panel that may not be replaced.
    """
    target = Path(folder)
    check_folder(target, overwrite=overwrite, mark=META, kind="a panel")
    if (target / META).is_file() and not is_panel_folder(target):
        raise InputError(f"expected an empty folder, but {target} holds other files: choose another name")


def _allocate(folder: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    return _new_array(folder / VALUES, shape, np.float32(np.nan)), _new_array(folder / MASK, shape, np.False_)


def _new_array(path: Path, shape: tuple[int, int, int], value: np.generic) -> np.memmap:
    """A mapped array full of `value`.

    It is written and not only made long, because a disk that is full ends a program that writes to mapped memory.
    """
    size = math.prod(shape)
    block = np.full(min(size, VALUES_AT_A_TIME), value)
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(block.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, size, len(block)):
            file.write(block[: size - start].data)
    return np.load(path, mmap_mode="r+")


def _checked_meta(folder: Path) -> dict[str, Any]:
    if not is_panel_folder(folder):
        raise InputError(f"expected the folder of a panel, but it has no {META} of one: `elinformer convert` writes it")
    meta = read_meta(folder / META)
    if not isinstance(meta.get("schema"), int) or meta["schema"] > SCHEMA:
        raise InputError(
            f"expected a panel of schema {SCHEMA} or older, got {meta.get('schema')}: it was written by a newer "
            "elinformer, so update this one"
        )
    missing = [key for key in ("shape", "dtype", *NAMED) if key not in meta]
    if missing:
        raise InputError(f"expected {', '.join(missing)} in {META}, got none: {AGAIN}")
    return meta


def map_array(path: Path) -> np.ndarray:
    """The array of one `.npy` file, mapped and not read; it may hold numbers and text but no Python objects."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"expected a whole array of numbers in {path.name}, got a truncated one or something else ({error})"
        ) from error


def read_meta(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no such file.

    Raises:
        InputError: The file holds something else.
    """
    if not path.is_file():
        return {}
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"expected JSON in {path.name}, got something else ({error})") from error
    if not isinstance(meta, dict):
        raise InputError(f"expected a JSON object in {path.name}, got a {type(meta).__name__}")
    return meta
