"""Forecaster: fit, predict, backtest, save and load on panels and data frames."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from elinformer import __version__
from elinformer.data.frames import long_frame
from elinformer.data.given import as_panel, described
from elinformer.data.windows import Reach, Split, chronological_split, part_origins, split_panel
from elinformer.errors import InputError
from elinformer.models.registry import check_model, whole_options
from elinformer.training import TrainingConfig
from elinformer.training.fitted import Fitted, new_model, train
from elinformer.training.new_series import STEPS, with_new_series
from elinformer.training.run_folder import agreeing_parts, forecaster_options, load_run
from elinformer.training.trained import Trained
from elinformer.training.unfinished import UnfinishedRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import pytorch_lightning as pl
    from rich.console import Console
    from torch import nn

    from elinformer.data.panel import Panel
    from elinformer.data.scaling import ScalePer
    from elinformer.data.series_info import SeriesInfo
    from elinformer.evaluation import MetricSums
    from elinformer.training.parallel.machines import Machines

Part = Literal["train", "validation", "test"]


class Forecaster(Trained):
    """Trains a model, an ELinFormer unless told, on a panel and forecasts with it.

    Args:
        window: Input steps.
        horizon: Output steps.
        lags: Seasons, in steps, whose values at the hours to forecast are read too: 168 for the same hours of last
            week in hourly data.
        split: Fractions of the steps for training, validation (which weights are kept) and test (`backtest`).
        scale_per: "series" scales every series by its own mean and deviation, "channel" all alike.
        model: A name of `elinformer.models.MODELS`, or options of a model's configuration other than the sizes, with
            its `name` among them unless it is an ELinFormer: `{"name": "stid", "n_layers": 2}`.
        training: How to train.

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
        self._panel: Panel | None = None

    def fit(
        self,
        data: Panel | Any,
        *,
        freq: str | None = None,
        console: Console | None = None,
        callbacks: Sequence[pl.Callback] = (),
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
        panel = as_panel(data, freq=freq)
        parts = self.parts(panel)
        if run is not None and not isinstance(run, UnfinishedRun):
            run = self.new_run(run, panel)
        self._fitted = train(
            panel,
            parts,
            self.reach,
            self._new_model,
            self.training,
            scale_per=self.scale_per,
            console=console,
            callbacks=callbacks,
            run=run,
            machines=machines,
        )
        self._panel = panel
        return self

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        data: Panel | Any,
        *,
        freq: str | None = None,
        console: Console | None = None,
        callbacks: Sequence[pl.Callback] = (),
        machines: Machines | None = None,
    ) -> Forecaster:
        """Go on with a `fit(data, run=folder)` that was killed, from its newest checkpoint; `save` finishes the run.

        It need not run on as many `machines` as before.

        Raises:
            InputError: The folder holds no unfinished run, or the data are not those it was begun with.
        """
        run, panel = UnfinishedRun.open(folder), as_panel(data, freq=freq)
        run.check_data(panel)
        with agreeing_parts(folder):
            forecaster = cls(**forecaster_options(run.config))
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
        return UnfinishedRun.new(folder, self._config(described(panel), source), overwrite=overwrite)

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
        fitted, given = self._trained(), self._given(data, freq)
        forecast = fitted.next_steps(given, series_at_once)  # (S, n, C)
        times = given.future_timestamps(self.reach.horizon)
        return long_frame(forecast, times, given.series, given.channels, self.model_name)

    def backtest(
        self,
        data: Panel | Any | None = None,
        *,
        part: Part | None = "test",
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
        fitted = self._trained()
        panel = fitted.info.align(self._given(data, freq))
        origins = part_origins(panel.n_steps, self.split, part, self.reach)
        return fitted.scores(panel, origins, series_at_once)

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
        given = self._given(data, freq)
        fitted = with_new_series(
            self._trained(), given, self._new_model, scale_per=self.scale_per, features=features, steps=steps
        )
        grown = copy.copy(self)
        vars(grown).update(_panel=given, _fitted=fitted)
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
        fitted = self._trained()
        added = {} if fitted.added is None else {"added": fitted.added}
        fitted.save(folder, self._config(fitted.data, source) | added, metrics)

    @classmethod
    def load(cls, folder: str | Path) -> Forecaster:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            InputError: The folder is not a whole run of this or an older version.
        """
        with agreeing_parts(folder):
            run = load_run(folder)
            forecaster = cls(**forecaster_options(run.config))
            forecaster._fitted = Fitted.of_run(run, forecaster.reach, forecaster._new_model, forecaster.training)
        return forecaster

    def parts(self, panel: Panel) -> Split:
        """The steps of training, validation and test; see `elinformer.data.windows.split_panel`."""
        return split_panel(panel, self.split, self.reach)

    def _config(self, data: Mapping[str, Any] | None, source: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            "version": __version__,
            "forecaster": {**asdict(self.reach), "split": self.split, "scale_per": self.scale_per},
            "model": {"name": self.model_name, "options": whole_options(self.model_name, self.model_options)},
            "training": asdict(self.training),
            "data": data,
            "source": source,
        }

    def _new_model(self, info: SeriesInfo) -> nn.Module:
        return new_model(self.model_name, self.model_options, self.reach, info)

    def _given(self, data: Panel | Any | None, freq: str | None) -> Panel:
        if data is not None:
            info = self.info
            return as_panel(data, freq=freq or info.freq, steps_per_day=info.steps_per_day)
        if self._panel is None:
            raise InputError(
                "expected data: a forecaster that was loaded has none of its own, so pass a panel or frame"
            )
        return self._panel
