"""Models that train and forecast in a fraction of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from elinformer.training import ForecastModule

NARROW = {"window_width": 8, "series_width": 4, "calendar_width": 4, "n_layers": 2, "n_heads": 2}
"""Options of ELinFormer."""


def mean_before(panel: Any, end: int) -> Any:
    """Return the mean (N, C) over the steps before `end`."""
    from elinformer.data.scaling import measure

    return measure(panel.values[:end], panel.mask[:end]).mean


def forecast_of(model: Any, values: Any, mask: Any, calendar: Any = None) -> Any:
    """Return the point forecast (B, S, N, C) of a model with one output, for windows of the level and deviation e."""
    from elinformer.batch import Batch

    level = values.new_ones(len(values), values.shape[2], 2 * values.shape[3])
    return model(Batch(values, mask, calendar, level=level)).squeeze(-1)


def small_module(name: str = "elinformer", *, n_series: int, **options: Any) -> ForecastModule:
    """Return a model of 6 steps in, 3 steps out and 4 slots a day; its weights and scales are random."""
    import torch  # after conftest.py has set the number of threads

    from elinformer.data.scaling import Scaler
    from elinformer.models import Sizes, build_model
    from elinformer.training import ForecastModule, TrainingConfig

    torch.manual_seed(0)
    model = build_model(name, Sizes(window=6, horizon=3, n_series=n_series, n_slots=4), options)
    rng = np.random.default_rng(0)
    scaler = Scaler(*(rng.random((n_series, 1)).astype(np.float32) + 1 for _ in range(2)))
    return ForecastModule(model, scaler, scaler.std, TrainingConfig())
