"""A trained model, and all that its forecasts take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from elinformer.data.windows import Reach, WindowDataset
from elinformer.evaluation.in_parts import forecasting
from elinformer.models import Sizes, build_model
from elinformer.training.parallel.scoring import backtest_on_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from torch import Tensor, nn

    from elinformer.data.panel import Panel
    from elinformer.data.scaling import Scaler
    from elinformer.data.series_info import SeriesInfo
    from elinformer.data.windows import Batch
    from elinformer.evaluation import MetricSums
    from elinformer.training.fit import FitResult
    from elinformer.training.module import ForecastModule


class Fitted(NamedTuple):
    """What training gives, or a run that was loaded.

    `data` is what a run remembers of its data, `result` how training went, where it went on here.
    """

    reach: Reach
    info: SeriesInfo
    model: nn.Module
    module: ForecastModule
    scaler: Scaler
    data: Mapping[str, Any] | None
    result: FitResult | None = None

    @property
    def batch_size(self) -> int:
        """Windows that are forecast together."""
        return max(1, self.module.config.tokens_at_once // tokens_per_window(self.model, len(self.info.series)))

    def forecasting(self, series_at_once: int | None = None) -> Callable[[Batch], Tensor]:
        """A function from a batch to its forecast, in parts of the series where a window of all is too large."""
        n_series = len(self.info.series)
        return forecasting(
            self.module,
            n_series,
            tokens=tokens_per_window(self.model, n_series),
            tokens_at_once=self.module.config.tokens_at_once,
            series_at_once=series_at_once,
        )

    def forecasts(self, panel: Panel, origins: np.ndarray, series_at_once: int | None = None) -> np.ndarray:
        """Forecasts (n, S, N, C) whose first target steps are `origins` (n,) of a panel of the series of training."""
        windows = WindowDataset(panel, self.info.calendar, origins, self.reach, with_targets=False)
        forecast = self.forecasting(series_at_once)
        with torch.inference_mode():
            return torch.stack([forecast(windows[[i]])[0] for i in range(len(windows))]).cpu().numpy()

    def scores(self, panel: Panel, origins: np.ndarray, series_at_once: int | None = None) -> MetricSums:
        """Sums of the errors of these forecasts."""
        windows = WindowDataset(panel, self.info.calendar, origins, self.reach)
        return backtest_on_ranks(self.forecasting(series_at_once), windows, self.batch_size, self.module.mesh)


def new_model(name: str, options: Mapping[str, Any], reach: Reach, info: SeriesInfo) -> nn.Module:
    """A model of `elinformer.models.MODELS` for series like these."""
    sizes = Sizes(
        window=reach.window,
        horizon=reach.horizon,
        n_series=len(info.series),
        n_channels=len(info.channels),
        n_lags=len(reach.lags),
        n_slots=info.n_slots,
    )
    return build_model(name, sizes, options)


def tokens_per_window(model: nn.Module, n_series: int) -> int:
    """What a window takes of `TrainingConfig.tokens_at_once`: its series, unless the model knows better."""
    return getattr(model, "tokens_per_window", n_series)
