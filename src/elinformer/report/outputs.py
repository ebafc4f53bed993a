"""Forecast of the next steps as a file, and a picture of earlier forecasts beside what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elinformer._files import new_file
from elinformer.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster
    from elinformer.plots import Forecasts

FORECAST, PICTURE = "forecast.csv", "forecasts.png"
LEVEL = 80
"""Level of the intervals in file and picture, in percent."""
N_PICTURED = 6
PICTURED_FORECASTS = 10


def write_forecasts(
    forecaster: Forecaster, panel: Panel, folder: Path, series: Sequence[int] | None = None
) -> tuple[Path, Path | None]:
    """Write the forecast of the steps after a panel, and a picture of its last forecasts beside what happened.

    Args:
        forecaster: A trained forecaster.
        panel: The data.
        folder: Folder of both files.
        series: Numbers of the series in the picture; None = six of them, evenly spaced.

    Returns:
        Paths of the file and the picture; None without Matplotlib, which an extra brings.
    """
    with new_file(folder / FORECAST) as path:
        forecaster.predict(panel, level=[LEVEL] if _has_intervals(forecaster) else None).to_csv(path, index=False)
    chosen = list(series) if series else list(range(0, panel.n_series, -(-panel.n_series // N_PICTURED)))
    try:
        from elinformer.report.pictures import draw_forecasts
    except MissingExtraError:
        return folder / FORECAST, None
    draw_forecasts(folder / PICTURE, panel, _earlier_forecasts(forecaster, panel, chosen), chosen)
    return folder / FORECAST, folder / PICTURE


def picture_line(picture: Path | None) -> str:
    """Return the path of a picture, or how to have one."""
    return 'none, without Matplotlib: pip install "elinformer[plots]"' if picture is None else str(picture)


def _has_intervals(forecaster: Forecaster) -> bool:
    return len(forecaster.trained.loss.quantiles) > 1


def _earlier_forecasts(forecaster: Forecaster, panel: Panel, series: Sequence[int]) -> Forecasts:
    """Return forecasts a horizon apart, the last of them of steps that were observed."""
    from elinformer.plots import Forecasts

    complete = np.flatnonzero(panel.mask[:, series].all(axis=(1, 2)))
    end, reach = complete[-1] + 1 if len(complete) else panel.n_steps, forecaster.reach
    origins = np.arange(end - PICTURED_FORECASTS * reach.horizon, end, reach.horizon)
    origins = origins[origins >= reach.window]
    trained, aligned = forecaster.trained, forecaster.info.align(panel)
    if not _has_intervals(forecaster):
        return Forecasts(origins, trained.forecasts(aligned, origins))
    outputs, quantiles = trained.quantile_forecasts(aligned, origins), trained.loss.quantiles
    point, low, high = (outputs[..., quantiles.index(q)] for q in (0.5, 0.1, 0.9))
    return Forecasts(origins, point, {LEVEL: (low, high)})
