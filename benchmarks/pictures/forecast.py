"""Draw docs/images/forecast.svg: forecasts of the demo's test split beside the observed values.

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


def draw_forecast(panel: Panel, origins: np.ndarray, forecasts: np.ndarray) -> Figure:
    """Draw a panel a series: observed values in grey, and every forecast of `horizon` steps in blue.

    Args:
        panel: The data.
        origins: (n,) first target steps, a horizon apart.
        forecasts: (n, S, N, C) in the units of the data.
    """
    figure, axes = panels([1.25] * len(SERIES), Margins(0.42, 0.12, 0.3, 0.32), columns=2, foot=0.3)
    for axis, (name, title) in zip(axes, SERIES.items(), strict=True):
        series = panel.series.index(name)
        _draw_series(axis, panel, origins, forecasts[..., series, 0], series)
        axis.set_title(title)
    axes[0].legend(
        handles=axes[0].lines[:2], loc="upper center", bbox_to_anchor=(0.5, 0.24 / figure.get_figheight()),
        bbox_transform=figure.transFigure, ncols=2, frameon=False, fontsize=8.5,
    )  # fmt: skip
    return figure


def _draw_series(axis: Axes, panel: Panel, origins: np.ndarray, forecasts: np.ndarray, series: int) -> None:
    horizon = forecasts.shape[1]
    shown = slice(origins[0], origins[-1] + horizon)
    times = panel.timestamps[shown]
    axis.plot(times, panel.values[shown, series, 0], color=GREY, linewidth=1.2, label="observed")
    for number, (origin, forecast) in enumerate(zip(origins, forecasts, strict=True)):
        label = f"forecast, {horizon} hours at once" if number == 0 else None
        steps = panel.timestamps[origin : origin + horizon]
        axis.plot(steps, forecast, color=OURS, linewidth=FORECAST_WIDTH, solid_capstyle="round", label=label)
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
    with style():
        figure = draw_forecast(panel, origins, forecaster.forecasts(panel, origins))
    target = options.images / "forecast.svg"
    save(figure, target, source_of([options.run / MODEL]))
    print(target)


if __name__ == "__main__":
    main()
