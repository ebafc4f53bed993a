"""Values that come piece by piece, so that a file larger than memory can be read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Index = slice | np.ndarray
    Progress = Callable[[int, int], None]


class Piece(NamedTuple):
    """Some of the values of a recording.

    Attributes:
        rows: Which of the recorded rows.
        series: Which series.
        numbers: (r, n, C), what stands in these rows of these series; or (k, C) where row and series go in k pairs.
            NaN is missing.
    """

    rows: Index
    series: Index
    numbers: np.ndarray


@dataclass(frozen=True)
class Pieces:
    """Values of `shape` (T, N, C), given out piece by piece as often as asked for; what is in no piece is missing."""

    shape: tuple[int, int, int]
    read: Callable[[], Iterator[Piece]]

    @classmethod
    def of(cls, values: np.ndarray) -> Pieces:
        """Pieces of an array (T, N) or (T, N, C), in memory or mapped from a file, along its order in memory.

        Raises:
            InputError: It has another number of axes, or holds something else than numbers.
        """
        shape = panel_shape(values.dtype, values.shape)
        array = values.reshape(shape)
        by_series = array.flags.f_contiguous and not array.flags.c_contiguous

        def read() -> Iterator[Piece]:
            if by_series:
                for series in row_blocks((shape[1], shape[0], shape[2])):
                    yield Piece(slice(None), series, array[:, series])
            else:
                for rows in row_blocks(shape):
                    yield Piece(rows, slice(None), array[rows])

        return cls(shape, read)

    @classmethod
    def of_rows(cls, blocks: Iterable[np.ndarray], shape: tuple[int, int, int]) -> Pieces:
        """Pieces of blocks (t, N) or (t, N, C) that follow each other in time, `shape` in all; an iterator serves once.

        Reading them raises InputError where they are of another shape.
        """

        def read() -> Iterator[Piece]:
            start = 0
            for block in blocks:
                found = panel_shape(block.dtype, block.shape)
                if found[1:] != shape[1:] or start + found[0] > shape[0]:
                    raise InputError(f"expected blocks of {shape} in all, got one of {found} after {start} steps")
                yield Piece(slice(start, start + found[0]), slice(None), block.reshape(found))
                start += found[0]
            if start < shape[0]:
                raise InputError(f"expected blocks of {shape} in all, got {start} steps")

        return cls(shape, read)

    @classmethod
    def joined(cls, parts: Sequence[Pieces]) -> Pieces:
        """Parts of the same series and channels, one after the other in time."""
        starts = [sum(part.shape[0] for part in parts[:i]) for i in range(len(parts))]

        def read() -> Iterator[Piece]:
            for start, part in zip(starts, parts, strict=True):
                for rows, series, numbers in part.read():
                    yield Piece(_later(rows, start, part.shape[0]), series, numbers)

        return cls((sum(part.shape[0] for part in parts), *parts[0].shape[1:]), read)


def panel_shape(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(T, N, C) of an array of `shape` (T, N) or (T, N, C).

    Raises:
        InputError: It has another number of axes, or holds something else than numbers.
    """
    if dtype.kind not in "fiub":
        raise InputError(f"expected numbers, got an array of {dtype}: convert the values to floats")
    if len(shape) not in {2, 3}:
        raise InputError(f"expected values of shape (T, N) or (T, N, C) = (steps, series, channels), got {shape}")
    return shape[0], shape[1], shape[2] if len(shape) == 3 else 1


def as_observed(
    numbers: np.ndarray, null_value: float | None, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A copy of `numbers` as float32, NaN where nothing was observed, and where something was.

    Args:
        numbers: Numbers of any type, NaN is missing.
        null_value: A number that stands for missing, too.
        mask: True where something was observed, as far as the caller knows.
    """
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    observed = ~np.isnan(values)
    if mask is not None:
        observed &= mask
    if null_value is not None and not np.isnan(null_value):
        observed &= values != np.float32(null_value)
    values[~observed] = np.nan
    return values, observed


def fill(
    values: np.ndarray,
    mask: np.ndarray,
    pieces: Pieces,
    *,
    places: np.ndarray | None,
    null_value: float | None,
    progress: Progress | None,
) -> None:
    """Write all pieces to `values` and `mask` (T', N, C), which hold nothing yet but NaN and False.

    Args:
        values: Where the numbers go.
        mask: Where it goes what was observed.
        pieces: What to write.
        places: (T,) the row that each recorded row goes to; the same by default.
        null_value: A number that stands for missing.
        progress: Called with the number of values that are written, and of all.
    """
    done, total = 0, int(np.prod(pieces.shape))
    for rows, series, numbers in pieces.read():
        at = _places(rows if places is None else places[rows], series, paired=numbers.ndim == 2)
        values[at], mask[at] = as_observed(numbers, null_value)
        done += numbers.size
        if progress is not None:
            progress(min(done, total), total)


def _places(rows: Index, series: Index, *, paired: bool) -> tuple[Index, Index]:
    """The index of some rows of some series; NumPy takes two arrays for pairs."""
    if paired or isinstance(rows, slice) or isinstance(series, slice):
        return rows, series
    return rows[:, None], series


def _later(rows: Index, steps: int, n_rows: int) -> Index:
    if isinstance(rows, slice):
        start, stop, _ = rows.indices(n_rows)
        return slice(start + steps, stop + steps)
    return rows + steps


VALUES_AT_A_TIME = 1 << 21
"""Small enough for the caches of a processor, large enough that the steps in between cost nothing."""


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis of an array of `shape`, in order, each of about `VALUES_AT_A_TIME` values."""
    rows = max(1, VALUES_AT_A_TIME // max(1, math.prod(shape[1:])))
    return (slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows))
