"""Forecaster: it trains a model on a panel or a data frame, and forecasts, scores, saves and loads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from elinformer import __version__
from elinformer._arguments import explain_arguments
from elinformer._console import plain_console
from elinformer._memory import explained_memory
from elinformer._process import is_first_process
from elinformer.backtests import Backtest, place_of, sums_of
from elinformer.cross_validation import RollingOrigin, cross_validate
from elinformer.data.appending import append
from elinformer.data.covariates import LEVEL
from elinformer.data.defaults import choose_reach
from elinformer.data.io.ahead import check_known_ahead, with_future
from elinformer.data.io.frames import as_panel, long_frame
from elinformer.data.io.output import in_form
from elinformer.data.io.static import static_covariates
from elinformer.data.options import TaskOptions
from elinformer.data.panel import Panel, data_description
from elinformer.data.reach import PartName, chronological_split, part_origins, window_origins
from elinformer.data.roles import Roles
from elinformer.data.series_info import SeriesInfo
from elinformer.data.windows import SplitPanel
from elinformer.errors import InputError
from elinformer.finetuning import STEPS as FINETUNING_STEPS
from elinformer.finetuning import FineTuning, finetuned
from elinformer.gaps import anomaly_frame, fill, unusual
from elinformer.intervals import wanted_quantiles
from elinformer.models.registry import check_model, scales_windows, uses_lags, whole_options
from elinformer.new_series import STEPS, with_new_series
from elinformer.run_folder.folder import FINISHED, UnfinishedRun, check_writable, refuse_mismatched_files, run_state
from elinformer.trained_model import TrainedModel, loss_for, new_model
from elinformer.training.config import TrainingConfig
from elinformer.tuning import DEFAULT_SPACE, Tuning, tune

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console
    from torch import nn

    from elinformer.data.defaults import Auto, ChosenReach
    from elinformer.data.reach import Reach
    from elinformer.data.scaling import ScalePer
    from elinformer.data.steps import Freq
    from elinformer.training import FitResult
    from elinformer.training.callbacks import Callback
    from elinformer.training.ranks.machines import Machines
    from elinformer.tuning import Report, Space

MAX_RECURSIVE_WINDOWS = 256
"""Windows at most of a backtest with a longer horizon than that of training."""


LESS_MEMORY = (
    "lower tokens_at_once (now {tokens_at_once}) or batch_size (now {batch_size}) of the training options, set "
    "series_at_once, or choose a smaller model"
)


class Forecaster:
    """Model with its training options, for panels and data frames; docs/quickstart.md is an introduction.

    Args:
        window: T, number of input steps; "auto" = two horizons, at least 12 steps.
        horizon: S, number of output steps.
        lags: Seasons, in steps. The model also reads the values one season before the steps to forecast. In hourly
            data, 168 is the same hour of last week. "auto" = the seasons of the step that the training part confirms:
            see `elinformer.data.defaults`.
        split: Fractions of the steps for training, validation (which selects the weights) and test.
        scale_per: "series" scales every series by its own mean and standard deviation. "channel" uses one mean and one
            standard deviation for all series of a channel.
        minimum: Number that no forecast, quantile or scenario is below. "auto" = 0 for a series whose training values
            are never negative, unless its window has a negative value; None = no minimum.
        model: A name of `elinformer.models.MODELS`, or a dict with the options of a model and its `name`:
            `{"name": "stid", "n_layers": 2}`. Without a name, the model is "elinformer".
        training: Options of training, or a dict of those that differ from the defaults: `{"epochs": 10}`.

    Raises:
        InputError: An option does not exist, or has a value that cannot be used.

    Example:
        >>> import numpy as np
        >>> from elinformer import Panel
        >>> waves = np.sin(np.arange(240)[:, None] / 4 + np.arange(3))  # 240 hours of three series
        >>> panel = Panel.from_arrays(waves, start="2024-01-01", freq="1h", series=["a", "b", "c"])
        >>> forecaster = Forecaster(window=12, horizon=2, model="dlinear", training=TrainingConfig(epochs=1))
        >>> forecaster.fit(panel).predict()[["unique_id", "ds"]].head(3)
          unique_id                  ds
        0         a 2024-01-11 00:00:00
        1         a 2024-01-11 01:00:00
        2         b 2024-01-11 00:00:00
        >>> forecaster.backtest().scores().count  # 47 windows of 2 steps of 3 series
        282
    """

    @explain_arguments
    def __init__(
        self,
        window: int | Auto = "auto",
        horizon: int = 12,
        *,
        lags: Sequence[int] | Auto = "auto",
        split: Sequence[float] = (0.6, 0.2, 0.2),
        scale_per: ScalePer = "series",
        minimum: float | Literal["auto"] | None = "auto",
        model: str | Mapping[str, Any] | None = None,
        training: TrainingConfig | Mapping[str, Any] | None = None,
    ) -> None:
        given: tuple[Any, ...] = (window, horizon, lags, split, scale_per, minimum)
        self._steps = TaskOptions(*given)
        self._reach = self._steps.reach
        self.split: tuple[float, ...] = self._steps.split
        self.scale_per: ScalePer = self._steps.scale_per
        self.minimum = self._steps.minimum
        options = {"name": model} if isinstance(model, str) else _table("model", model or {})
        self.model_name, self.model_options = options.pop("name", "elinformer"), options
        check_model(self.model_name, options)
        self.training = (
            training if isinstance(training, TrainingConfig) else TrainingConfig.of(_table("training", training or {}))
        )
        self.loss = loss_for(self.model_name, self.training.loss)
        self._trained: TrainedModel | None = None
        self._result: FitResult | None = None
        self._split_panel: SplitPanel | None = None
        self._panel: Panel | None = None
        self.finetuning: FineTuning | None = None
        self.tuning: Tuning | None = None

    def __repr__(self) -> str:
        lags = f", lags={list(self.reach.lags)}" if self.reach.lags else ""
        options = f"window={self.reach.window}, horizon={self.reach.horizon}{lags}, model={self.model_name!r}"
        if self._trained is None:
            return f"Forecaster({options}, not trained)"
        info = self.info
        channels = f" of {len(info.channels)} channels" if len(info.channels) > 1 else ""
        return (
            f"Forecaster({options}, trained on {len(info.series)} series{channels} of {info.name!r}, "
            f"{info.freq or 'no frequency'}, {self.n_parameters:,} parameters)"
        )

    @explain_arguments
    def fit(
        self,
        data: Panel | Any,
        *,
        freq: Freq | None = None,
        console: Console | None = None,
        callbacks: Sequence[Callback] = (),
        run: str | Path | UnfinishedRun | None = None,
        machines: Machines | None = None,
        start: TrainedModel | None = None,
        futr_exog_list: Sequence[str] = (),
        hist_exog_list: Sequence[str] = (),
        stat_exog_list: Sequence[str] | None = None,
        static_df: Any | None = None,
    ) -> Forecaster:
        """Train on the training steps, and keep the weights with the lowest validation error.

        Args:
            data: A panel, or an eager data frame, long (`unique_id, ds, y`) or wide (time first).
            freq: Time between the steps of a data frame, as pandas, polars or the Nixtla libraries write it (1 with
                step numbers); by default inferred from its times.
            console: Console of the progress bar; standard error by default.
            callbacks: Callbacks of Lightning.
            run: Folder of a run, written from the first step on, with checkpoints. If training is killed,
                `Forecaster.resume(run, data)` resumes it and ends with the same weights.
            machines: Number of devices. Each is a process that calls this method: see docs/scale.md.
            start: Model of the same series and options that training starts from; random weights by default.
            futr_exog_list: Columns that are known over the horizon too: see docs/covariates.md. Rows after the last `y`
                tell them ahead.
            hist_exog_list: Columns that are known up to the present.
            stat_exog_list: Columns of `static_df` to use; all by default.
            static_df: Frame with `unique_id` and numbers or categories, one row a series.

        Returns:
            This forecaster.

        Raises:
            InputError: The data cannot be used, are too short for window and horizon, or the folder holds a run.
        """
        from elinformer.training.fit import train

        roles = _roles(futr_exog_list, hist_exog_list, stat_exog_list, static_df)
        panel = as_panel(data, freq=freq, roles=roles)
        self._reach, why = self._chosen_reach(panel)
        check_writable(self._config)
        split_panel = self.split_panel(panel)
        if run is not None and not isinstance(run, UnfinishedRun):
            run = self.new_run(run, panel)
        info = SeriesInfo.of(panel, split_panel.origins("train") - 1)
        scaler = split_panel.scaler(self.scale_per, by_window=scales_windows(self.model_name))

        def new_weights() -> nn.Module:
            model = self._new_model(info, why, console)
            return model if start is None else start.copied_into(model)

        with explained_memory("the training", LESS_MEMORY.format(**vars(self.training))):
            trained = train(
                split_panel,
                info,
                new_weights,
                self.training,
                scaler=scaler,
                loss=self.loss,
                is_trained=start is not None,
                console=console,
                callbacks=callbacks,
                run=run,
                machines=machines,
            )
        data_document = data_description(panel) if run is None else run.config.get("data")
        self._trained = TrainedModel(
            trained.model, scaler, info, self.reach, self._config, self.loss, data=data_document, mesh=trained.mesh
        ).calibrated(panel, split_panel.origins("validation"), split_panel.split.train[1])
        self._result, self._split_panel, self._panel = trained.result, split_panel, panel
        return self

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        data: Panel | Any,
        *,
        freq: Freq | None = None,
        console: Console | None = None,
        callbacks: Sequence[Callback] = (),
        machines: Machines | None = None,
        start: TrainedModel | None = None,
        futr_exog_list: Sequence[str] = (),
        hist_exog_list: Sequence[str] = (),
        stat_exog_list: Sequence[str] | None = None,
        static_df: Any | None = None,
    ) -> Forecaster:
        """Resume a `fit(data, run=folder)` that was killed, from its newest checkpoint. `save` finishes the run.

        Args:
            folder: Folder of the unfinished run.
            data: The data that the run started with.
            freq: Time between the steps of a data frame; by default inferred from its times.
            console: Console of the progress bar; standard error by default.
            callbacks: Callbacks of Lightning.
            machines: Number of devices. It can differ from that of the killed training.
            start: Model that the killed training started from; it is used if there is no checkpoint yet.
            futr_exog_list: See `fit`.
            hist_exog_list: See `fit`.
            stat_exog_list: See `fit`.
            static_df: See `fit`.

        Raises:
            InputError: The folder holds no unfinished run, or the data differ from those that it started with.
        """
        roles = _roles(futr_exog_list, hist_exog_list, stat_exog_list, static_df)
        run, panel = UnfinishedRun.open(folder), as_panel(data, freq=freq, roles=roles)
        run.check_data(panel)
        with refuse_mismatched_files(folder):
            forecaster = cls._from_config(run.config)
        return forecaster.fit(panel, console=console, callbacks=callbacks, run=run, machines=machines, start=start)

    def new_run(
        self, folder: str | Path, panel: Panel, *, source: Mapping[str, Any] | None = None, overwrite: bool = False
    ) -> UnfinishedRun:
        """Return a new run for `fit(run=...)`.

        Args:
            folder: Folder of the run. It is written when training starts.
            panel: Data for training.
            source: Address of the data, and the options that they were read with, for `elinformer train --resume`.
            overwrite: True replaces a run in this folder.

        Raises:
            InputError: The folder cannot be written to.
        """
        self._reach = self._chosen_reach(panel).reach
        config = {**self._config, "data": data_description(panel), "source": source}
        return UnfinishedRun.new(folder, config, overwrite=overwrite)

    @explain_arguments
    def predict(
        self,
        data: Panel | Any | None = None,
        *,
        horizon: int | None = None,
        recursive: bool = False,
        futr_df: Any | None = None,
        static_df: Any | None = None,
        level: Sequence[float] | float | None = None,
        quantiles: Sequence[float] | float | None = None,
        scenarios: int | None = None,
        seed: int = 0,
        freq: Freq | None = None,
        series_at_once: int | None = None,
    ) -> pd.DataFrame:
        """Forecast the `horizon` steps after the end of the data. The point forecast is the median.

        docs/intervals.md tells how intervals and scenarios are made, and how good they are.

        Args:
            data: Recent history of series of training, in any order; the data of `fit` by default. A series of
                training that is missing counts as not observed, and is not forecast.
            horizon: Number of steps; that of training by default.
            recursive: True allows more steps than the model was trained for: it then reads its own forecasts. Their
                errors add up; `backtest(horizon=..., recursive=True)` measures them.
            futr_df: Frame with `unique_id`, `ds` and the future covariates of the steps to forecast; without
                `unique_id`, all series share them. It is not needed if the data go on with them.
            static_df: Frame with static covariates, if they differ from those of training.
            level: Levels of intervals in percent: 80 adds `elinformer-lo-80` and `elinformer-hi-80`.
            quantiles: Numbers between 0 and 1, instead of levels: 0.1 adds `elinformer-q-10`.
            scenarios: Number of joint scenarios: paths that hang together across series and steps, so that sums,
                maxima and differences have intervals too. They add `elinformer-scenario-1` and so on.
            seed: Seed of the scenarios.
            freq: Time between the steps of a data frame; that of training by default.
            series_at_once: Number of series in a partition: it limits the memory, and does not change the forecast. By
                default all series are computed together, if a window has at most four times the `tokens_at_once` of the
                training options.

        Returns:
            A long frame of the library of the data, with their types of names and times: `unique_id`, `ds` (or what
            these columns are called in the data) and the name of the model (`elinformer_<channel>` with several
            channels).

        Raises:
            InputError: The history is too short, or does not match the training data; or the horizon, a level, a
                quantile or the number of scenarios cannot be used.
        """
        wanted = wanted_quantiles(level, quantiles)
        n_scenarios = _checked_scenarios(scenarios, seed)
        trained, n_steps = self.trained, self._checked_horizon(horizon, recursive)
        panel = self._known_ahead(self._as_panel(data, freq, static_df), futr_df, max(n_steps, self.reach.horizon))
        if not wanted.quantiles and not n_scenarios:
            columns = {"": trained.next_steps(panel, series_at_once, horizon=n_steps)}  # (S, n, C)
        elif n_steps > self.reach.horizon:
            raise InputError(
                f"expected at most {self.reach.horizon} steps with levels, quantiles or scenarios, got {n_steps}: "
                "leave them out, because the errors of forecasts from forecasts were not measured"
            )
        else:
            outputs = trained.next_quantiles(panel, series_at_once)  # (S, n, C, K)
            paths = trained.scenarios(outputs, panel, n_scenarios, seed)
            between = wanted.columns(outputs, trained.loss.quantiles)
            columns = {
                "": outputs[..., len(trained.loss.quantiles) // 2],
                **{name: trained.raised(values, panel) for name, values in between.items()},
                **{f"-scenario-{i}": path for i, path in enumerate(paths, 1)},
            }
        times, columns = panel.future_timestamps(n_steps), {name: x[:n_steps] for name, x in columns.items()}
        frame = long_frame(columns, times, panel.series, panel.channels, self.model_name)
        return in_form(frame, panel.form, panel.freq)

    @explain_arguments
    def backtest(
        self,
        data: Panel | Any | None = None,
        *,
        split: PartName | None = "test",
        horizon: int | None = None,
        recursive: bool = False,
        freq: Freq | None = None,
        series_at_once: int | None = None,
    ) -> Backtest:
        """Forecast all windows of a split, and return the sums of the errors.

        The result has `scores()`, `scores(by="series")` and `frame()`: see `elinformer.backtests.Backtest`.

        Args:
            data: A panel or frame with the series of training; the data of `fit` by default.
            split: "train", "validation" or "test"; None = all windows of the data.
            horizon: Number of steps; that of training by default.
            recursive: True allows a longer horizon than that of training, as in `predict`, of 256 windows at most.
            freq: Time between the steps of a data frame; that of training by default.
            series_at_once: Number of series in a partition, as in `predict`.

        Raises:
            InputError: The split has no window.
        """
        panel = self.info.align(self._as_panel(data, freq))
        origins = part_origins(panel.n_steps, self.split, split, self.reach)
        n_steps = self._checked_horizon(horizon, recursive)
        if n_steps > self.reach.horizon:
            origins = origins[origins <= origins[-1] + self.reach.horizon - n_steps]
            origins = origins[:: max(1, -(-len(origins) // MAX_RECURSIVE_WINDOWS))]
            if not len(origins):
                raise InputError(
                    f"expected a part with a window of {n_steps} steps to score, got none: choose a shorter one"
                )
        return self.backtest_of(panel, origins, horizon=n_steps, series_at_once=series_at_once)

    def backtest_of(
        self, panel: Panel, origins: np.ndarray, *, horizon: int | None = None, series_at_once: int | None = None
    ) -> Backtest:
        """Forecast the windows with the first target steps `origins` (n,) of a panel; see `backtest`."""
        panel, trained = self.info.align(panel), self.trained
        n_steps = self.reach.horizon if horizon is None else horizon

        def forecast(origins: np.ndarray) -> np.ndarray:
            return trained.long_forecasts(panel, origins, n_steps, series_at_once)

        if n_steps == self.reach.horizon:
            sums = trained.scores(panel, origins, series_at_once)
        else:
            sums = sums_of(forecast, panel, origins, n_steps)
        return Backtest(sums, trained, panel, origins, forecast, name=self.model_name)

    def _checked_horizon(self, horizon: int | None, recursive: bool) -> int:
        n_steps = self.reach.horizon if horizon is None else horizon
        if n_steps < 1:
            raise InputError(f"expected a horizon of at least 1 step, got {n_steps}")
        if n_steps > self.reach.horizon and not recursive:
            raise InputError(
                f"expected a horizon of at most {self.reach.horizon} steps, as in training, got {n_steps}: train with "
                f"horizon={n_steps}, or pass recursive=True, which forecasts from forecasts with a larger error"
            )
        return n_steps

    def plot(
        self,
        data: Panel | Any | None = None,
        *,
        series: Sequence[str | int] | None = None,
        channel: str | int = 0,
        history: int | None = None,
        freq: Freq | None = None,
    ) -> Figure:
        """Draw the forecasts of the steps after the end of the data. `backtest().plot()` draws past windows.

        Args:
            data: Recent history, as in `predict`; the data of `fit` by default.
            series: Names or numbers of series; the first six by default.
            channel: Name or number of the channel.
            history: Number of steps before the forecast that are drawn; by default the window, or three horizons if
                that is more.
            freq: Time between the steps of a data frame; that of training by default.

        Returns:
            A figure of Matplotlib: `figure.savefig("forecast.png")` writes it.

        Raises:
            InputError: The history is too short, or a series is unknown.
        """
        from elinformer.plots import Forecasts, figure_of

        trained, panel = self.trained, self._as_panel(data, freq)
        names = range(min(6, panel.n_series)) if series is None else series
        chosen = [place_of(name, panel.series, "series") for name in names]
        shown = Forecasts(np.array([panel.n_steps]), trained.next_steps(panel)[None])
        history = max(self.reach.window, 3 * self.reach.horizon) if history is None else history
        number = place_of(channel, panel.channels, "channels")
        return figure_of(panel, shown, chosen, history=history, channel=number)

    @explain_arguments
    def cross_validation(
        self,
        data: Panel | Any,
        n_windows: int = 1,
        step_size: int | None = None,
        *,
        refit: bool | int = False,
        warm_start: bool = False,
        level: Sequence[float] | float | None = None,
        quantiles: Sequence[float] | float | None = None,
        freq: Freq | None = None,
        folder: str | Path | None = None,
        console: Console | None = None,
    ) -> pd.DataFrame:
        """Forecast several windows with a rolling origin. Each forecast is of a model that knows only what was before.

        This forecaster does not change. The steps before the first window of a training are divided into training and
        validation, in the proportion of `split`.

        Args:
            data: A panel or frame.
            n_windows: Number of windows. The last one ends with the data.
            step_size: Steps between the origins of two windows; the horizon by default.
            refit: False trains once, before the first window. True trains before every window, k before every k-th.
            warm_start: True starts each training from the weights of the one before; False from scratch.
            level: Levels of intervals in percent, as in `predict`.
            quantiles: Numbers between 0 and 1, instead of levels, as in `predict`.
            freq: Time between the steps of a data frame; by default inferred from its times.
            folder: Folder for the trainings, as runs. The same call continues a cross-validation that was killed.
            console: Console of the progress bars; standard error by default.

        Returns:
            A long frame of the forecasts beside what happened: `unique_id`, `ds`, `cutoff` (the last step before a
            window), `y` and the name of the model. A series has no rows before it begins and after it ends.

        Raises:
            InputError: The data are too short, or the folder holds another cross-validation.
        """
        wanted = wanted_quantiles(level, quantiles)
        panel, horizon = as_panel(data, freq=freq), self._steps.horizon
        plan = RollingOrigin(n_windows, horizon if step_size is None else step_size, refit, warm_start)
        known = panel.select(steps=slice(int(plan.origins(panel.n_steps, horizon)[0])))
        train, validation = (share / sum(self.split[:2]) for share in self.split[:2])
        fold = copy.copy(self)
        vars(fold).update(split=(train, validation, 0.0), _reach=self._reach or self._chosen_reach(known).reach)
        vars(fold).update(_trained=None, _result=None, _panel=None, _split_panel=None)
        config = self._config_of(fold.reach)

        def fit(known: Panel, run: Path | None, start: TrainedModel | None) -> TrainedModel:
            return _fit_once(fold, known, run, start, console).trained

        options: dict[str, Any] = {"config": config, "name": self.model_name, "wanted": wanted, "folder": folder}
        return cross_validate(panel, plan, horizon, fit, **options)

    @explain_arguments
    def recalibrate(
        self, data: Panel | Any | None = None, *, steps: int | None = None, freq: Freq | None = None
    ) -> Forecaster:
        """Return a forecaster whose intervals and scenarios follow the newest errors. Nothing is trained.

        Use it when the errors have changed since the validation part: in another season, or after months. The point
        forecast stays the same. This forecaster does not change.

        Args:
            data: Data with the newest steps; those of `fit` by default.
            steps: Number of steps at the end of the data whose windows are forecast; by default the share that the
                validation part has of the data. They should not be steps of training.
            freq: Time between the steps of a data frame; that of training by default.

        Raises:
            InputError: The steps have no window.
        """
        panel = self.info.align(self._as_panel(data, freq))
        newest = round(self.split[1] * panel.n_steps) if steps is None else steps
        origins = window_origins((panel.n_steps - newest, panel.n_steps), self.reach)
        if not len(origins):
            raise InputError(
                f"expected at least {self.reach.horizon} steps to calibrate on, with {self.reach.history} steps of "
                f"history before them, got {newest} of {panel.n_steps}"
            )
        recalibrated = copy.copy(self)
        vars(recalibrated)["_trained"] = self.trained.calibrated(panel, origins)
        return recalibrated

    @explain_arguments
    def tune(
        self,
        data: Panel | Any,
        space: Space = DEFAULT_SPACE,
        *,
        n_trials: int = 20,
        time_limit: float | None = None,
        freq: Freq | None = None,
        folder: str | Path | None = None,
        console: Console | None = None,
    ) -> Forecaster:
        """Search for better options, and return an untrained forecaster with the best. This one does not change.

        Each trial is a training; the validation steps decide, and the test steps are never seen. The first trial has
        the options of this forecaster. It needs the extra `tune`.

        Args:
            data: A panel or frame.
            space: Values of options of the model, of training, or `window`, `lags` and `scale_per`: a list of values,
                or (lowest, highest), or (lowest, highest, "log").
            n_trials: Number of trials, with those in the folder.
            time_limit: Seconds after which no trial starts and a running one is stopped.
            freq: Time between the steps of a data frame; by default inferred from its times.
            folder: Folder for the trials. The same call continues a search that was killed.
            console: Console of the progress bars; by default nothing is shown.

        Returns:
            An untrained forecaster with the result in `tuning`: the best options, and a frame of all trials.

        Raises:
            InputError: An option does not exist or cannot be searched, or no trial ended in time.
            MissingExtraError: Optuna is not installed.
        """
        from rich.console import Console

        from elinformer.training.callbacks.pruning import ReportValidation

        panel = as_panel(data, freq=freq)
        defaults = {name: self._option(name) for name in space}

        def train(options: Mapping[str, Any], report: Report) -> float:
            callback = ReportValidation(report)
            self._with_options(options).fit(panel, console=console or Console(quiet=True), callbacks=[callback])
            return callback.best

        result = tune(
            train,
            space,
            defaults,
            n_trials=n_trials,
            time_limit=time_limit,
            seed=self.training.seed,
            folder=folder,
            description={"data": data_description(panel), "config": self._given},
        )
        best = self._with_options(result.options)
        best.tuning = result
        return best

    def _option(self, name: str) -> Any:
        """Return the value of an option of the model, of training or of the forecaster, by its name."""
        tables = self._given
        for table in (tables["forecaster"], tables["model"]["options"], tables["training"]):
            if name in table:
                return table[name]
        known = [*tables["forecaster"], *tables["model"]["options"], *tables["training"]]
        raise InputError(f"expected options out of {', '.join(known)}, got {name!r}")

    def _with_options(self, options: Mapping[str, Any]) -> Forecaster:
        """Return an untrained forecaster with other options, by name."""
        config = copy.deepcopy(self._given)
        for table in (config["forecaster"], config["model"]["options"], config["training"]):
            table.update({name: options[name] for name in options if name in table})
        return self._from_config(config)

    @explain_arguments
    def update(self, new_rows: Panel | Any, *, freq: Freq | None = None, revise: bool = False) -> Forecaster:
        """Return a forecaster whose data go on with new rows, without training. This forecaster does not change.

        `predict()` then forecasts the steps after the new rows. Steps that no row has are missing values.

        Args:
            new_rows: Rows of series of training, that follow the data or overlap with them. A loaded forecaster has no
                data; its first rows have to be the recent history.
            freq: Time between the steps of a data frame; that of training by default.
            revise: True takes the new value where rows contradict the data; False refuses them.

        Raises:
            InputError: The rows contradict the data, begin before them, or lie on other steps.
        """
        new = self.info.align(self._as_panel(new_rows, freq))
        if self._panel is None and new.n_steps < self.reach.history:
            raise InputError(
                f"expected at least {self.reach.history} steps, because a loaded forecaster has no data, got "
                f"{new.n_steps}: pass the recent history first"
            )
        panel = new if self._panel is None else append(self.info.align(self._panel), new, revise=revise)
        updated = copy.copy(self)
        vars(updated).update(_panel=panel, _split_panel=None)
        return updated

    @explain_arguments
    def finetune(
        self,
        new_rows: Panel | Any,
        steps: int = FINETUNING_STEPS,
        *,
        freq: Freq | None = None,
        features: Any | None = None,
    ) -> Forecaster:
        """Return a forecaster that was trained further, with new rows. This forecaster does not change.

        Half of the windows are old ones, and the weights before and after are averaged so that the error on the old
        validation windows grows by half a percent at most. New series are added first, as by `add_series`.

        Args:
            new_rows: Rows that follow the data. They may have new series.
            steps: Number of optimiser steps, of 16 windows each. They are taken twice: for the errors, and for the
                result.
            freq: Time between the steps of a data frame; that of training by default.
            features: Features of all series, if there are new ones: see `add_series`.

        Returns:
            A forecaster with the errors before and after in `finetuning`.

        Raises:
            InputError: The forecaster has no data, or the new rows are too few or contradict them.
        """
        if self._panel is None:
            raise InputError(
                "expected data, because a loaded forecaster has no data: call update with the old data first"
            )
        new = self._as_panel(new_rows, freq)
        info = self.info.with_series(self.info.new_series(new), new)
        n_old, panel = self._panel.n_steps, append(info.align(self._panel), info.align(new))
        base = self if info.series == self.info.series else self.add_series(panel, features=features, steps=steps)
        trained, report = finetuned(base.trained, panel, n_old, self.split, steps=steps, seed=self.training.seed)
        tuned = copy.copy(base)
        trained = trained.replaced(data=data_description(panel))
        vars(tuned).update(_trained=trained, _result=None, _split_panel=None, _panel=panel, finetuning=report)
        return tuned

    @explain_arguments
    def fill(self, data: Panel | Any | None = None, *, freq: Freq | None = None) -> Any:
        """Fill the missing values by the forecasts of the model and by the readings beside them: see docs/gaps.md.

        Args:
            data: A panel or frame with series of training; the data of `fit` by default.
            freq: Time between the steps of a data frame; that of training by default.

        Returns:
            A panel of a panel. Of a frame a long one, `unique_id`, `ds`, `y` (`y_<channel>` with several channels) and
            `filled`, True where a value is not a reading.

        Raises:
            InputError: A series has no reading, or the data do not match those of training.
        """
        given = self._as_panel(data, freq)
        panel = fill(self.trained, self.info.align(given).select([self.info.series.index(s) for s in given.series]))
        if data is None or isinstance(data, Panel):
            return panel
        frame = long_frame({"": panel.values}, panel.timestamps, panel.series, panel.channels, "y")
        return in_form(frame.assign(filled=~given.mask.all(2).T.ravel()), given.form, given.freq)

    @explain_arguments
    def anomalies(
        self, data: Panel | Any | None = None, level: float = 99, *, freq: Freq | None = None
    ) -> pd.DataFrame:
        """Return the readings that lie outside of the usual errors of a forecast of one step: see docs/gaps.md.

        Args:
            data: A panel or frame with the series of training; the data of `fit` by default.
            level: Share of the usual errors that are not reported, in percent. Usual are the errors in the data of
                `fit`; a loaded forecaster has none, so that they are those of `data`.
            freq: Time between the steps of a data frame; that of training by default.

        Returns:
            A long frame, a row for each reading: `unique_id`, `ds`, `channel`, `y`, `expected`, `low`, `high`, and
            `distance`, by how many widths of the usual range the reading lies outside. The farthest comes first.

        Raises:
            InputError: The level is not between 50 and 100, or the data are too short.
        """
        panel = self.info.align(self._as_panel(data, freq))
        usual = panel if self._panel is None else self.info.align(self._panel)
        return anomaly_frame(panel, unusual(self.trained, panel, usual, level))

    @explain_arguments
    def add_series(
        self, data: Panel | Any, *, freq: Freq | None = None, features: Any | None = None, steps: int = STEPS
    ) -> Forecaster:
        """Return a forecaster with more series, without training the model again. This forecaster does not change.

        The embeddings of the new series are learned from their history. All weights and all other embeddings stay the
        same. The errors to expect are measured first, on the last fifth of the history: see `added`.

        Args:
            data: History of the new series and of the series of training. All of it is used for learning.
            freq: Time between the steps of a data frame; that of training by default.
            features: A frame with `unique_id` and columns of numbers or categories, one row for each series of `data`.
                They are the static covariates, if training had some. Locations of a panel are used too.
            steps: Number of optimiser steps, of 16 windows each. They are taken twice: for the errors, and for the
                result.

        Raises:
            InputError: There is no new series, a new series has less than a day of history, or the model has to be
                trained again.
        """
        panel = self._as_panel(data, freq, features if self.info.covariates.static.names else None)
        trained = with_new_series(
            self.trained, panel, scale_per=self.scale_per, features=features, steps=steps, seed=self.training.seed
        )
        extended = copy.copy(self)
        vars(extended).update(_trained=trained, _result=None, _split_panel=None, _panel=panel)
        return extended

    def save(
        self,
        folder: str | Path,
        *,
        metrics: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a run, with the model, its options and its names, as safetensors and JSON.

        The folder is written atomically. With several ranks, only the first rank writes.

        Args:
            folder: Folder of the run. A run in this folder is replaced, and the run of `fit` is finished.
            metrics: Scores, for `metrics.json`.
            source: Address of the data, and the options that they were read with, for `elinformer evaluate`.
        """
        interrupted = self._result is not None and self._result.interrupted
        self.trained.save(folder, metrics=metrics, source=source, interrupted=interrupted)

    @classmethod
    def load(cls, folder: str | Path) -> Forecaster:
        """Read a run that `save` wrote. Nothing is unpickled.

        Raises:
            InputError: The folder is not a complete run of this version.
        """
        trained = TrainedModel.load(folder)
        with refuse_mismatched_files(folder):
            forecaster = cls._from_config(trained.config)
        vars(forecaster)["_trained"] = trained
        return forecaster

    @property
    def reach(self) -> Reach:
        """Window, horizon and lags.

        Raises:
            InputError: Window or lags are "auto", and no data have decided them yet.
        """
        if self._reach is None:
            raise InputError("expected a forecaster with a window and lags, got auto: call fit(...) first")
        return self._reach

    @property
    def trained(self) -> TrainedModel:
        """Trained model.

        Raises:
            InputError: The forecaster was neither trained nor loaded.
        """
        if self._trained is None:
            raise InputError("expected a trained forecaster: call fit(...) first, or Forecaster.load(...)")
        return self._trained

    @property
    def info(self) -> SeriesInfo:
        """Names, frequency and calendar of the training data."""
        return self.trained.info

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters of the model."""
        return self.trained.n_parameters

    @property
    def fit_result(self) -> FitResult:
        """Result of the training.

        Raises:
            InputError: The forecaster was loaded, or has new series.
        """
        if self._result is None:
            raise InputError("expected a forecaster that was fitted here, got a loaded one: its training is not stored")
        return self._result

    @property
    def added(self) -> Mapping[str, Any] | None:
        """Names and errors of the series that were added last: see docs/new_series.md."""
        return self.trained.added

    def forecasts(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """Return point forecasts (n, S, N, C), in the units of the data.

        Args:
            panel: A panel with series of training.
            origins: (n,), the first target steps.
        """
        return self.trained.forecasts(self.info.align(panel), origins)

    def split_panel(self, panel: Panel) -> SplitPanel:
        """Return a panel with its split and the moments of its training steps. Those of `fit` are computed once.

        Raises:
            InputError: The training or the validation steps have no window, or no observation.
        """
        if self._split_panel is not None and self._split_panel.panel is panel:
            return self._split_panel
        return SplitPanel.of(panel, self.split, self._reach or self._chosen_reach(panel).reach)

    @property
    def _config(self) -> dict[str, Any]:
        """Options, as in `config.json` of a run."""
        return self._config_of(self.reach)

    @property
    def _given(self) -> dict[str, Any]:
        """Options as they were given: window and lags may be "auto"."""
        return {
            "forecaster": asdict(self._steps),
            "model": {"name": self.model_name, "options": whole_options(self.model_name, self.model_options)},
            "training": asdict(self.training),
        }

    def _config_of(self, reach: Reach) -> dict[str, Any]:
        return {
            "version": __version__,
            "forecaster": {
                **asdict(reach),
                "split": self.split,
                "scale_per": self.scale_per,
                "minimum": self.minimum,
            },
            "model": {"name": self.model_name, "options": whole_options(self.model_name, self.model_options)},
            "training": {**asdict(self.training), "log_dir": TrainingConfig.log_dir},  # which may name a user
        }

    @classmethod
    def _from_config(cls, config: Mapping[str, Any]) -> Forecaster:
        """Make an untrained forecaster from its `_config`."""
        model = {"name": config["model"]["name"], **config["model"]["options"]}
        return cls(**config["forecaster"], model=model, training=TrainingConfig(**config["training"]))

    def _new_model(self, info: SeriesInfo, why: str, console: Console | None) -> nn.Module:
        """Build the model, and say which window and lags were chosen."""
        model = new_model(self.model_name, self.model_options, self.reach, info, self.loss)
        if self._steps.reach is None and is_first_process():
            (console or plain_console(stderr=True)).print(why, highlight=False, markup=False, soft_wrap=True)
        return model

    def _chosen_reach(self, panel: Panel) -> ChosenReach:
        steps, lags = self._steps, self._steps.lags
        if lags == "auto" and not uses_lags(self.model_name):
            lags = ()
        train_end = chronological_split(panel.n_steps, self.split).train[1]
        return choose_reach(panel, steps.horizon, steps.window, lags, train_end)

    def _as_panel(self, data: Panel | Any | None, freq: Freq | None, static_df: Any | None = None) -> Panel:
        """Return the data as a panel, with the covariates of training; static ones only if they are given."""
        info = self.info
        static = [*dict.fromkeys(name.partition(LEVEL)[0] for name in info.covariates.static.names)]
        roles = _roles((), (), None if static_df is None else static, static_df)
        if data is None:
            if self._panel is None:
                raise InputError("expected data, because a loaded forecaster has no data: pass a panel or a frame")
            return roles.assign(self._panel)
        if not isinstance(data, Panel):
            roles = replace(roles, future=info.covariates.future.names, past=info.covariates.past.names)
        time: dict[str, Any] = {"freq": freq or info.freq, "steps_per_day": info.steps_per_day}
        return as_panel(data, **time, null_value=info.form.null_value, roles=roles)

    def _known_ahead(self, panel: Panel, futr_df: Any | None, n_steps: int) -> Panel:
        """Return the panel with the future covariates of the next `n_steps`.

        Raises:
            InputError: They are missing.
        """
        if futr_df is not None:
            return with_future(panel.last_steps(self.reach.history), futr_df, n_steps)
        if panel.future:
            check_known_ahead(panel.last_steps(self.reach.history), n_steps)
        return panel


def _roles(future: Sequence[str], past: Sequence[str], static: Sequence[str] | None, static_df: Any | None) -> Roles:
    """Return the roles of columns and of a frame of static covariates.

    Raises:
        InputError: Static covariates are named, but there is no frame of them.
    """
    if static_df is None and static:
        raise InputError(f"expected static_df=... with {', '.join(static)} beside stat_exog_list, got none: pass it")
    make = None if static_df is None else partial(static_covariates, static_df, columns=static)
    return Roles(tuple(future), tuple(past), make)


def _table(name: str, options: Any) -> dict[str, Any]:
    """Return options by name as a dict.

    Raises:
        InputError: They are something else.
    """
    if not isinstance(options, Mapping):
        raise InputError(f"expected {name} to be a dict of options, got {options!r}: pass {name}={{...}}")
    return dict(options)


def _checked_scenarios(n: int | None, seed: int) -> int:
    for name, value, least in (("scenarios", 0 if n is None else n, 0 if n is None else 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise InputError(f"expected {name} as a whole number of at least {least}, got {value!r}")
    return n or 0


def _fit_once(
    untrained: Forecaster, panel: Panel, run: Path | None, start: TrainedModel | None, console: Console | None
) -> Forecaster:
    """Return a forecaster that is fitted, or resumed from the folder of a run, or loaded if the run is finished.

    Raises:
        KeyboardInterrupt: Ctrl-C ended training early. The run can be resumed.
    """
    if run is None:
        return copy.copy(untrained).fit(panel, console=console, start=start)
    if (state := run_state(run)) == FINISHED:
        return Forecaster.load(run)
    if state is None:
        forecaster = copy.copy(untrained).fit(panel, console=console, run=run, start=start)
    else:
        forecaster = Forecaster.resume(run, panel, console=console, start=start)
    forecaster.save(run)
    if forecaster.fit_result.interrupted:
        raise KeyboardInterrupt
    return forecaster
