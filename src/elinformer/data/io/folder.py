"""Panels on disk: folders of arrays that are mapped into memory instead of read.

meta.json       format, schema, shape, names, step, and the fingerprint of what was written
values.npy      (T, N, C) float32, NaN where a value is missing; float64 where float32 cannot hold the numbers
mask.npy        (T, N, C) bool, True = observed
timestamps.npy  (T,) datetime64[ns], or int64 step numbers
locations.npy   (N, 2) latitude and longitude in degrees, if they are known
past_0.npy      (T, N, P) or (T, 1, P) float32, a block of past covariates; past_1.npy and so on for further ones
future_0.npy    (T', N, F) or (T', 1, F) float32, a block of future covariates, as above
static_0.npy    (N, G) float32, static covariates
"""

from __future__ import annotations

import hashlib
import json
import math
import tokenize
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer._checksums import document_digest
from elinformer._files import check_folder, new_folder, read_json
from elinformer.data.covariates import Covariates
from elinformer.data.form import Form
from elinformer.data.io.limits import check_regular
from elinformer.data.io.recording import Recording
from elinformer.data.panel import Panel, fingerprint
from elinformer.data.pieces import VALUES_AT_A_TIME, Pieces, panel_shape
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from elinformer.data.pieces import DType, Progress

FORMAT = "elinformer-panel"
SCHEMA = 1
META, VALUES, MASK, TIMESTAMPS, LOCATIONS = "meta.json", "values.npy", "mask.npy", "timestamps.npy", "locations.npy"
HINT = "convert the data again"
FIELDS = ("name", "freq", "steps_per_day", "channels", "series")
SUMS = ("sample", "checksum")
"""Keys of meta.json: a digest of a sample of the arrays, and that of meta.json itself."""

SAMPLES, SAMPLE_SIZE = 32, 1024
"""Number and size of the pieces of an array that are compared on opening; `check_panel` compares all of it."""


def is_panel_folder(folder: Path) -> bool:
    """Return whether the `meta.json` of a folder is that of a panel; a BasicTS folder has one too."""
    return (folder / META).is_file() and read_meta(folder / META).get("format") == FORMAT


def open_panel(folder: str | Path) -> Panel:
    """Open the panel of a folder. Its values are mapped, not read.

    The sizes of the files, the times, the description and a sample of the values are compared with what was written;
    `check_panel` compares all.

    Raises:
        InputError: The folder holds no panel or one of a newer schema, or a file is missing, damaged or of another
            panel.
    """
    path = Path(folder)
    meta = _read_panel_meta(path)
    values, mask = (_map_checked(path / file, meta, kind) for file, kind in ((VALUES, meta["dtype"]), (MASK, "bool")))
    try:
        panel = Panel(
            values=values,
            mask=mask,
            timestamps=np.array(map_array(path / TIMESTAMPS)),
            freq=meta["freq"],
            series=tuple(meta["series"]),
            channels=tuple(meta["channels"]),
            locations=np.array(map_array(path / LOCATIONS)) if (path / LOCATIONS).exists() else None,
            steps_per_day=meta["steps_per_day"],
            name=meta["name"],
            form=Form.from_document(meta.get("form")),
            **_map_covariates(path, meta["covariates"]),
            checked=True,
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"expected a description of a panel in {META}, got another ({error}): {HINT}") from error
    if _sample(panel) != meta["sample"]:
        raise InputError(f"expected the arrays that were written to {path}, but a file is damaged: {HINT}")
    return panel


def check_panel(folder: str | Path) -> Panel:
    """Open the panel of a folder, and compare all of it with its fingerprint: about a second a gigabyte.

    Raises:
        InputError: They differ, or the folder holds no panel.
    """
    panel = open_panel(folder)
    if fingerprint(panel) != read_meta(Path(folder) / META).get("fingerprint"):
        raise InputError(f"expected the panel that was written to {folder}, but its fingerprint differs: {HINT}")
    return panel


