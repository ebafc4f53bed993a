"""The picture of forecasts shows observed values and forecasts of the right series."""

from __future__ import annotations

import numpy as np
from benchmarks.pictures._style import style
from benchmarks.pictures.forecast import SERIES, draw_forecast

from elinformer import load_dataset
from elinformer.plots import Forecasts


def test_a_panel_has_the_observed_values_and_every_forecast_of_its_series() -> None:
    panel, origins = load_dataset("nyc-airports"), np.array([7400, 7412])
    forecasts = np.random.default_rng(0).normal(size=(2, 12, panel.n_series, 1))
    bands = {80.0: (forecasts - 1, forecasts + 1), 95.0: (forecasts - 2, forecasts + 2)}
    with style():
        figure = draw_forecast(panel, Forecasts(origins, forecasts, bands))
    for axis, name in zip(figure.axes, SERIES, strict=True):
        number = panel.series.index(name)
        observed, first, _, second, _ = (np.asarray(line.get_ydata()) for line in axis.lines)
        np.testing.assert_array_equal(observed, panel.values[7400:7424, number, 0])
        np.testing.assert_array_equal(first, forecasts[0, :, number, 0])
        np.testing.assert_array_equal(second, forecasts[1, :, number, 0])
        wide, narrow, *_ = (band.get_paths()[0].vertices[:, 1] for band in axis.collections)
        assert (narrow.max(), wide.max()) == (first.max() + 1, first.max() + 2)
