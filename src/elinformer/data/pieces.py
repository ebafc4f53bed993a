"""Arrays as a sequence of pieces, so that files larger than memory can be read and written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elinformer.data.precision import Index, PrecisionSample
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    DType = type[np.float32 | np.float64]
    Progress = Callable[[int, int], None]

VALUES_AT_A_TIME = 1 << 21
"""Size of a block: it fits into the cache of a processor, and the loop over the blocks costs next to nothing."""


class Piece(NamedTuple):
    """Values of some rows of some series.

    Attributes:
        rows: Numbers of the rows, or a slice.
        series: Numbers of the series, or a slice.
        numbers: (r, n, C) values of r rows and n series. Or (k, C) values of k pairs of a row and a series. NaN is
            missing.
    """

    rows: Index
    series: Index
    numbers: np.ndarray


@dataclass(frozen=True)
class Pieces:
    """Array of `shape` (T, N, C) that is read piece by piece, as often as needed.

    Attributes:
        shape: (T, N, C).
        read: Returns an iterator over the pieces. Values that are in no piece are missing.
        n_rows: Number of pairs of a step and a series, if the pieces are such pairs.
        once: True if they can be read once only.
    """

    shape: tuple[int, int, int]
    read: Callable[[], Iterator[Piece]]
    n_rows: int | None = None
    once: bool = False

    @property
    def n_recorded(self) -> int:
        """Number of values in all pieces, at most."""
        return math.prod(self.shape) if self.n_rows is None else self.n_rows * self.shape[2]

    @classmethod
    def of(cls, values: np.ndarray) -> Pieces:
        """Cut an array (T, N) or (T, N, C), in memory or mapped from a file, along its order in memory.

        Raises:
            InputError: The array has another number of axes, or its cells are no numbers.
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
    def of_blocks(cls, blocks: Iterable[np.ndarray], shape: tuple[int, int, int]) -> Pieces:
        """Take blocks (t, N) or (t, N, C) that follow each other in time, `shape` in all.

        Reading raises an InputError if the blocks have another shape. An iterator can be read once only.
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

        return cls(shape, read, once=iter(blocks) is blocks)

    def moved_to(self, places: np.ndarray) -> Pieces:
        """Return the array whose row `places[i]` is row `i` of this one; its pieces are of all series or of a slice."""

        def read() -> Iterator[Piece]:
            for rows, series, numbers in self.read():
                yield Piece(places[rows], series, numbers)

        return Pieces(self.shape, read, self.n_rows, self.once)

    @classmethod
    def concatenate(cls, parts: Sequence[Pieces]) -> Pieces:
        """Join arrays of the same series and channels along time."""
        starts = [sum(part.shape[0] for part in parts[:i]) for i in range(len(parts))]

        def read() -> Iterator[Piece]:
            for start, part in zip(starts, parts, strict=True):
                for rows, series, numbers in part.read():
                    yield Piece(_shift(rows, start, part.shape[0]), series, numbers)

        return cls((sum(part.shape[0] for part in parts), *parts[0].shape[1:]), read)


def panel_shape(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (T, N, C) for an array of `shape` (T, N) or (T, N, C).

    Raises:
        InputError: The array has another number of axes, or its cells are no numbers.
    """
    if dtype.kind not in "fiub":
        raise InputError(f"expected numbers, got an array of {dtype}: convert the values to floats")
    if len(shape) not in {2, 3}:
        raise InputError(f"expected values of shape (T, N) or (T, N, C) = (steps, series, channels), got {shape}")
    return shape[0], shape[1], shape[2] if len(shape) == 3 else 1