def _sample(panel: Panel) -> str:
    """Return the SHA-256 of times, locations, and pieces of the other arrays that lie evenly over each."""
    digest = hashlib.sha256(np.ascontiguousarray(panel.timestamps.astype(np.int64, copy=False), "<i8").data)
    if panel.locations is not None:
        digest.update(np.ascontiguousarray(panel.locations, "<f8").data)
    covariates = (*panel.past, *panel.future, *([] if panel.static is None else [panel.static]))
    for array in (panel.values, panel.mask, *(block.values for block in covariates)):
        flat = array.reshape(-1)
        for start in np.linspace(0, max(0, flat.size - SAMPLE_SIZE), SAMPLES).astype(int):
            digest.update(flat[start : start + SAMPLE_SIZE].tobytes())
    return f"sha256:{digest.hexdigest()}"


def _map_covariates(path: Path, names: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, Any]:
    """Return past, future and static covariates of a folder, by the names of the covariates in every block."""
    past, future, static = (
        tuple(Covariates(tuple(block), map_array(path / f"{role}_{i}.npy")) for i, block in enumerate(names[role]))
        for role in ("past", "future", "static")
    )
    return {"past": past, "future": future, "static": static[0] if static else None}


def _map_checked(path: Path, meta: dict[str, Any], kind: str) -> np.ndarray:
    """Map an array and check that its shape and type are those of the description."""
    array = map_array(path)
    if list(array.shape) != meta["shape"] or array.dtype.name != kind:
        raise InputError(
            f"expected {kind} of shape {meta['shape']} in {path.name}, as {META} says, got {array.dtype} of "
            f"{array.shape}: {HINT}"
        )
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        if path.stat().st_size != file.tell() + array.nbytes:
            raise InputError(f"expected {array.nbytes} bytes of values in {path.name}, got another size: {HINT}")
    return array


def write_panel(panel: Panel, folder: str | Path, *, overwrite: bool = False) -> Panel:
    """Write a panel to a folder, completely or not at all, and open it from there.

    Args:
        panel: Panel in memory or mapped.
        folder: Folder that is made.
        overwrite: Replace a panel that is in `folder`.

    Raises:
        InputError: The folder cannot be written, or it holds something that may not be replaced.
    """
    return write_recording(Recording.of_panel(panel), folder, overwrite=overwrite)


