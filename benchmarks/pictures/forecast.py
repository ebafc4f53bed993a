"""Draw docs/images/forecast.svg: forecasts of the demo's test split with their bands, beside the observed values.

    elinformer demo --out demo-out
    python -m benchmarks.pictures.forecast demo-out

The picture depends on the run, so it is not among those that `python -m benchmarks.pictures` draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.dates import DateFormatter, DayLocator

from benchmarks.pictures.__main__ import IMAGES, source_of
from benchmarks.pictures._style import DARK, GREY, OURS, Margins, panels, save, style
from elinformer.intervals import LEVELS, wanted_quantiles
from elinformer.plots import Forecasts
from elinformer.run_folder.folder import MODEL
from elinformer.workflows import open_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elinformer.data.panel import Panel

SERIES = {
    "departures/EWR": "Departures an hour, Newark",
    "temperature/JFK": "Temperature in °F, JFK",
    "humidity/LGA": "Humidity in %, La Guardia",
    "pressure/EWR": "Air pressure in mbar, Newark",
}
"""Names of the series in the data set, and titles of their panels."""

HOURS, START = 96, "2013-11-04T00:00"
"""Hours that are shown, from a Monday of the test split on."""

FORECAST_WIDTH = 1.9
BANDS = (0.18, 0.3)
"""Strength of the colours of the bands, the highest level first."""


def draw_forecast(panel: Panel, forecasts: Forecasts) -> Figure:
    """Draw a panel a series: observed values in grey, and every forecast of `horizon` steps in blue with its bands.

    Args:
        panel: The data.
        forecasts: Forecasts, a horizon apart.
    """
    figure, axes = panels([1.25] * len(SERIES), Margins(0.42, 0.12, 0.3, 0.32), columns=2, foot=0.3)
    for axis, (name, title) in zip(axes, SERIES.items(), strict=True):
        series = panel.series.index(name)
        _draw_series(axis, panel, forecasts, series)
        axis.set_title(title)
    axes[0].legend(
        *axes[0].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.24 / figure.get_figheight()),
        bbox_transform=figure.transFigure, ncols=4, frameon=False, fontsize=8.5,
    )  # fmt: skip
    return figure


def _draw_series(axis: Axes, panel: Panel, forecasts: Forecasts, series: int) -> None:
    origins, horizon = forecasts.origins, forecasts.values.shape[1]
    shown = slice(origins[0], origins[-1] + horizon)
    times = panel.timestamps[shown]
    axis.plot(times, panel.values[shown, series, 0], color=GREY, linewidth=1.2, label="observed")
    for number, origin in enumerate(origins):
        is_first, steps = number == 0, panel.timestamps[origin : origin + horizon]
        for strength, (level, bounds) in zip(BANDS, sorted(forecasts.bands.items(), reverse=True), strict=True):
            low, high = (bound[number, :, series, 0] for bound in bounds)
            label = f"{level:g} % interval" if is_first else None
            axis.fill_between(steps, low, high, color=OURS, alpha=strength, linewidth=0, label=label)
        label = f"forecast, {horizon} hours at once" if is_first else None
        values = forecasts.values[number, :, series, 0]
        axis.plot(steps, values, color=OURS, linewidth=FORECAST_WIDTH, solid_capstyle="round", label=label)
        axis.axvline(steps[0], color="#dddddd", linewidth=0.7, zorder=0)
    axis.grid(visible=False, axis="x")
    axis.set_xlim(times[0], times[-1])
    axis.xaxis.set_major_locator(DayLocator())
    axis.xaxis.set_major_formatter(DateFormatter("%a %d %b"))
    for label in axis.get_xticklabels():
        label.set(ha="left", color=DARK)


def main() -> None:
    """Draw the picture from a run of the demo."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures.forecast", description="Draw the forecasts")
    parser.add_argument("run", type=Path, help="the folder that `elinformer demo --out` wrote")
    parser.add_argument("--images", type=Path, default=IMAGES, help="the folder of the picture")
    options = parser.parse_args()
    forecaster, panel = open_run(options.run)
    first = int(np.searchsorted(panel.timestamps, np.datetime64(START)))
    origins = np.arange(first, first + HOURS, forecaster.reach.horizon)
    columns = forecaster.trained.columns(panel, origins, wanted_quantiles(LEVELS))
    with style():
        figure = draw_forecast(panel, Forecasts.of(origins, columns))
    target = options.images / "forecast.svg"
    save(figure, target, source_of([options.run / MODEL]))
    print(target)


if __name__ == "__main__":
    main()
