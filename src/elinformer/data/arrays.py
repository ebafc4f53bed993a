"""NumPy archives (`.npz`) with the key `data`: traffic benchmarks and the like."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from elinformer.data.recording import Recording
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.lib.npyio import NpzFile


def read_npz(path: Path) -> Recording:
    """An archive of `data` (T, N) or (T, N, C), NaN = missing.

    `timestamps_start`, `freq`, `steps_per_day`, `series` and `channels` are read where present; the PEMS
    files have none of them. Nothing is ever unpickled.

    Raises:
        InputError: No such archive, no `data` in it, or Python objects in place of numbers and text.
    """
    with _open(path) as archive:
        keys = ("data", "timestamps_start", "freq", "steps_per_day", "series", "channels")
        arrays = {key: _read(archive, key) for key in keys if key in archive}
    if "data" not in arrays:
        raise InputError(f"expected an array called 'data', got {', '.join(archive.files) or 'none at all'}: rename it")
    steps_per_day = _scalar(arrays, "steps_per_day")
    return Recording(
        values=arrays["data"],
        start=_scalar(arrays, "timestamps_start"),
        freq=_scalar(arrays, "freq"),
        steps_per_day=None if steps_per_day is None else _whole(steps_per_day),
        series=_names(arrays, "series"),
        channels=_names(arrays, "channels"),
    )


def load_array(path: Path) -> np.ndarray:
    """The array of one `.npy` file, which may hold numbers and text but no Python objects."""
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"expected an array of numbers in {path.name}, got something else ({error})") from error


def _open(path: Path) -> NpzFile:
    if not zipfile.is_zipfile(path):
        raise InputError("expected an .npz archive as numpy.savez writes it, got another or a truncated file")
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"expected an .npz archive as numpy.savez writes it, got a damaged one ({error})") from error


def _read(archive: NpzFile, key: str) -> np.ndarray:
    try:
        return archive[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"expected an array of numbers or text as {key!r}, got a damaged one or Python objects, which are never "
            f"unpickled: save it again ({error})"
        ) from error


def _scalar(arrays: Mapping[str, np.ndarray], key: str) -> str | None:
    """The text of a single value, None where it is absent, empty or no time."""
    cells = np.ravel(arrays.get(key, ()))
    text = str(cells.astype(str)[0]).strip() if len(cells) else ""
    return None if text.lower() in {"", "nat", "nan", "none"} else text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"expected a whole number as steps_per_day, got {text!r}: save it again") from error


def _names(arrays: Mapping[str, np.ndarray], key: str) -> list[str] | None:
    names = np.ravel(arrays.get(key, ()))
    return [str(name) for name in names.astype(str)] if len(names) else None
