"""Errors of one forecast beside those of another, series by series, so that units do not matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

CLEARLY = 1.02
"""Ratio of errors above which a forecast is clearly behind another."""


@dataclass(frozen=True)
class Ratio:
    """Errors of a forecast, divided by those of another one. Every channel of a series counts as a series.

    Attributes:
        mean: Geometric mean over the series, of those where both errors are positive; NaN if there is none.
        behind: Share of the series with a larger error, 0 to 1.
        clearly_behind: Share of the series with an error larger by more than 2 %.
        n_series: Number of series with observed targets.
    """

    mean: float
    behind: float
    clearly_behind: float
    n_series: int


def ratio_to(errors: np.ndarray, others: np.ndarray) -> Ratio:
    """Compare the errors of a forecast with those of another one.

    Args:
        errors: (N, C), mean errors of the series; NaN for a series without observed targets.
        others: (N, C), those of the other forecast, on the same targets.
    """
    seen = np.isfinite(errors) & np.isfinite(others)
    a, b = errors[seen], others[seen]
    if not len(a):
        return Ratio(np.nan, np.nan, np.nan, 0)
    both = (a > 0) & (b > 0)
    mean = float(np.exp(np.log(a[both] / b[both]).mean())) if both.any() else np.nan
    return Ratio(mean, float((a > b).mean()), float((a > CLEARLY * b).mean()), len(a))


def best_of(errors: Mapping[str, np.ndarray]) -> str:
    """Return the name of the forecast with the lowest geometric mean of the errors (N, C) over the series.

    A series counts if all forecasts have a positive error. The first of equal ones is returned.
    """
    table = np.stack([x.ravel() for x in errors.values()])  # (forecasts, N x C)
    usable = (np.isfinite(table) & (table > 0)).all(0)
    means = np.log(table[:, usable]).mean(1) if usable.any() else np.nan_to_num(table).mean(1)
    return list(errors)[int(means.argmin())]
