"""Forecaster: it trains a model on a panel or a data frame, and forecasts, scores, saves and loads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from elinformer._arguments import FrameOptions, explain_arguments
from elinformer._console import plain_console
from elinformer._memory import explained_memory
from elinformer._process import is_first_process
from elinformer.cross_validation import RollingOrigin, cross_validate
from elinformer.data.io.frames import as_panel
from elinformer.data.panel import Panel, data_description
from elinformer.data.series_info import SeriesInfo
from elinformer.errors import InputError
from elinformer.forecaster.adapting import Adapting
from elinformer.forecaster.explaining import Explaining
from elinformer.forecaster.state import roles_of
from elinformer.intervals import wanted_quantiles
from elinformer.models.registry import scales_windows
from elinformer.run_folder.folder import FINISHED, UnfinishedRun, check_writable, refuse_mismatched_files, run_state
from elinformer.trained_model import TrainedModel, new_model
from elinformer.tuning import DEFAULT_SPACE, check_space, tune

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from rich.console import Console
    from torch import nn

    from elinformer.data.steps import Freq
    from elinformer.training.callbacks import Callback
    from elinformer.training.ranks.machines import Machines
    from elinformer.tuning import Report, Space

LESS_MEMORY = (
    "lower tokens_at_once (now {tokens_at_once}) or batch_size (now {batch_size}) of the training options, set "
    "series_at_once, or choose a smaller model"
)


class Forecaster(Explaining, Adapting):
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
        holidays: Countries or regions whose public holidays are known ahead: "US-NY", or a list. They need the extra
            `holidays`; see docs/covariates.md.
        model: A name of `elinformer.models.MODELS`, or a dict with the options of a model and its `name`:
            `{"name": "stid", "n_layers": 2}`. Without a name, the model is "elinformer".
        training: Options of training, or a dict of those that differ from the defaults: `{"epochs": 10}`.

    Raises:
        InputError: An option does not exist, or has a value that cannot be used.
        MissingExtraError: There are holidays, and the package is not installed.

    Example:
        >>> import numpy as np
        >>> from elinformer import Panel
        >>> waves = np.sin(np.arange(240)[:, None] / 4 + np.arange(3))  # 240 hours of three series
        >>> panel = Panel.from_arrays(waves, start="2024-01-01", freq="1h", series=["a", "b", "c"])
        >>> forecaster = Forecaster(window=12, horizon=2, model="dlinear", training={"epochs": 1})
        >>> forecaster.fit(panel).predict()[["unique_id", "ds"]].head(3)
          unique_id                  ds
        0         a 2024-01-11 00:00:00
        1         a 2024-01-11 01:00:00
        2         b 2024-01-11 00:00:00
        >>> forecaster.backtest().scores().count  # 47 windows of 2 steps of 3 series
        282
    """

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
        **columns: Unpack[FrameOptions],
    ) -> Forecaster:
        """Train on the training steps, and keep the weights with the lowest validation error.

        They give the scores. The weights of forecasts are then trained further on all data, test part included, unless
        the training option `refit` is False: see docs/defaults.md.

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
            columns: `id_col`, `time_col`, `target_col` or `targets` of a frame whose columns have other names, `tz` and
                `resample`, as in `panel_from_frame`. Later frames are read alike.

        Returns:
            This forecaster.

        Raises:
            InputError: The data cannot be used, are too short for window and horizon, or the folder holds a run.
        """
        from elinformer.training.members import train_members

        roles = roles_of(futr_exog_list, hist_exog_list, stat_exog_list, static_df)
        panel = as_panel(data, freq=freq, roles=roles, columns=columns)
        self._reach, why = self._chosen_reach(panel)
        check_writable(self._config)
        split_panel = self.split_panel(panel)
        if run is not None and not isinstance(run, UnfinishedRun):
            run = self.new_run(run, panel)
        info = SeriesInfo.of(panel, split_panel.origins("train") - 1, self.holidays)
        scaler = split_panel.scaler(self.scale_per, by_window=scales_windows(self.model_name))

        def new_weights(member: int) -> nn.Module:
            model = self._new_model(info, None if member else why, console)
            return model if start is None else start.copied_into(model, member)

        with explained_memory("the training", LESS_MEMORY.format(**vars(self.training))):
            trained = train_members(
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
            trained.model,
            scaler,
            info,
            self.reach,
            self._config,
            self.loss,
            data=data_document,
            mesh=trained.mesh,
            refitted=trained.refitted,
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
        **columns: Unpack[FrameOptions],
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
            columns: See `fit`.

        Raises:
            InputError: The folder holds no unfinished run, or the data differ from those that it started with.
        """
        roles = roles_of(futr_exog_list, hist_exog_list, stat_exog_list, static_df)
        run, panel = UnfinishedRun.open(folder), as_panel(data, freq=freq, roles=roles, columns=columns)
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
        **columns: Unpack[FrameOptions],
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
            columns: See `fit`.

        Returns:
            A long frame of the forecasts beside what happened: `unique_id`, `ds`, `cutoff` (the last step before a
            window), `y` and the name of the model. A series has no rows before it begins and after it ends.

        Raises:
            InputError: The data are too short, or the folder holds another cross-validation.
        """
        wanted = wanted_quantiles(level, quantiles)
        panel, horizon = as_panel(data, freq=freq, columns=columns), self._steps.horizon
        plan = RollingOrigin(n_windows, horizon if step_size is None else step_size, refit, warm_start)
        known = panel.select(steps=slice(int(plan.origins(panel.n_steps, horizon)[0])))
        train, validation = (share / sum(self.split[:2]) for share in self.split[:2])
        fold = copy.copy(self)
        vars(fold).update(split=(train, validation, 0.0), _reach=self._reach or self._chosen_reach(known).reach)
        vars(fold).update(_trained=None, _result=None, _panel=None, _split_panel=None)
        fold.training = replace(self.training, refit=False)
        config = self._config_of(fold.reach)

        def fit(known: Panel, run: Path | None, start: TrainedModel | None) -> TrainedModel:
            return _fit_once(fold, known, run, start, console).trained

        options: dict[str, Any] = {"config": config, "name": self.model_name, "wanted": wanted, "folder": folder}
        return cross_validate(panel, plan, horizon, fit, **options)

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
        **columns: Unpack[FrameOptions],
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
            columns: See `fit`.

        Returns:
            An untrained forecaster with the result in `tuning`: the best options, and a frame of all trials.

        Raises:
            InputError: An option does not exist or cannot be searched, or no trial ended in time.
            MissingExtraError: Optuna is not installed.
        """
        from rich.console import Console

        from elinformer.training.callbacks.pruning import ReportValidation

        panel = as_panel(data, freq=freq, columns=columns)
        check_space(space)
        defaults = {name: self._option(name) for name in space}

        def train(options: Mapping[str, Any], report: Report) -> float:
            callback = ReportValidation(report)
            preset = {"preset": "base"} if self.training.preset == "best" else {}
            trial = self._with_options({**preset, **options, "refit": False})
            trial.fit(panel, console=console or Console(quiet=True), callbacks=[callback])
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

    def _new_model(self, info: SeriesInfo, why: str | None, console: Console | None) -> nn.Module:
        """Build the model, and say which window and lags were chosen."""
        model = new_model(self.model_name, self.model_options, self.reach, info, self.loss)
        if why is not None and self._steps.reach is None and is_first_process():
            (console or plain_console(stderr=True)).print(why, highlight=False, markup=False, soft_wrap=True)
        return model


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
