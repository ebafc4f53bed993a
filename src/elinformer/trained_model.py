"""TrainedModel: a model with everything that its forecasts need. It loads, forecasts and scores without Lightning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elinformer._dtype import float32_default
from elinformer.data.series_info import SeriesInfo
from elinformer.data.windows import Reach, WindowDataset
from elinformer.errors import InputError
from elinformer.evaluation import LOSSES, AbsoluteError
from elinformer.models import Sizes, build_model
from elinformer.models.registry import has_outputs
from elinformer.models.scaled import ScaledModel
from elinformer.partition import forecasting
from elinformer.partition.ranks import Mesh, backtest_on_ranks
from elinformer.run_folder.folder import load_run, refuse_mismatched_files, save_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from elinformer.batch import Batch
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import Scaler
    from elinformer.evaluation import Loss, MetricSums


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """Trained model with the scaler, the names and the calendar of training.

    Attributes:
        model: Module from a scaled batch to scaled outputs (B, S, N, C, K).
        scaler: Mean and standard deviation (N, C) of the training steps.
        info: Names, frequency and calendar of the training data.
        reach: Window, horizon and lags.
        config: Options of forecaster, model and training, as in `config.json` of a run.
        loss: Meaning of the K outputs.
        data: Name and fingerprint of the training data.
        added: Names and errors of the series that were added last: see docs/new_series.md.
        mesh: Ranks that score together.
        scaled: The model in the units of the data.

    Example:
        >>> from elinformer import Forecaster, Panel
        >>> from elinformer.training import TrainingConfig
        >>> waves = np.sin(np.arange(240)[:, None] / 4 + np.arange(3))  # 240 hours of three series
        >>> panel = Panel.from_arrays(waves, start="2024-01-01", freq="1h", series=["a", "b", "c"])
        >>> trained = Forecaster(12, 6, model="dlinear", training=TrainingConfig(epochs=1)).fit(panel).trained
        >>> trained.next_steps(panel).shape  # (S, N, C)
        (6, 3, 1)
        >>> trained.scores(panel, origins=np.arange(12, 100)).scores().count  # 88 windows of 6 steps of 3 series
        1584
    """

    model: nn.Module
    scaler: Scaler
    info: SeriesInfo
    reach: Reach
    config: Mapping[str, Any]
    loss: Loss = field(default_factory=AbsoluteError)
    data: Mapping[str, Any] | None = None
    added: Mapping[str, Any] | None = None
    mesh: Mesh = field(default_factory=Mesh)
    scaled: ScaledModel = field(init=False)

    def __post_init__(self) -> None:
        scaled = ScaledModel(self.model, self.scaler.mean, self.scaler.std, self.loss.arrange).eval()
        object.__setattr__(self, "scaled", scaled.to(_device_of(self.model)))

    @classmethod
    def load(cls, folder: str | Path) -> TrainedModel:
        """Read the folder of a run. Nothing is unpickled.

        Raises:
            InputError: The folder is not a complete run, or its files do not fit together.
        """
        with refuse_mismatched_files(folder):
            run = load_run(folder)
            info, config = SeriesInfo.from_document(run.panel), run.config
            forecaster = config["forecaster"]
            reach = Reach(forecaster["window"], forecaster["horizon"], tuple(forecaster["lags"]))
            name, loss = config["model"]["name"], loss_for(config["model"]["name"], config["training"]["loss"])
            model = new_model(name, config["model"]["options"], reach, info, loss)
            model.load_state_dict(run.weights)
            info.check_scaler(run.scaler)
            options = {name: config[name] for name in ("version", "forecaster", "model", "training")}
            return cls(
                model, run.scaler, info, reach, options, loss, data=config.get("data"), added=config.get("added")
            )

    def save(
        self,
        folder: str | Path,
        *,
        metrics: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
        interrupted: bool = False,
    ) -> None:
        """Write the folder of a run atomically. With several ranks, only the first rank writes.

        Args:
            folder: Folder of the run. A run in this folder is replaced, and an unfinished run is finished.
            metrics: Scores, for `metrics.json`.
            source: Address of the data, and the options that they were read with.
            interrupted: True if Ctrl-C ended training early, so that the run can be resumed.
        """
        if not self.mesh.is_first:
            return
        added = {} if self.added is None else {"added": self.added}
        save_run(
            folder,
            config={**self.config, "data": self.data, "source": source, **added},
            panel=self.info.to_document(),
            weights=self.model.state_dict(),
            scaler=self.scaler,
            metrics=metrics,
            interrupted=interrupted,
        )

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def batch_size(self) -> int:
        """Number of windows that are forecast together."""
        return max(1, self.config["training"]["tokens_at_once"] // tokens_per_window(self.model, self._n_series))

    def forecast(self, batch: Batch) -> Tensor:
        """Return the point forecast (B, S, N, C) for a batch of all series, both in the units of the data."""
        return self.loss.point(self.scaled(batch))

    def forecasting(self, series_at_once: int | None = None) -> Callable[[Batch], Tensor]:
        """Return a function from a batch to its point forecast, which uses partitions if a window is too large.

        Args:
            series_at_once: Number of series in a partition; by default as memory allows.
        """
        outputs = forecasting(
            self.scaled,
            self._n_series,
            tokens=tokens_per_window(self.model, self._n_series),
            tokens_at_once=self.config["training"]["tokens_at_once"],
            series_at_once=series_at_once,
        )
        return lambda batch: self.loss.point(outputs(batch))

    @float32_default()
    def forecasts(self, panel: Panel, origins: np.ndarray, series_at_once: int | None = None) -> np.ndarray:
        """Return point forecasts (n, S, N, C), in the units of the data.

        Args:
            panel: The series of training, in their order: see `SeriesInfo.align`.
            origins: (n,), the first target steps.
            series_at_once: Number of series in a partition; by default as memory allows.
        """
        windows = WindowDataset(panel, self.info.calendar, origins, self.reach, with_targets=False)
        forecast = self.forecasting(series_at_once)
        with torch.inference_mode():
            return torch.stack([forecast(windows[[i]])[0] for i in range(len(windows))]).cpu().numpy()

    def next_steps(self, panel: Panel, series_at_once: int | None = None) -> np.ndarray:
        """Return the point forecast (S, n, C) of the steps after a panel, in the order of its series.

        Args:
            panel: n of the series of training, in any order.
            series_at_once: Number of series in a partition; by default as memory allows.

        Raises:
            InputError: The panel has too few steps, or does not match the training data.
        """
        if panel.n_steps < self.reach.history:
            raise InputError(f"expected at least {self.reach.history} steps of history, got {panel.n_steps}")
        aligned = self.info.align(panel.last_steps(self.reach.history))
        (forecast,) = self.forecasts(aligned, np.array([aligned.n_steps]), series_at_once)  # (S, N, C)
        positions = {name: i for i, name in enumerate(self.info.series)}
        return forecast[:, [positions[name] for name in panel.series]]

    @float32_default()
    def scores(self, panel: Panel, origins: np.ndarray, series_at_once: int | None = None) -> MetricSums:
        """Return the sums of the errors of forecasts; arguments as in `forecasts`."""
        windows = WindowDataset(panel, self.info.calendar, origins, self.reach)
        return backtest_on_ranks(self.forecasting(series_at_once), windows, self.batch_size, self.mesh)

    def replaced(self, **changes: Any) -> TrainedModel:
        """Return a copy with changed fields."""
        return replace(self, **changes)

    @property
    def _n_series(self) -> int:
        return len(self.info.series)


def loss_for(model: str, loss: str) -> Loss:
    """Return a loss by its name in `TrainingConfig.loss`; the absolute error for a model that has one output."""
    return LOSSES[loss if has_outputs(model) else "absolute"]()


def new_model(name: str, options: Mapping[str, Any], reach: Reach, info: SeriesInfo, loss: Loss) -> nn.Module:
    """Build the model `name` of `elinformer.models.MODELS` for the series of `info`."""
    sizes = Sizes(
        window=reach.window,
        horizon=reach.horizon,
        n_series=len(info.series),
        n_channels=len(info.channels),
        n_lags=len(reach.lags),
        n_slots=info.n_slots,
        n_outputs=loss.n_outputs,
    )
    with float32_default():
        return build_model(name, sizes, options)


def tokens_per_window(model: nn.Module, n_series: int) -> int:
    """Return the number of tokens of a window: that of its series, unless the model has another number."""
    return getattr(model, "tokens_per_window", n_series)


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
