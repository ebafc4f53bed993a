"""A trained model, and all that its forecasts take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng

from elinformer.data.given import described
from elinformer.data.scaling import Scaler, error_scale, measure
from elinformer.data.series_info import SeriesInfo
from elinformer.data.windows import Reach, WindowDataset, window_origins
from elinformer.errors import InputError
from elinformer.evaluation.in_parts import forecasting
from elinformer.models import Sizes, build_model
from elinformer.training.fit import FitResult, fit
from elinformer.training.module import ForecastModule
from elinformer.training.parallel.scoring import backtest_on_ranks
from elinformer.training.run_folder import save_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pytorch_lightning as pl
    from rich.console import Console
    from torch import Tensor, nn

    from elinformer.data.panel import Panel
    from elinformer.data.scaling import ScalePer
    from elinformer.data.windows import Batch, Split
    from elinformer.evaluation import MetricSums
    from elinformer.training.config import TrainingConfig
    from elinformer.training.parallel.machines import Machines
    from elinformer.training.run_folder import Run
    from elinformer.training.unfinished import UnfinishedRun

    NewModel = Callable[[SeriesInfo], nn.Module]


class Fitted(NamedTuple):
    """What training gives, or a run that was loaded.

    `data` is what a run remembers of its data, `result` how training went, where it went on here, `added` what is
    known of series that were added since.
    """

    reach: Reach
    info: SeriesInfo
    model: nn.Module
    module: ForecastModule
    scaler: Scaler
    data: Mapping[str, Any] | None
    result: FitResult | None = None
    added: Mapping[str, Any] | None = None

    @classmethod
    def of_run(cls, run: Run, reach: Reach, new: NewModel, config: TrainingConfig) -> Fitted:
        """What was read from a folder; KeyError, TypeError or RuntimeError where its parts do not fit together."""
        info = SeriesInfo.from_document(run.panel)
        model = new(info)
        model.load_state_dict(run.weights)
        info.check_scaler(run.scaler)
        module = ForecastModule(model, run.scaler, run.scaler.std, config)
        return cls(reach, info, model, module.eval(), run.scaler, run.config.get("data"), added=run.config.get("added"))

    def save(self, folder: str | Path, config: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> None:
        """Write the folder of a run, on the first rank alone."""
        if self.module.mesh.is_first:
            save_run(
                folder,
                config=config,
                panel=self.info.to_document(),
                weights=self.model.state_dict(),
                scaler=self.scaler,
                metrics=metrics,
                interrupted=self.result is not None and self.result.interrupted,
            )

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

    def next_steps(self, given: Panel, series_at_once: int | None = None) -> np.ndarray:
        """Forecasts (S, n, C) of what follows a panel of some series, in its order.

        Raises:
            InputError: Too few steps, or a panel unlike that of training.
        """
        if given.n_steps < self.reach.history:
            raise InputError(f"expected at least {self.reach.history} steps of history, got {given.n_steps}")
        panel = self.info.align(given.last_steps(self.reach.history))
        (forecast,) = self.forecasts(panel, np.array([panel.n_steps]), series_at_once)  # (S, N, C)
        place = {name: i for i, name in enumerate(self.info.series)}
        return forecast[:, [place[name] for name in given.series]]

    def scores(self, panel: Panel, origins: np.ndarray, series_at_once: int | None = None) -> MetricSums:
        """Sums of the errors of these forecasts."""
        windows = WindowDataset(panel, self.info.calendar, origins, self.reach)
        return backtest_on_ranks(self.forecasting(series_at_once), windows, self.batch_size, self.module.mesh)


def train(
    panel: Panel,
    parts: Split,
    reach: Reach,
    new: NewModel,
    config: TrainingConfig,
    *,
    scale_per: ScalePer,
    console: Console | None = None,
    callbacks: Sequence[pl.Callback] = (),
    run: UnfinishedRun | None = None,
    machines: Machines | None = None,
) -> Fitted:
    """Train what `new` makes on the first of `parts`, and keep the weights that do best on the second.

    Other arguments as in `Forecaster.fit`.
    """
    info = SeriesInfo.of(panel, window_origins(parts.train, reach) - 1)
    end = parts.train[1]
    moments = measure(panel.values[:end], panel.mask[:end])
    scaler, scale = Scaler.of(moments, per=scale_per), error_scale(panel, end, config.loss_scale, moments=moments)
    windows = [WindowDataset(panel, info.calendar, window_origins(part, reach), reach) for part in parts[:2]]
    data = described(panel) if run is None else run.config.get("data")
    with isolate_rng():
        torch.manual_seed(config.seed)
        model = new(info)
        module = ForecastModule(model, scaler, scale, config)
        result = fit(
            module,
            *windows,
            tokens_per_window=tokens_per_window(model, panel.n_series),
            console=console,
            callbacks=callbacks,
            run=run,
            machines=machines,
        )
    return Fitted(reach, info, model, module.eval(), scaler, data, result)


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
