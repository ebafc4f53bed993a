"""Blocks of rows, so that an array that is mapped from a file never lies in memory whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES_AT_A_TIME = 1 << 21
"""Small enough for the caches of a processor, large enough that the steps in between cost nothing."""


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis of an array of `shape`, in order, each of about `VALUES_AT_A_TIME` values."""
    rows = max(1, VALUES_AT_A_TIME // max(1, math.prod(shape[1:])))
    return (slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows))
