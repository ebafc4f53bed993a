"""Precision: tell from some rows whether float32 holds the numbers of a panel, or float64 has to."""

from __future__ import annotations

import math

import numpy as np

Index = slice | np.ndarray
SAMPLED_VALUES = 1 << 18
MIN_ROWS = 16
TOLERANCE = 1e-3
"""Largest error of rounding to float32, as a share of the middle half of a series."""
WHOLE = 1 << 24
"""Whole number up to which float32 holds all whole numbers."""


class PrecisionSample:
    """Numbers of some rows, evenly spaced, in the precision in which they came.

    Args:
        shape: (T, N, C) of all numbers.
        null_value: Number that stands for missing.
    """

    def __init__(self, shape: tuple[int, int, int], null_value: float | None) -> None:
        count = min(shape[0], max(MIN_ROWS, SAMPLED_VALUES // max(1, math.prod(shape[1:]))))
        self._shape, self._null_value = (count, *shape[1:]), null_value
        self._rows = np.linspace(0, shape[0] - 1, count).astype(int)
        self._place = np.full(shape[0], -1)  # of every row in the sample
        self._place[self._rows] = np.arange(count)
        self._values: np.ndarray | None = None

    @classmethod
    def of(cls, array: np.ndarray, mask: np.ndarray, null_value: float | None) -> PrecisionSample:
        """Return the sample of an array (T, N, C) and its mask, True = observed."""
        sample = cls(array.shape, null_value)  # pyright: ignore[reportArgumentType]  three axes
        rows = sample._rows
        if not np.can_cast(array.dtype, np.float32):
            sample._values = np.where(mask[rows], array[rows], np.nan).astype(np.float64)
        return sample

    def add(self, rows: Index, series: Index, numbers: np.ndarray) -> None:
        """Add those numbers of a piece that are in the rows of the sample; see `Piece`."""
        if np.can_cast(numbers.dtype, np.float32):
            return
        places = self._place[rows]
        chosen = places >= 0
        if not chosen.any():
            return
        if self._values is None:
            self._values = np.full(self._shape, np.nan)
        with np.errstate(over="ignore"):  # of long doubles, which become infinite and are refused as such
            chosen_numbers = numbers[chosen].astype(np.float64)
        if numbers.ndim == 2:
            self._values[places[chosen], series[chosen] if isinstance(series, np.ndarray) else series] = chosen_numbers
        else:
            where = np.ix_(places[chosen], np.arange(self._shape[1])[series])
            self._values[where] = chosen_numbers

    @property
    def dtype(self) -> type[np.float32 | np.float64]:
        """float64 if a series has whole numbers that float32 has not, or its swings are lost by rounding."""
        x = self._values
        if x is None or not x.size:
            return np.float32
        if self._null_value is not None:
            x[x == self._null_value] = np.nan
        x = np.where(np.abs(x) <= np.finfo(np.float32).max, x, np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            rounding = np.fmax.reduce(np.abs(x - x.astype(np.float32)), axis=0)
        if not (rounding > 0).any():
            return np.float32
        x, rounding = x[:, rounding > 0], rounding[rounding > 0]  # (rows, n) of the numbers that are rounded
        whole = (np.isnan(x) | (x == np.round(x))).all(0) & (np.fmax.reduce(np.abs(x), axis=0) > WHOLE)
        return np.float64 if (whole | (rounding > TOLERANCE * _swing(x))).any() else np.float32


def _swing(x: np.ndarray) -> np.ndarray:
    """Return how far the middle half of each column reaches, or all of it where the middle half is one number."""
    ordered = np.sort(x, axis=0)  # NaN last
    last = np.count_nonzero(~np.isnan(x), axis=0) - 1
    columns = np.arange(x.shape[1])
    middle = ordered[3 * last // 4, columns] - ordered[last // 4, columns]
    whole = ordered[last, columns] - ordered[0]
    return np.where(middle > 0, middle, np.where(whole > 0, whole, np.inf))
