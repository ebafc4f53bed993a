"""Limits of reading: files that would wait for ever, or that claim far more than they hold.

Memory and time of reading are bounded by what a file really holds. Every limit is checked before anything is allocated,
and its message says how to pass it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

FREE_BYTES = 1 << 28
"""Size up to which content is unpacked, whatever its compression."""
MAX_RATIO = 200
"""Larger content may be this many times as large as what is stored of it."""
FREE_VALUES = 1 << 26
"""Values of a panel that are always allowed, 320 MiB in memory."""
VALUES_PER_CELL = 100
"""A larger panel may have this many values for every cell that is recorded."""


def check_regular(path: Path) -> None:
    """Refuse what is no plain file: reading a pipe or a device may wait for ever.

    Raises:
        InputError: The path is a pipe, a device or a folder.
    """
    if path.exists() and not path.is_file():
        raise InputError(
            f"expected a plain file, got {path.name}, a pipe, a device or a folder: write it to a file first"
        )


def check_size(size: int, limit: int, name: str, what: str) -> None:
    """Refuse a part of a file that is read as a whole, and is larger than any such part.

    Raises:
        InputError: `size` is above `limit`.
    """
    if size > limit:
        raise InputError(f"expected {what} of at most {limit >> 20} MiB in {name}, got {size >> 20} MiB")


def check_unpacked(name: str, size: int, stored: int) -> None:
    """Refuse content that takes far more memory than is stored of it.

    Args:
        name: Name of the content.
        size: Bytes of the content in memory.
        stored: Bytes of it in the file.

    Raises:
        InputError: It is more than `MAX_RATIO` times as large, and more than `FREE_BYTES`.
    """
    if size > FREE_BYTES and size > MAX_RATIO * stored:
        raise InputError(
            f"expected at most {MAX_RATIO} times as many bytes as are stored, but {name} claims {size:,} and "
            f"{stored:,} are stored: write it without compression if it is right"
        )


def check_dense(shape: tuple[int, int, int], n_recorded: int) -> None:
    """Refuse a panel that would be nearly empty and take far more memory than its source.

    Args:
        shape: (T, N, C) of the panel.
        n_recorded: Values that are recorded.

    Raises:
        InputError: The panel has more than `VALUES_PER_CELL` values for each of them, and more than `FREE_VALUES`.
    """
    size = shape[0] * shape[1] * shape[2]
    if size > FREE_VALUES and size > VALUES_PER_CELL * n_recorded:
        raise InputError(
            f"expected series that share their times, but {n_recorded:,} recorded values spread over "
            f"{shape[0]:,} steps of {shape[1]:,} series: check the column of the series, leave out those of few rows, "
            "or give all of them times of one grid"
        )
