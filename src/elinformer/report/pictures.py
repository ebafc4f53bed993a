"""Pictures of forecasts beside the observed values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elinformer.plots import figure_of, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from elinformer.data.panel import Panel
    from elinformer.plots import Forecasts


def draw_forecasts(path: str | Path, panel: Panel, forecasts: Forecasts, series: Sequence[int]) -> None:
    """Draw some series of the first channel, and forecasts from several origins, as a picture.

    Args:
        path: The PNG, SVG or PDF file.
        panel: Observed values.
        forecasts: Forecasts, a horizon apart for lines that join.
        series: Numbers of the series in the order of the picture, two to a row.
    """
    save_figure(figure_of(panel, forecasts, series, history=forecasts.values.shape[1]), path)
