"""Figures of series: their history, forecasts with bands, and what happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from elinformer._files import new_file
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from elinformer.data.panel import Panel

OBSERVED, FORECAST, ORIGIN = "#4d4d4d", "#d95f02", "#bdbdbd"
BAND_ALPHA = 0.18
SUFFIXES = (".png", ".svg", ".pdf")
MAX_SERIES = 24
"""Series of a figure at most."""


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of several windows, for a figure.

    Attributes:
        origins: (n,), the first target steps.
        values: (n, S, N, C), in the units of the data.
        bands: Lower and upper bounds, arrays such as `values`, by level in percent.
    """

    origins: np.ndarray
    values: np.ndarray
    bands: Mapping[float, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(cls, origins: np.ndarray, columns: Mapping[str, np.ndarray]) -> Forecasts:
        """Return the forecasts of columns (n, S, N, C) by suffix: "" for the point forecast, "-lo-80", "-hi-80"."""
        levels = [suffix.removeprefix("-lo-") for suffix in columns if suffix.startswith("-lo-")]
        bands = {float(level): (columns[f"-lo-{level}"], columns[f"-hi-{level}"]) for level in levels}
        return cls(origins, columns[""], bands)


def figure_of(
    panel: Panel,
    forecasts: Forecasts,
    series: Sequence[int],
    *,
    history: int,
    channel: int = 0,
    notes: Sequence[str] = (),
) -> Figure:
    """Draw the forecasts of some series, two to a row.

    Args:
        panel: Observed values.
        forecasts: Forecasts, a horizon apart for lines that join. An origin may be the step after the last one.
        series: Numbers of the series, in the order of the figure.
        history: Number of steps before the first origin that are drawn.
        channel: Number of the channel.
        notes: Text behind the name of each series.

    Raises:
        InputError: There are no series, or too many for a figure.
    """
    if not 1 <= len(series) <= MAX_SERIES:
        raise InputError(f"expected 1 to {MAX_SERIES} series for a figure, got {len(series)}: choose some of them")
    columns = min(2, len(series))
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(6 * columns if columns > 1 else 9, 2.3 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
    for axis in axes[len(series) :]:
        axis.set_visible(False)
    for axis, index, note in zip(axes, series, [*notes, *[""] * len(series)], strict=False):
        _draw_series(axis, panel, forecasts, index, channel=channel, history=history)
        axis.set_title(f"{panel.series[index]}{note}", loc="left", fontsize=10, parse_math=False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, SVG or PDF, by the suffix of the path.

    Raises:
        InputError: The suffix is another one, or the file cannot be written.
    """
    check_suffix(path)
    with new_file(path) as file:
        figure.savefig(file, dpi=120)


def check_suffix(path: str | Path) -> None:
    """Refuse a file of another format.

    Raises:
        InputError: It is no PNG, SVG or PDF.
    """
    if not str(path).endswith(SUFFIXES):
        raise InputError(f"expected a file that ends in {', '.join(SUFFIXES)}, got {str(path)!r}")


def _draw_series(axis: Axes, panel: Panel, forecasts: Forecasts, index: int, *, channel: int, history: int) -> None:
    horizon = forecasts.values.shape[1]
    shown = np.arange(max(0, forecasts.origins[0] - history), min(panel.n_steps, forecasts.origins[-1] + horizon))
    times = np.concatenate([panel.timestamps, panel.future_timestamps(horizon)])
    observed = np.where(panel.mask[shown, index, channel], panel.values[shown, index, channel], np.nan)
    axis.plot(times[shown], observed, color=OBSERVED, linewidth=1.2, marker=_marker(observed), label="observed")
    for number, origin in enumerate(forecasts.origins):
        steps, first = times[origin : origin + horizon], number == 0
        axis.axvline(steps[0], color=ORIGIN, linewidth=0.8, linestyle=":", label="origin" if first else None)
        for level, (low, high) in sorted(forecasts.bands.items(), reverse=True):
            bounds = low[number, :, index, channel], high[number, :, index, channel]
            label = f"{level:g} %" if first else None
            axis.fill_between(steps, *bounds, color=FORECAST, alpha=BAND_ALPHA, linewidth=0, label=label)
        values = forecasts.values[number, :, index, channel]
        label = "forecast" if first else None
        axis.plot(steps, values, color=FORECAST, linewidth=1.8, marker=_marker(values), label=label)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.01)
    if panel.has_time:
        locator = AutoDateLocator(maxticks=8)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _marker(values: np.ndarray) -> str:
    """Return a dot where a line would show nothing: a value without a neighbour."""
    known = np.isfinite(values)
    neighbours = np.zeros(len(values), bool)
    neighbours[1:] |= known[:-1]
    neighbours[:-1] |= known[1:]
    return "." if (known & ~neighbours).any() else ""
