"""Pictures of forecasts beside the observed values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elinformer.plots import Forecasts, figure_of, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from elinformer.data.panel import Panel


def draw_forecasts(
    path: str | Path, panel: Panel, origins: np.ndarray, forecasts: np.ndarray, series: Sequence[int]
) -> None:
    """Draw some series of the first channel, and forecasts from several origins, as a picture.

    Args:
        path: The PNG, SVG or PDF file.
        panel: Observed values.
        origins: (n,) first target steps of the forecasts, a horizon apart for lines that join.
        forecasts: (n, S, N, C) in the data's units.
        series: Numbers of the series in the order of the picture, two to a row.
    """
    figure = figure_of(panel, Forecasts(origins, forecasts), series, history=forecasts.shape[1])
    save_figure(figure, path)