def values_and_mask(
    numbers: np.ndarray, null_value: float | None, mask: np.ndarray | None = None, dtype: DType = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return a copy of `numbers` in a type of floats with NaN where they are missing, and its mask (True = observed).

    Args:
        numbers: Numbers of any type, NaN is missing.
        null_value: Another number that stands for missing, None for no other.
        mask: False where a number counts as missing, whatever it is.
        dtype: float32, or float64 for numbers that float32 does not hold.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # too large for the type, or a NaN that signals
        values = numbers.astype(dtype)
    observed = ~np.isnan(values)
    if mask is not None:
        observed &= mask
    if null_value is not None and not np.isnan(null_value):
        with np.errstate(over="ignore"):
            observed &= values != dtype(null_value)
    values[~observed] = np.nan
    return values, observed


def fill_arrays(
    values: np.ndarray,
    mask: np.ndarray,
    pieces: Pieces,
    *,
    places: np.ndarray | None,
    null_value: float | None,
    progress: Progress | None,
) -> DType:
    """Write all pieces into the arrays `values` and `mask` (T', N, C), and return the type that holds the numbers.

    Args:
        values: Array that takes the values, all NaN before.
        mask: Array that takes the mask, all False before.
        pieces: Pieces to write.
        places: (T,) number of the row in `values` for every row of the pieces; None if they are the same.
        null_value: Number that stands for missing.
        progress: Called with the number of values that are written, and of all.
    """
    done, total = 0, int(np.prod(pieces.shape))
    sample = PrecisionSample(pieces.shape, null_value)
    for rows, series, numbers in pieces.read():
        index = _index(rows if places is None else places[rows], series, paired=numbers.ndim == 2)
        values[index], mask[index] = values_and_mask(numbers, null_value, dtype=values.dtype.type)
        sample.add(rows, series, numbers)
        done += numbers.size
        if progress is not None:
            progress(min(done, total), total)
    return sample.dtype


def combined(pieces: Pieces, places: np.ndarray, n_steps: int, how: str, null_value: float | None) -> Pieces:
    """Return pieces whose rows are steps, each made of all rows that fall on it.

    The sums are held in memory, in float64.

    Args:
        pieces: Pieces of the rows that were recorded.
        places: (T,) step of every row.
        n_steps: Number of steps.
        how: "mean" or "sum" of the observed values of a step.
        null_value: Number that stands for missing.
    """
    shape = (n_steps, *pieces.shape[1:])

    def read() -> Iterator[Piece]:
        totals, counts = np.zeros(shape), np.zeros(shape, np.int32)
        for rows, series, numbers in pieces.read():
            values, observed = values_and_mask(numbers, null_value)
            index: Any = _index(places[rows], series, paired=numbers.ndim == 2)
            np.add.at(totals, index, np.where(observed, values, 0))
            np.add.at(counts, index, observed)
        with np.errstate(invalid="ignore", divide="ignore"):
            totals = totals / counts if how == "mean" else np.where(counts, totals, np.nan)
        yield Piece(slice(None), slice(None), totals)

    return Pieces(shape, read)


def _index(rows: Index, series: Index, *, paired: bool) -> tuple[Index, Index]:
    """Return NumPy's index of some rows of some series; NumPy takes two arrays as pairs."""
    if paired or isinstance(rows, slice) or isinstance(series, slice):
        return rows, series
    return rows[:, None], series


def _shift(rows: Index, steps: int, n_rows: int) -> Index:
    """Add `steps` to the numbers of some of `n_rows` rows."""
    if isinstance(rows, slice):
        start, stop, _ = rows.indices(n_rows)
        return slice(start + steps, stop + steps)
    return rows + steps


def evenly_spaced(n: int, at_most: int) -> np.ndarray:
    """Return at most `at_most` of the numbers from 0 to n - 1, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(int))


def affordable(n: int, *, cost: int, budget: int, least: int, most: int) -> np.ndarray:
    """Return evenly spaced numbers from 0 to n - 1: as many as the budget pays for, but `least` to `most` of them.

    Args:
        n: Numbers to choose from.
        cost: Cost of one of them.
        budget: Cost of all that are chosen.
        least: Numbers that are chosen whatever they cost, if there are as many.
        most: Numbers that are chosen at most.
    """
    return evenly_spaced(n, max(least, min(most, budget // cost)))


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of the first axis of an array of `shape`, in order, of about `VALUES_AT_A_TIME` values each."""
    rows = max(1, VALUES_AT_A_TIME // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))
