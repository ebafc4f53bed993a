"""Forecaster: fit, predict, backtest, save and load on panels and data frames."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from elinformer import __version__
from elinformer.data.io.frames import as_panel, long_frame
from elinformer.data.panel import data_description
from elinformer.data.series_info import SeriesInfo
from elinformer.data.windows import PartName, Reach, SplitPanel, chronological_split, part_origins
from elinformer.errors import InputError
from elinformer.evaluation import AbsoluteError
from elinformer.models.registry import check_model, whole_options
from elinformer.new_series import STEPS, with_new_series
from elinformer.run_folder.folder import UnfinishedRun, refuse_mismatched_files
from elinformer.trained_model import TrainedModel, new_model
from elinformer.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from rich.console import Console

    from elinformer.data.panel import Panel
    from elinformer.data.scaling import ScalePer
    from elinformer.evaluation import MetricSums
    from elinformer.training import FitResult
    from elinformer.training.callbacks import Callback
    from elinformer.training.ranks.machines import Machines


class Forecaster:
    """Trains a model on a panel and forecasts with it.

    Args:
        window: Input steps.
        horizon: Output steps.
        lags: Seasons, in steps, whose values at the hours to forecast are read too: 168 for the same hours of last
            week in hourly data.
        split: Fractions of the steps for training, validation (it chooses the weights) and test (`backtest`).
        scale_per: "series" scales every series by its own mean and deviation, "channel" all alike.
        model: A name of `elinformer.models.MODELS`, or options of a model's configuration other than the sizes, with
            its `name` among them unless it is an ELinFormer: `{"name": "stid", "n_layers": 2}`.
        training: Options of training.

    docs/quickstart.md shows it at work.
    """

    def __init__(
        self,
        window: int = 12,
        horizon: int = 12,
        *,
        lags: Sequence[int] = (),
        split: Sequence[float] = (0.6, 0.2, 0.2),
        scale_per: ScalePer = "series",
        model: str | Mapping[str, Any] | None = None,
        training: TrainingConfig | None = None,
    ) -> None:
        if scale_per not in {"series", "channel"}:
            raise InputError(f"expected scale_per to be series or channel, got {scale_per!r}")
        chronological_split(1, split)
        self.reach = Reach(window, horizon, tuple(lags))
        self.split = tuple(split)
        self.scale_per: ScalePer = scale_per
        options = {"name": model} if isinstance(model, str) else dict(model or {})
        self.model_name, self.model_options = options.pop("name", "elinformer"), options
        check_model(self.model_name, options)
        self.training = training or TrainingConfig()
        self.loss = AbsoluteError()
        self._trained: TrainedModel | None = None
        self._result: FitResult | None = None
        self._data: SplitPanel | None = None
        self._given: Panel | None = None

    def fit(
        self,
        data: Panel | Any,
        *,
        freq: str | None = None,
        console: Console | None = None,
        callbacks: Sequence[Callback] = (),
        run: str | Path | UnfinishedRun | None = None,
        machines: Machines | None = None,
    ) -> Forecaster:
        """Train on the first part of the steps, and keep the weights that do best on the second.

        Args:
            data: A panel, or an eager data frame, long (`unique_id, ds, y`) or wide (time first).
            freq: The step of a data frame; told from its times by default.
            console: Where the progress bar goes; standard error by default.
            callbacks: Others of Lightning's that watch the training.
            run: A folder that is written from the first step on, with checkpoints: where training is killed,
                `Forecaster.resume(run, data)` goes on with it, and ends with the same weights.
            machines: On how many devices, each a process that calls this: see docs/scale.md.

        Raises:
            InputError: The data are too short for window and horizon, or are no panel; the folder holds a run.
        """
        from elinformer.training.fit import train

        panel = as_panel(data, freq=freq)
        split = self.split_panel(panel)
        if run is not None and not isinstance(run, UnfinishedRun):
            run = self.new_run(run, panel)
        info = SeriesInfo.of(panel, split.origins("train") - 1)
        scaler = split.scaler(self.scale_per)
        trained = train(
            split,
            info.calendar,
            lambda: new_model(self.model_name, self.model_options, self.reach, info, self.loss),
            self.training,
            scaler=scaler,
            loss=self.loss,
            console=console,
            callbacks=callbacks,
            run=run,
            machines=machines,
        )
        known = data_description(panel) if run is None else run.config.get("data")
        self._trained = TrainedModel(
            trained.model, scaler, info, self.reach, self._config, self.loss, data=known, mesh=trained.mesh
        )
        self._result, self._data, self._given = trained.result, split, panel
        return self

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        data: Panel | Any,
        *,
        freq: str | None = None,
        console: Console | None = None,
        callbacks: Sequence[Callback] = (),
        machines: Machines | None = None,
    ) -> Forecaster:
        """Go on with a `fit(data, run=folder)` that was killed, from its newest checkpoint; `save` finishes the run.

        It need not run on as many `machines` as before.

        Raises:
            InputError: The folder holds no unfinished run, or the data are not those it was begun with.
        """
        run, panel = UnfinishedRun.open(folder), as_panel(data, freq=freq)
        run.check_data(panel)
        with refuse_mismatched_files(folder):
            forecaster = cls._of(run.config)
        return forecaster.fit(panel, console=console, callbacks=callbacks, run=run, machines=machines)

    def new_run(
        self, folder: str | Path, panel: Panel, *, source: Mapping[str, Any] | None = None, overwrite: bool = False
    ) -> UnfinishedRun:
        """What `fit` needs to write the run `folder` with more to it than a name.

        Args:
            folder: Written when training begins.
            panel: What will be trained on.
            source: Where the data are and how they were read, so that `elinformer train --resume` finds them.
            overwrite: Whether a run that stands there is replaced.

        Raises:
            InputError: The folder may not be written to.
        """
        config = {**self._config, "data": data_description(panel), "source": source}
        return UnfinishedRun.new(folder, config, overwrite=overwrite)

    def predict(
        self, data: Panel | Any | None = None, *, freq: str | None = None, series_at_once: int | None = None
    ) -> pd.DataFrame:
        """Forecast the `horizon` steps after the last one.

        Args:
            data: Recent history with series of training, in any order; the data of `fit` by default. A series
                of training that is absent counts as not observed and is not forecast.
            freq: The step of a data frame; that of training by default.
            series_at_once: Series that are computed together, for what memory holds; the forecast is the same. All of
                them by default, as long as a window is no more than four times `tokens_at_once` of the training
                options.

        Returns:
            A long frame: `unique_id`, `ds` and the name of the model (`elinformer_<channel>` with several channels).
        """
        trained, given = self.trained, self._panel_of(data, freq)
        forecast = trained.next_steps(given, series_at_once)  # (S, n, C)
        times = given.future_timestamps(self.reach.horizon)
        return long_frame(forecast, times, given.series, given.channels, self.model_name)

    def backtest(
        self,
        data: Panel | Any | None = None,
        *,
        part: PartName | None = "test",
        freq: str | None = None,
        series_at_once: int | None = None,
    ) -> MetricSums:
        """Score the forecasts of all windows of a part.

        Args:
            data: A panel or frame with the series of training; the data of `fit` by default.
            part: Which part of the split, or None for all windows of `data`.
            freq: The step of a data frame; that of training by default.
            series_at_once: As in `predict`.

        Raises:
            InputError: No window fits into the part.
        """
        panel = self.info.align(self._panel_of(data, freq))
        origins = part_origins(panel.n_steps, self.split, part, self.reach)
        return self.trained.scores(panel, origins, series_at_once)

    def add_series(
        self, data: Panel | Any, *, freq: str | None = None, features: Any | None = None, steps: int = STEPS
    ) -> Forecaster:
        """A forecaster that knows further series too, without training again; this one is left as it is.

        Embeddings of the new series are found by their history, and those of all others and all weights stay. The
        last fifth of the history says first what that is worth: see `added`.

        Args:
            data: History of the new series and of those of training; all of it is learnt from.
            freq: The step of a data frame; that of training by default.
            features: A frame with `unique_id` and columns of numbers that are known of every series of `data`;
                locations of a panel are used as well.
            steps: How long embeddings are looked for, in steps of 16 windows; twice that in all.

        Raises:
            InputError: No new series, less than a day of one, or a model that has to be trained again.
        """
        given = self._panel_of(data, freq)
        trained = with_new_series(
            self.trained, given, scale_per=self.scale_per, features=features, steps=steps, seed=self.training.seed
        )
        grown = copy.copy(self)
        vars(grown).update(_trained=trained, _result=None, _data=None, _given=given)
        return grown

    def save(
        self,
        folder: str | Path,
        *,
        metrics: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the model, its options and names as safetensors and JSON, whole or not at all.

        Of several ranks, the first writes.

        Args:
            folder: A run that stands there is replaced; that of `fit` is finished.
            metrics: What it scored, for `metrics.json`.
            source: Where the data are and how they were read, so that `elinformer evaluate` finds them.
        """
        interrupted = self._result is not None and self._result.interrupted
        self.trained.save(folder, metrics=metrics, source=source, interrupted=interrupted)

    @classmethod
    def load(cls, folder: str | Path) -> Forecaster:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            InputError: The folder is not a whole run of this or an older version.
        """
        trained = TrainedModel.load(folder)
        with refuse_mismatched_files(folder):
            forecaster = cls._of(trained.config)
        vars(forecaster)["_trained"] = trained
        return forecaster

    @property
    def trained(self) -> TrainedModel:
        """The trained model.

        Raises:
            InputError: Nothing was trained or loaded yet.
        """
        if self._trained is None:
            raise InputError("expected a trained forecaster: call fit(...) first, or Forecaster.load(...)")
        return self._trained

    @property
    def info(self) -> SeriesInfo:
        """Names, step and calendar of training."""
        return self.trained.info

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters of the model."""
        return self.trained.n_parameters

    @property
    def fit_result(self) -> FitResult:
        """Course of the training.

        Raises:
            InputError: The forecaster was loaded.
        """
        if self._result is None:
            raise InputError("expected a forecaster that was fitted here, got one that was loaded")
        return self._result

    @property
    def added(self) -> Mapping[str, Any] | None:
        """The series that were added last, and their errors: see docs/new_series.md."""
        return self.trained.added

    def forecasts(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """Return point forecasts (n, S, N, C) with the first target steps `origins` (n,) of a panel like training's."""
        return self.trained.forecasts(self.info.align(panel), origins)

    def split_panel(self, panel: Panel) -> SplitPanel:
        """Return the panel with its split and the moments of its training steps; those of `fit` are kept.

        Raises:
            InputError: Training or validation has no window, or nothing observed.
        """
        if self._data is not None and self._data.panel is panel:
            return self._data
        return SplitPanel.of(panel, self.split, self.reach)

    @property
    def _config(self) -> dict[str, Any]:
        """Options as `config.json` of a run holds them."""
        return {
            "version": __version__,
            "forecaster": {**asdict(self.reach), "split": self.split, "scale_per": self.scale_per},
            "model": {"name": self.model_name, "options": whole_options(self.model_name, self.model_options)},
            "training": asdict(self.training),
        }

    @classmethod
    def _of(cls, config: Mapping[str, Any]) -> Forecaster:
        """Make a forecaster that is not trained yet from its `_config`."""
        model = {"name": config["model"]["name"], **config["model"]["options"]}
        return cls(**config["forecaster"], model=model, training=TrainingConfig(**config["training"]))

    def _panel_of(self, data: Panel | Any | None, freq: str | None) -> Panel:
        if data is not None:
            info = self.info
            return as_panel(data, freq=freq or info.freq, steps_per_day=info.steps_per_day)
        if self._given is None:
            raise InputError(
                "expected data: a forecaster that was loaded has none of its own, so pass a panel or frame"
            )
        return self._given
