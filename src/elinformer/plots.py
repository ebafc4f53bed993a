"""Figures of series: their history, forecasts with bands, and what happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from elinformer._files import new_file
from elinformer.data.frequencies import in_words
from elinformer.data.panel import UNNAMED
from elinformer.errors import InputError, MissingExtraError

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError('figures need an extra: pip install "elinformer[plots]"') from error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from elinformer.data.panel import Panel

OBSERVED, FORECAST, ORIGIN, NOTE, GRID = "#333333", "#d95f02", "#9e9e9e", "#707070", "#ececec"
WIDEST_BAND, NARROWEST_BAND = 0.16, 0.42
"""Strength of the colour of the band with the highest level, and of that with the lowest of several."""
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
    figure = empty_figure(6 * columns if columns > 1 else 9, 2.4 * rows + 0.8)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
    for axis in axes[len(series) :]:
        axis.set_visible(False)
    for axis, index, note in zip(axes, series, [*notes, *[""] * len(series)], strict=False):
        _draw_series(axis, panel, forecasts, index, channel=channel, history=history)
        axis.set_title(panel.series[index], loc="left", fontsize=10, fontweight="bold", parse_math=False)
        axis.set_title(note, loc="right", fontsize=9, color=NOTE)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    figure.supxlabel(_time_label(panel), fontsize=9, color=NOTE)
    if panel.channels[channel] != UNNAMED:
        figure.supylabel(panel.channels[channel], fontsize=9, color=NOTE, parse_math=False)
    return figure


def empty_figure(width: float, height: float) -> Figure:
    """Return a figure of a size in inches that needs no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _time_label(panel: Panel) -> str:
    if not panel.has_time:
        return "number of the step"
    zone = f", clock of {panel.form.zone}" if panel.form.zone else ""
    return f"time, a step is {in_words(panel.freq or 'one')}{zone}"


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
    axis.plot(
        times[shown], observed, color=OBSERVED, linewidth=1.1, marker=_marker(observed), label="observed", zorder=3
    )
    for number, origin in enumerate(forecasts.origins):
        steps, first = times[origin : origin + horizon], number == 0
        values = forecasts.values[number, :, index, channel]
        label = "forecast" if first else None
        axis.plot(steps, values, color=FORECAST, linewidth=1.8, marker=_marker(values), label=label)
        _draw_bands(axis, forecasts, steps, (number, slice(None), index, channel), labelled=first)
        axis.axvline(steps[0], color=ORIGIN, linewidth=0.8, linestyle=":", label="forecast begins" if first else None)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.margins(x=0.01)
    if panel.has_time:
        locator = AutoDateLocator(minticks=3, maxticks=8)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axis.xaxis.get_offset_text().set_fontsize(9)


def _draw_bands(
    axis: Axes, forecasts: Forecasts, steps: np.ndarray, place: tuple[int, slice, int, int], *, labelled: bool
) -> None:
    """Draw the bands of one window of one series, in opaque tints, so that each level has one colour."""
    levels = sorted(forecasts.bands)
    strengths = np.linspace(NARROWEST_BAND, WIDEST_BAND, len(levels)) if len(levels) != 1 else [0.28]
    for rank, (level, strength) in enumerate(zip(levels, strengths, strict=True)):
        low, high = (bound[place] for bound in forecasts.bands[level])
        tint = 1 - strength * (1 - np.array(to_rgb(FORECAST)))
        label = f"{level:g} % interval" if labelled else None
        axis.fill_between(steps, low, high, color=tint, linewidth=0, label=label, zorder=1 - 0.01 * rank)


def _marker(values: np.ndarray) -> str:
    """Return a dot where a line would show nothing: a value without a neighbour."""
    known = np.isfinite(values)
    neighbours = np.zeros(len(values), bool)
    neighbours[1:] |= known[:-1]
    neighbours[:-1] |= known[1:]
    return "." if (known & ~neighbours).any() else ""
