"""Figures of forecasts: bands that can be told apart, labels of the axes, and a legend beside the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from elinformer.data.panel import Panel
from elinformer.plots import Forecasts, figure_of, save_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def drawn(freq: str | None, *, channel: str = "trips") -> Figure:
    values = np.arange(60.0).reshape(30, 2)
    time = {} if freq is None else {"start": "2024-01-01", "freq": freq}
    panel = Panel.from_arrays(values, series=["a", "b"], channels=[channel], **time)
    point = values[None, 24:, :, None]
    bands = {80: (point - 1, point + 1), 95.0: (point - 2, point + 2)}
    return figure_of(panel, Forecasts(np.array([24]), point, bands), [0, 1], history=12, notes=["error 0.5"])


@pytest.mark.parametrize("freq", ["1min", "1h", "1D", "W-MON", "MS", "YS-JAN", None])
def test_the_axis_of_time_says_its_step_at_every_frequency(freq: str | None, tmp_path: Path) -> None:
    figure = drawn(freq)
    save_figure(figure, tmp_path / "a.png")  # warnings are errors here
    label = figure._supxlabel.get_text()  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    assert label == ("number of the step" if freq is None else f"time, a step is {freq}")


def test_every_band_has_its_colour_and_the_lowest_level_the_strongest() -> None:
    axis = drawn("1h").axes[0]
    colours = {band.get_label(): tuple(band.get_facecolor()[0]) for band in axis.collections}
    assert set(colours) == {"80 % interval", "95 % interval"}
    assert sum(colours["80 % interval"][:3]) < sum(colours["95 % interval"][:3])
    assert all(colour[3] == 1 for colour in colours.values())  # opaque: they do not add up where windows meet


def test_the_legend_stands_outside_of_the_axes(tmp_path: Path) -> None:
    figure = drawn("1h")
    save_figure(figure, tmp_path / "a.png")
    (legend,) = figure.legends
    frames = [axis.get_window_extent() for axis in figure.axes]
    assert not any(legend.get_window_extent().overlaps(frame) for frame in frames)
    assert [text.get_text() for text in legend.get_texts()][:2] == ["observed", "forecast"]
