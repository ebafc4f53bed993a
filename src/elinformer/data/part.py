"""A part of a panel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elinformer.data.panel import Panel

ALL = slice(None)


def part_of(panel: Panel, series: Sequence[int] | np.ndarray | slice = ALL, steps: slice = ALL) -> Panel:
    """Some series and steps of a panel, without a copy where both are slices.

    Args:
        panel: The whole.
        series: Numbers of the series in the order wanted, or a mask (N,).
        steps: Which; where only a part of every day is recorded, from where the hours of a day begin.
    """
    names = tuple(panel.series[i] for i in np.arange(panel.n_series)[series])
    arrays = {name: getattr(panel, name)[steps, series] for name in ("values", "mask")}
    locations = None if panel.locations is None else panel.locations[series]
    times = panel.timestamps[steps]
    return replace(panel, **arrays, timestamps=times, series=names, locations=locations, checked=True)
