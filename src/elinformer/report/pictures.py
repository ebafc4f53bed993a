"""Pictures of forecasts beside the observed values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from elinformer._files import new_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from elinformer.data.panel import Panel

ACTUAL, FORECAST, ISSUED = "#4d4d4d", "#d95f02", "#bdbdbd"


def draw_forecasts(
    path: str | Path, panel: Panel, origins: np.ndarray, forecasts: np.ndarray, series: Sequence[int]
) -> None:
    """Draw some series of the first channel, and forecasts from several origins, as a PNG.

    Args:
        path: The PNG file.
        panel: Observed values.
        origins: (n,) first target steps of the forecasts, a horizon apart for lines that join.
        forecasts: (n, S, N, C) in the data's units.
        series: Numbers of the series in the order of the picture, two to a row.
    """
    rows = -(-len(series) // 2)
    figure = Figure(figsize=(12, 2.3 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 2, sharex=True, squeeze=False).flatten()
    for axis in axes[len(series) :]:
        axis.set_visible(False)
    for axis, index in zip(axes, series, strict=False):
        _draw_series(axis, panel, origins, forecasts[..., index, 0], index)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    with new_file(path) as file:
        figure.savefig(file, dpi=120)


def _draw_series(axis: Axes, panel: Panel, origins: np.ndarray, forecasts: np.ndarray, index: int) -> None:
    horizon = forecasts.shape[1]
    shown = np.arange(origins[0] - horizon, origins[-1] + horizon)
    shown = shown[(shown >= 0) & (shown < panel.n_steps)]
    axis.plot(panel.timestamps[shown], panel.values[shown, index, 0], color=ACTUAL, linewidth=1.2, label="observed")
    for number, (origin, forecast) in enumerate(zip(origins, forecasts, strict=True)):
        steps = panel.timestamps[origin : origin + horizon]
        first = number == 0
        axis.axvline(steps[0], color=ISSUED, linewidth=0.8, linestyle=":", label="origin" if first else None)
        axis.plot(steps, forecast[: len(steps)], color=FORECAST, linewidth=1.8, label="forecast" if first else None)
    axis.set_title(panel.series[index], loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0)
    if panel.has_time:
        locator = AutoDateLocator(maxticks=8)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
