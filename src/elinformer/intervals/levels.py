"""Levels and quantiles that a user asks for, and their values between and beyond the trained quantiles."""

from __future__ import annotations

import math
from bisect import bisect_right
from numbers import Real
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor


Array = TypeVar("Array", "np.ndarray", "Tensor")

LEVELS = (80, 95)
"""Levels of the bands of figures, in percent."""


class Wanted(NamedTuple):
    """Quantiles to forecast, and the ends of the names of their columns.

    Attributes:
        quantiles: Rising numbers between 0 and 1.
        suffixes: End of the name of each column, such as "-lo-80".
    """

    quantiles: tuple[float, ...] = ()
    suffixes: tuple[str, ...] = ()

    def columns(self, outputs: np.ndarray, trained: Sequence[float]) -> dict[str, np.ndarray]:
        """Return the quantiles (...) by suffix.

        Args:
            outputs: (..., K), rising.
            trained: The K quantiles of the outputs.
        """
        return dict(zip(self.suffixes, interpolated(outputs, trained, self.quantiles), strict=True))


def wanted_quantiles(level: Any = None, quantiles: Any = None) -> Wanted:
    """Return the quantiles of levels, or quantiles as they are; none if both are None.

    Args:
        level: Levels of intervals in percent, above 0 and below 100: 80 is the interval from the quantile 0.1 to 0.9.
        quantiles: Numbers above 0 and below 1.

    Raises:
        InputError: Both are given, there is none, or one is out of range, no number, or there twice.

    Example:
        >>> wanted_quantiles(level=[80]).suffixes
        ('-lo-80', '-hi-80')
        >>> wanted_quantiles(quantiles=[0.9, 0.5]).suffixes
        ('-q-50', '-q-90')
    """
    if level is not None and quantiles is not None:
        raise InputError("expected level or quantiles, got both: leave one of them out")
    if level is not None:
        levels = sorted(_numbers("level", level, 100), reverse=True)
        low, high = [f"-lo-{value:g}" for value in levels], [f"-hi-{value:g}" for value in reversed(levels)]
        below = [(100 - value) / 200 for value in levels]
        return Wanted((*below, *(1 - q for q in reversed(below))), (*low, *high))
    if quantiles is not None:
        rising = sorted(_numbers("quantiles", quantiles, 1))
        return Wanted(tuple(rising), tuple(f"-q-{100 * q:g}" for q in rising))
    return Wanted()


def _numbers(name: str, values: Any, limit: int) -> list[float]:
    listed = [values] if isinstance(values, Real) else values
    if isinstance(listed, str) or not hasattr(listed, "__iter__"):
        raise InputError(f"expected {name} as a list of numbers, got {values!r}")
    example = "80,95" if limit == 100 else "0.1,0.9"
    listed = list(listed)
    if not listed:
        raise InputError(f"expected at least one number as {name}, such as {example}, got none")
    for value in listed:
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < limit:
            raise InputError(f"expected {name} above 0 and below {limit}, such as {example}, got {value!r}")
    if len(set(listed)) < len(listed):
        raise InputError(f"expected different {name}, got one twice in {listed}: leave it out")
    return [float(value) for value in listed]


def interpolated(outputs: Array, trained: Sequence[float], quantiles: Sequence[float]) -> list[Array]:
    """Return quantiles from trained ones (..., K), an array (...) each.

    Between two trained quantiles, the value is linear in the quantile of the standard normal distribution. Beyond the
    outermost one, the line through the two outermost goes on: the tail is that of a normal distribution.

    Args:
        outputs: (..., K), rising.
        trained: The K quantiles of the outputs.
        quantiles: Quantiles of the result.

    Example:
        >>> import numpy as np
        >>> low, high = interpolated(np.array([-1.2816, 0.0, 1.2816]), (0.1, 0.5, 0.9), (0.25, 0.975))
        >>> print(f"{low:.4f} {high:.4f}")
        -0.6745 1.9600
    """
    scores = [_normal_score(q) for q in trained]
    columns = []
    for quantile in quantiles:
        score = _normal_score(quantile)
        high = min(max(bisect_right(scores, score), 1), len(scores) - 1)
        share = (score - scores[high - 1]) / (scores[high] - scores[high - 1])
        low_value, high_value = outputs[..., high - 1], outputs[..., high]
        columns.append(high_value if math.isclose(share, 1) else low_value + share * (high_value - low_value))
    return columns


def _normal_score(quantile: float) -> float:
    return NormalDist().inv_cdf(quantile)