def write_blocks(
    blocks: Iterable[np.ndarray],
    folder: str | Path,
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
    """Write blocks of a panel to a folder, completely or not at all, and open the panel from there.

    Args:
        blocks: Arrays (t, N) or (t, N, C) of any number of steps t, in the order of time; NaN is missing.
        folder: Folder that is made.
        shape: (T, N) or (T, N, C) of all blocks together.
        timestamps: (T,) datetime64 or integer step numbers. They may leave steps out, which become missing values.
        start: Time of the first step, if there are no `timestamps`.
        freq: Step as pandas writes it; inferred from `timestamps` by default.
        steps_per_day: Steps of a day if only a part of it is recorded.
        series: N names; "0", "1", ... by default.
        channels: C names.
        locations: (N, 2) latitude and longitude in degrees.
        null_value: Number that stands for missing.
        name: Name of the panel; the name of the folder by default.
        overwrite: Replace a panel that is in `folder`.
        progress: Called with the number of values that are written, and of all.

    Raises:
        InputError: The blocks have another shape, they do not make a panel, or the folder cannot be written.
    """
    whole = panel_shape(np.dtype(np.float32), tuple(shape))
    recording = Recording(
        values=Pieces.of_blocks(blocks, whole),
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
    """Write a recording to a folder piece by piece, completely or not at all, and open the panel from there.

    Args:
        recording: Content of a file.
        folder: Folder that is made.
        overwrite: Replace a panel that is in `folder`.
        progress: Called with the number of values that are written, and of all.
        check: Called with the panel before it is moved to `folder`; nothing is written if it raises.

    Raises:
        InputError: The recording does not make a panel, or the folder cannot be written.
    """
    check_panel_folder(folder, overwrite=overwrite)
    with new_folder(folder) as new:
        panel = recording.to_panel(lambda shape, dtype: _allocate(new, shape, dtype), progress)
        if check is not None:
            check(panel)
        _write_files(panel, new)
    return replace(open_panel(folder), notes=panel.notes, checked=True)


def _write_files(panel: Panel, folder: Path) -> None:
    """Write the other files of a panel whose values and mask are in the folder."""
    for array in (panel.values, panel.mask):
        if isinstance(array, np.memmap):
            array.flush()  # raises an error of the disk, which would be lost later
    blocks = {"past": panel.past, "future": panel.future, "static": () if panel.static is None else (panel.static,)}
    for role, of_role in blocks.items():
        for i, block in enumerate(of_role):
            np.save(folder / f"{role}_{i}.npy", block.values)
    for name, array in ((VALUES, panel.values), (MASK, panel.mask)):
        if map_array(folder / name).shape != array.shape:  # without the columns that are covariates
            np.save(folder / f"new_{name}", array)
            (folder / f"new_{name}").replace(folder / name)
    np.save(folder / TIMESTAMPS, panel.timestamps)
    if panel.locations is not None:
        np.save(folder / LOCATIONS, panel.locations)
    header = {"format": FORMAT, "schema": SCHEMA, "shape": panel.values.shape, "dtype": panel.values.dtype.name}
    fields = {name: getattr(panel, name) for name in FIELDS}
    covariates = {role: [block.names for block in of_role] for role, of_role in blocks.items()}
    document = {
        **header,
        **fields,
        "form": panel.form.to_document(),
        "covariates": covariates,
        "fingerprint": fingerprint(panel),
        "sample": _sample(panel),
    }
    document["checksum"] = document_digest(document)
    (folder / META).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def check_panel_folder(folder: str | Path, *, overwrite: bool) -> None:
    """Check that a panel may be written to a folder.

    Raises:
        InputError: The folder holds something that is no panel, or a panel that may not be replaced.
    """
    target = Path(folder)
    check_folder(target, overwrite=overwrite, mark=META, kind="a panel")
    if (target / META).is_file() and not is_panel_folder(target):
        raise InputError(f"expected an empty folder, but {target} holds other files: choose another name")


def _allocate(folder: Path, shape: tuple[int, int, int], dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    return _new_array(folder / VALUES, shape, dtype(np.nan)), _new_array(folder / MASK, shape, np.False_)


def _new_array(path: Path, shape: tuple[int, int, int], value: np.generic) -> np.memmap:
    """Return a mapped array full of `value`.

    Every value is written: a file of holes would end the program at the first write to a full disk.
    """
    size = math.prod(shape)
    block = np.full(min(size, VALUES_AT_A_TIME), value)
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(block.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, size, len(block)):
            file.write(block[: size - start].data)
    return np.load(path, mmap_mode="r+")


def _read_panel_meta(folder: Path) -> dict[str, Any]:
    """Read the description of a panel and check that it is complete."""
    if not is_panel_folder(folder):
        raise InputError(f"expected the folder of a panel, but it has no {META} of one: `elinformer convert` writes it")
    meta = read_meta(folder / META)
    if not isinstance(meta.get("schema"), int) or meta["schema"] > SCHEMA:
        raise InputError(
            f"expected a panel of schema {SCHEMA} or older, got {meta.get('schema')}: it was written by a newer "
            "elinformer, so update this one"
        )
    missing = [key for key in ("shape", "dtype", *FIELDS, "covariates", *SUMS) if key not in meta]
    if missing:
        raise InputError(f"expected {', '.join(missing)} in {META}, got none: {HINT}")
    if meta["checksum"] != document_digest({name: value for name, value in meta.items() if name != "checksum"}):
        raise InputError(f"expected the {META} that was written to {folder}, but the file is damaged: {HINT}")
    kinds = {"name": str, "freq": str | None, "steps_per_day": int | None, "series": list, "channels": list}
    wrong = [key for key, kind in kinds.items() if not isinstance(meta[key], kind) or isinstance(meta[key], bool)]
    wrong = wrong or [key for key in ("series", "channels") if not all(isinstance(name, str) for name in meta[key])]
    if wrong:
        raise InputError(f"expected a description of a panel in {META}, got another {' and '.join(wrong)}: {HINT}")
    return meta


def map_array(path: Path) -> np.ndarray:
    """Map the array of a `.npy` file of numbers or text.

    Raises:
        InputError: The file is damaged, or it holds Python objects.
    """
    check_regular(path)
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, tokenize.TokenError) as error:
        raise InputError(
            f"expected a whole array of numbers in {path.name}, got a truncated one or something else ({error})"
        ) from error


def read_meta(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file; it is empty if there is no such file.

    Raises:
        InputError: The file holds something else.
    """
    return read_json(path) if path.is_file() else {}
