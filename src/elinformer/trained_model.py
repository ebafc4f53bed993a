"""TrainedModel: a model with everything that its forecasts need. It loads, forecasts and scores without Lightning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elinformer._dtype import float32_default
from elinformer._memory import explained_memory
from elinformer.data.panel import data_description, time_from
from elinformer.data.reach import Reach
from elinformer.data.scaling import lowest_values
from elinformer.data.series_info import SeriesInfo
from elinformer.data.windows import WindowDataset
from elinformer.errors import InputError
from elinformer.evaluation import LOSSES, AbsoluteError
from elinformer.intervals import Calibration, calibrate, interpolated, scenarios
from elinformer.models import Sizes, build_model
from elinformer.models.ensemble import Ensemble, ScaledEnsemble, mean_outputs, n_members
from elinformer.models.registry import has_outputs
from elinformer.models.scaled import ScaledModel
from elinformer.models.stand_in import with_stand_in
from elinformer.models.stored import refuse_other_sizes
from elinformer.partition import forecasting
from elinformer.partition.ranks import Mesh, backtest_on_ranks
from elinformer.recursion import recursive_forecast
from elinformer.run_folder.folder import MODEL, REFIT, load_run, refuse_mismatched_files, save_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from elinformer.batch import Batch
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import Scaler
    from elinformer.evaluation import Loss, MetricSums
    from elinformer.intervals import Wanted


LEARNED_UNTIL = "learned_until"
"""Key of `TrainedModel.data`: the last time that fine-tuning learned from."""
LESS_MEMORY = "pass a small series_at_once to predict or backtest, or end other programs"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """Trained model with the scaler, the names and the calendar of training.

    Attributes:
        model: Module from a scaled batch to scaled outputs (B, S, N, C, K). It has not seen the test part.
        scaler: Mean and standard deviation (N, C) of the training steps.
        info: Names, frequency and calendar of the training data.
        reach: Window, horizon and lags.
        config: Options of forecaster, model and training, as in `config.json` of a run.
        loss: Meaning of the K outputs.
        data: Name and fingerprint of the training data; after fine-tuning also the last time that it learned from.
        added: Names and errors of the series that were added last: see docs/new_series.md.
        mesh: Ranks that score together.
        calibration: What the errors on the validation part say about quantiles and scenarios; None before `calibrated`.
        refitted: The model refitted on all data, for forecasts of what comes after them; None if there is none.
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
    calibration: Calibration | None = None
    refitted: nn.Module | None = None
    scaled: ScaledModel | ScaledEnsemble = field(init=False)

    def __post_init__(self) -> None:
        model = self.model
        scaled = ScaledEnsemble(model, self._scaled) if isinstance(model, Ensemble) else self._scaled(model)
        object.__setattr__(self, "scaled", scaled.eval().to(_device_of(model)))

    def _scaled(self, model: nn.Module) -> ScaledModel:
        scaler = self.scaler
        return ScaledModel(model, scaler.mean, scaler.std, self.loss.arrange, covariates=self.info.moments)

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
            name = config["model"]["name"]
            loss = loss_for(name, config["training"]["loss"])
            if not isinstance(config["training"]["tokens_at_once"], int):
                raise TypeError("tokens_at_once is no whole number")
            if not isinstance(forecaster["minimum"], float | int | None) and forecaster["minimum"] != "auto":
                raise TypeError("minimum is no number")
            info.check_scaler(run.scaler)

            def model_of(weights: dict[str, Tensor]) -> nn.Module:
                with refuse_other_sizes(weights):
                    model = new_model(name, config["model"]["options"], reach, info, loss, members=n_members(weights))
                model.load_state_dict(weights)
                return model

            model, refitted = model_of(run.weights), None if run.refitted is None else model_of(run.refitted)
            options = {name: config[name] for name in ("version", "forecaster", "model", "training")}
            shape = reach.horizon, len(info.series), len(info.channels)
            calibration = Calibration.from_tensors(run.calibration, loss.quantiles, *shape)
            data, added = config.get("data"), config.get("added")
            fixed = model, run.scaler, info, reach, options, loss, data, added
            return cls(*fixed, calibration=calibration, refitted=refitted)

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
            config={**self.config, "data": self.data, "source": source, **added, "weights": self.weights},
            panel=self.info.to_document(),
            weights=self.model.state_dict(),
            refitted=None if self.refitted is None else self.refitted.state_dict(),
            scaler=self.scaler,
            calibration=self._calibration.to_tensors(),
            metrics=metrics,
            interrupted=interrupted,
        )

    @property
    def latest(self) -> TrainedModel:
        """Model for forecasts of what comes after the data: the refitted one if there is one, else this one."""
        return self if self.refitted is None else self.replaced(model=self.refitted, refitted=None)

    @property
    def weights(self) -> dict[str, str]:
        """Files of a run with the weights of scores, and with those of forecasts."""
        return {"scores": MODEL, "forecasts": MODEL if self.refitted is None else REFIT}

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
        outputs = self._outputs(series_at_once)
        return lambda batch: self._raised(self.loss.point(outputs(batch)), batch)

    def quantiles(self, series_at_once: int | None = None, at: Sequence[float] = ()) -> Callable[[Batch], Tensor]:
        """Return a function from a batch to calibrated quantiles (B, S, N, C, K).

        Args:
            series_at_once: Number of series in a partition; by default as memory allows.
            at: The quantiles, numbers between 0 and 1; by default those of `loss.quantiles`.
        """
        uncalibrated, calibration = self._uncalibrated(series_at_once), self._calibration

        def forecast(batch: Batch) -> Tensor:
            outputs = calibration.apply(uncalibrated(batch))
            if at:
                outputs = torch.stack(interpolated(outputs, self.loss.quantiles, at), dim=-1)
            return self._raised(outputs, batch)

        return forecast

    def description_of(self, panel: Panel) -> dict[str, Any]:
        """Return the description of other data for `data`, with what fine-tuning has learned from."""
        learned = {key: value for key, value in (self.data or {}).items() if key == LEARNED_UNTIL}
        return data_description(panel) | learned

    def unseen(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """Return those of the first target steps (n,) that come after the rows that fine-tuning learned from.

        Raises:
            InputError: There are none.
        """
        until = (self.data or {}).get(LEARNED_UNTIL)
        if until is None or not len(origins):
            return origins
        later = origins[panel.timestamps[origins] > time_from(until, panel)]
        if not len(later):
            raise InputError(
                f"expected rows after {until} to score, because fine-tuning has learned from all rows up to it: pass "
                "later rows, or read the errors in `finetuning`, which are of rows that it had not seen"
            )
        return later

    @float32_default()
    def calibrated(self, panel: Panel, origins: np.ndarray, train_end: int | None = None) -> TrainedModel:
        """Return a copy whose quantiles are calibrated on windows, and whose minimum is known.

        Args:
            panel: The series of training, in their order.
            origins: (n,), the first target steps of the windows, in the order of time.
            train_end: Step after the last training step; None = the minimum stays as it is.
        """
        windows = WindowDataset(panel, self.info.calendar, origins, self.reach)
        if train_end is None:
            nonnegative = self._calibration.nonnegative
        else:
            nonnegative = torch.from_numpy(lowest_values(panel.values[:train_end], panel.mask[:train_end]) >= 0)
        found = calibrate(self._uncalibrated(), windows, self.batch_size, self.loss.quantiles, nonnegative)
        return self.replaced(calibration=found)

    def raised(self, forecast: np.ndarray, panel: Panel) -> np.ndarray:
        """Return a forecast (..., S, n, C) of the steps after a panel, at least as high as the minimum of each series.

        Args:
            forecast: Values in the units of the data.
            panel: n of the series of training.
        """
        recent = panel.last_steps(self.reach.history)
        values, mask = (torch.from_numpy(np.array(x)[None]) for x in (recent.values, recent.mask))
        lowest = self.lowest(values, mask, self._positions(panel))
        return np.maximum(forecast, lowest[0].numpy().astype(forecast.dtype))

    def lowest(self, values: Tensor, mask: Tensor, series: Sequence[int] | slice = slice(None)) -> Tensor:
        """Return the lowest values (B, N, C) that forecasts of windows (B, T, N, C) can have.

        Arguments are those of `Calibration.lowest`.
        """
        minimum = self.config["forecaster"]["minimum"]
        if minimum == "auto":
            return self._calibration.lowest(values, mask, series)
        return torch.full(values[:, 0].shape, -torch.inf if minimum is None else float(minimum))

    def lowest_of(self, batch: Batch) -> Tensor:
        """Return the lowest values (B, N, C) that the forecasts of a batch can have."""
        read = slice(len(self.reach.means), None)  # a mean that was moved to another level may be below all values
        return self.lowest(batch.values[:, read], batch.mask[:, read])

    @float32_default()
    def forecasts(self, panel: Panel, origins: np.ndarray, series_at_once: int | None = None) -> np.ndarray:
        """Return point forecasts (n, S, N, C), in the units of the data.

        Args:
            panel: The series of training, in their order: see `SeriesInfo.align`.
            origins: (n,), the first target steps.
            series_at_once: Number of series in a partition; by default as memory allows.
        """
        return self._apply(self.forecasting(series_at_once), panel, origins)

    def next_steps(self, panel: Panel, series_at_once: int | None = None, *, horizon: int | None = None) -> np.ndarray:
        """Return the point forecast (S, n, C) of the steps after a panel, in the order of its series.

        Args:
            panel: n of the series of training, in any order.
            series_at_once: Number of series in a partition; by default as memory allows.
            horizon: Number of steps; that of training by default.

        Raises:
            InputError: The panel has too few steps, or does not match the training data.
        """
        if horizon is None or horizon == self.reach.horizon:
            return self._next(self.forecasting(series_at_once), panel)
        aligned = self.info.align(panel.last_steps(self.reach.usable_history))
        (steps,) = self.long_forecasts(aligned, np.array([aligned.n_steps]), horizon, series_at_once)  # (S, N, C)
        return steps[:, self._positions(panel)]

    def quantile_forecasts(
        self, panel: Panel, origins: np.ndarray, series_at_once: int | None = None, at: Sequence[float] = ()
    ) -> np.ndarray:
        """Return calibrated quantiles (n, S, N, C, K); arguments as in `forecasts` and `quantiles`."""
        return self._apply(self.quantiles(series_at_once, at), panel, origins)

    def columns(self, panel: Panel, origins: np.ndarray, wanted: Wanted) -> dict[str, np.ndarray]:
        """Return forecasts (n, S, N, C) by the ends of their names: "" for the point forecast; see `forecasts`."""
        columns = {"": self.forecasts(panel, origins)}
        if wanted.quantiles:
            outputs = self.quantile_forecasts(panel, origins, at=wanted.quantiles)
            columns |= {suffix: outputs[..., k] for k, suffix in enumerate(wanted.suffixes)}
        return columns

    def next_quantiles(self, panel: Panel, series_at_once: int | None = None) -> np.ndarray:
        """Return the quantiles (S, n, C, K) of the steps after a panel: see `next_steps`."""
        return self._next(self.quantiles(series_at_once), panel)

    def scenarios(self, outputs: np.ndarray, panel: Panel, n: int, seed: int = 0) -> np.ndarray:
        """Return joint scenarios (n, S, N, C) of quantiles: see `elinformer.intervals.scenarios`.

        Args:
            outputs: (S, N, C, K), the `next_quantiles` of a panel.
            panel: The panel, N of the series of training.
            n: Number of scenarios.
            seed: Seed of the draw.
        """
        ranks = self._calibration.ranks.numpy()[:, :, self._positions(panel)]
        return self.raised(scenarios(outputs, self.loss.quantiles, ranks, n, seed), panel)

    @float32_default()
    def _apply(self, forecast: Callable[[Batch], Tensor], panel: Panel, origins: np.ndarray) -> np.ndarray:
        windows = WindowDataset(panel, self.info.calendar, origins, self.reach, with_targets=False)
        with torch.inference_mode(), explained_memory("the forecasts", LESS_MEMORY):
            return torch.stack([forecast(windows[[i]])[0] for i in range(len(windows))]).cpu().numpy()

    @float32_default()
    def _next(self, forecast: Callable[[Batch], Tensor], panel: Panel) -> np.ndarray:
        if panel.n_steps < self.reach.window:
            raise InputError(f"expected at least {self.reach.window} steps of history, got {panel.n_steps}")
        aligned = self.info.align(panel.last_steps(self.reach.usable_history))
        (steps,) = self._apply(forecast, aligned, np.array([aligned.n_steps]))  # (S, N, C) or (S, N, C, K)
        return steps[:, self._positions(panel)]

    def _positions(self, panel: Panel) -> list[int]:
        positions = {name: i for i, name in enumerate(self.info.series)}
        return [positions[name] for name in panel.series]

    def long_forecasts(
        self, panel: Panel, origins: np.ndarray, horizon: int, series_at_once: int | None = None
    ) -> np.ndarray:
        """Return point forecasts (n, horizon, N, C) of any number of steps; arguments as in `forecasts`.

        Behind its own horizon, the model reads its own forecasts as if they were observed.
        """
        if horizon <= self.reach.horizon:
            return self.forecasts(panel, origins, series_at_once)[:, :horizon]

        def next_steps(known: Panel) -> np.ndarray:
            return self.forecasts(known, np.array([known.n_steps]), series_at_once)[0]

        history = self.reach.usable_history
        known = (panel.select(steps=slice(int(origin))) for origin in origins)
        return np.stack([recursive_forecast(next_steps, each, history, horizon) for each in known])

    @float32_default()
    def scores(self, panel: Panel, origins: np.ndarray, series_at_once: int | None = None) -> MetricSums:
        """Return the sums of the errors of forecasts, and of the scores of quantiles once they are calibrated.

        Arguments are those of `forecasts`.
        """
        windows = WindowDataset(panel, self.info.calendar, origins, self.reach)
        with explained_memory("the forecasts", LESS_MEMORY):
            if self.calibration is None:
                return backtest_on_ranks(self.forecasting(series_at_once), windows, self.batch_size, self.mesh)
            forecast, quantiles = self.quantiles(series_at_once), self.loss.quantiles
            return backtest_on_ranks(forecast, windows, self.batch_size, self.mesh, quantiles=quantiles)

    def copied_into(self, model: nn.Module, member: int = 0) -> nn.Module:
        """Copy the weights, or those of a member, into another model of the same kind and sizes, and return it.

        Raises:
            InputError: The model has other weights.
        """
        try:
            source = self.model.members[member] if isinstance(self.model, Ensemble) else self.model
            model.load_state_dict(source.state_dict())
        except RuntimeError as error:
            raise InputError(
                "expected to start from a model with the same series and options, got one with other weights: leave it "
                "out to train from scratch"
            ) from error
        return model

    def replaced(self, **changes: Any) -> TrainedModel:
        """Return a copy with changed fields."""
        return replace(self, **changes)

    @property
    def _calibration(self) -> Calibration:
        if self.calibration is None:
            raise AssertionError("a model is calibrated before its quantiles are used")
        return self.calibration

    def _raised(self, forecast: Tensor, batch: Batch) -> Tensor:
        """Return a forecast (B, S, N, C) or quantiles (B, S, N, C, K), at least as high as the minimum."""
        if self.calibration is None:
            return forecast
        lowest = self.lowest_of(batch).to(forecast)[:, None]
        return torch.maximum(forecast, lowest if forecast.ndim == lowest.ndim else lowest[..., None])

    def _outputs(self, series_at_once: int | None = None) -> Callable[[Batch], Tensor]:
        """Return a function from a batch to the outputs (B, S, N, C, K) of the model in the units of the data."""
        parts = self.scaled.parts if isinstance(self.scaled, ScaledEnsemble) else [self.scaled]
        sizes: dict[str, Any] = {
            "tokens": tokens_per_window(self.model, self._n_series),
            "tokens_at_once": self.config["training"]["tokens_at_once"],
            "series_at_once": series_at_once,
        }
        outputs = [forecasting(part, self._n_series, **sizes) for part in parts]
        combined = outputs[0] if len(outputs) == 1 else lambda batch: mean_outputs(each(batch) for each in outputs)
        return lambda batch: combined(self.completed(batch))

    def completed(self, batch: Batch) -> Batch:
        """Return a batch in which the other series stand in for those that were added without any history."""
        if self._unseen is None:
            return batch
        return with_stand_in(batch, self._unseen, *(x.to(batch.values) for x in (self.scaled.mean, self.scaled.std)))

    @cached_property
    def _unseen(self) -> Tensor | None:
        """Numbers of the series (n,) that were added without any history; None if there are none."""
        added = self.added or {}
        if not added or added["mae"] is not None:
            return None
        numbers = {name: i for i, name in enumerate(self.info.series)}
        return torch.tensor([numbers[name] for name in added["series"]])

    def _uncalibrated(self, series_at_once: int | None = None) -> Callable[[Batch], Tensor]:
        outputs = self._outputs(series_at_once)
        return lambda batch: self.loss.spread(outputs(batch), self.scaled.std)

    @property
    def _n_series(self) -> int:
        return len(self.info.series)


def loss_for(model: str, loss: str) -> Loss:
    """Return a loss by its name in `TrainingConfig.loss`; the absolute error for a model that has one output."""
    return LOSSES[loss if has_outputs(model) else "absolute"]()


def new_model(
    name: str, options: Mapping[str, Any], reach: Reach, info: SeriesInfo, loss: Loss, *, members: int = 0
) -> nn.Module:
    """Build the model `name` of `elinformer.models.MODELS` for the series of `info`; an ensemble for `members` > 0."""
    if members:
        return Ensemble([new_model(name, options, reach, info, loss) for _ in range(members)])
    sizes = Sizes(
        window=reach.window,
        horizon=reach.horizon,
        n_series=len(info.series),
        n_channels=len(info.channels),
        n_lags=len(reach.lags),
        n_means=reach.n_means,
        n_slots=info.n_slots,
        n_seasons=info.n_seasons,
        n_outputs=loss.n_outputs,
        **info.n_covariates,
    )
    with float32_default():
        return build_model(name, sizes, options)


def tokens_per_window(model: nn.Module, n_series: int) -> int:
    """Return the number of tokens of a window: that of its series, unless the model has another number."""
    return getattr(model, "tokens_per_window", None) or n_series


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
