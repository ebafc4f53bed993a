"""Train from a data file: one run, windows with a rolling origin, and a search for better options."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer._files import held_folder, new_file
from elinformer._process import is_first_process
from elinformer.data.address import load_panel, portable_address
from elinformer.errors import InputError
from elinformer.options import DATA as DATA_OPTIONS
from elinformer.options import TRAINING as TRAINING_OPTIONS
from elinformer.options import Settings, search_space, settings_text
from elinformer.run_folder.folder import held_run_folder, read_config
from elinformer.training.config import TrainingConfig
from elinformer.workflows.opening import as_json, load_panel_of_run, read_data, source_of
from elinformer.workflows.scoring import metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from rich.console import Console

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster
    from elinformer.training.ranks.machines import Machines
    from elinformer.tuning import Tuning

Document = dict[str, Any]


def train_run(
    data: str,
    out: str | Path,
    settings: Settings,
    *,
    overwrite: bool = False,
    console: Console | None = None,
    machines: Machines | None = None,
    then: Callable[[Forecaster, Panel], object] | None = None,
) -> Document:
    """Train on `data`, score the forecasts of validation and test, and write the folder of a run.

    The folder is written before the first step, with checkpoints. `resume_run` resumes a training that was killed.

    Args:
        data: Path, or name of a data set of the catalogue.
        out: Folder of the run.
        settings: Settings of data, model and training.
        overwrite: True replaces a run in the folder.
        console: Console of the progress bar; standard error by default.
        machines: Number of devices.
        then: Function that is called with the forecaster and the panel when the run is written.

    Returns:
        The content of `out/metrics.json`.

    Raises:
        InputError: The data or a setting cannot be used, or the folder cannot be written to.
    """
    with held_run_folder(out, overwrite=overwrite):
        panel = read_data(data, settings.reading)
        _check_observed(panel)
        forecaster = forecaster_for(settings, settings.model, TrainingConfig.of(settings.training))
        source = {"data": portable_address(data, out), **as_json(settings.reading)}
        run = forecaster.new_run(out, panel, source=source, overwrite=overwrite)
        forecaster.fit(panel, console=console, run=run, machines=machines)
        metrics = _finish_run(forecaster, panel, out, source)
        if then is not None and is_first_process():
            then(forecaster, panel)
        return metrics


def resume_run(
    run: str | Path, *, data: str | None = None, console: Console | None = None, machines: Machines | None = None
) -> Document:
    """Resume a `train_run` that was killed, or that Ctrl-C ended early, and finish its folder.

    Args:
        run: Folder of the run.
        data: Path of the data, if they were moved.
        console: Console of the progress bar; standard error by default.
        machines: Number of devices. It can differ from that of the first training.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: The folder holds no unfinished run, or its data are missing or have changed.
    """
    read_config(Path(run))
    from elinformer.forecaster import Forecaster
    from elinformer.run_folder.folder import UnfinishedRun

    with held_folder(run) if is_first_process() else nullcontext():
        config = UnfinishedRun.open(run).config
        panel = load_panel_of_run(run, config, data)
        source = source_of(run, config) | ({} if data is None else {"data": portable_address(data, run)})
        forecaster = Forecaster.resume(run, panel, console=console, machines=machines)
        return _finish_run(forecaster, panel, run, source)


def cross_validate_data(
    data: str,
    out: str | Path,
    settings: Settings,
    *,
    n_windows: int,
    step_size: int | None = None,
    refit: int = 0,
    warm_start: bool = False,
    level: Sequence[float] | None = None,
    console: Console | None = None,
) -> pd.DataFrame:
    """Forecast several windows with a rolling origin, and write `forecasts.csv` into a folder with the trainings.

    Args:
        data: Path, or name of a data set of the catalogue.
        out: The folder. The same call continues a cross-validation that was killed.
        settings: Settings of data, model and training.
        n_windows: Number of windows.
        step_size: Steps between the origins of two windows; the horizon by default.
        refit: Windows between two trainings; 0 = one training.
        warm_start: True starts each training from the weights of the one before.
        level: Levels of intervals in percent.
        console: Console of the progress bars; standard error by default.

    Returns:
        The frame of `Forecaster.cross_validation`.

    Raises:
        InputError: The data or a setting cannot be used, or the folder holds something else.
    """
    panel = load_panel(data, **settings.reading)
    forecaster = forecaster_for(settings, settings.model, TrainingConfig.of(settings.training))
    frame = forecaster.cross_validation(
        panel, n_windows, step_size, refit=refit, warm_start=warm_start, level=level, folder=out, console=console
    )
    with new_file(Path(out) / "forecasts.csv") as path:
        frame.to_csv(path, index=False)
    return frame


def tune_data(
    data: str,
    out: str | Path,
    settings: Settings,
    *,
    search: Sequence[str] = (),
    n_trials: int = 20,
    time_limit: float | None = None,
) -> tuple[Tuning, Path]:
    """Search for better options, and write the best settings for `train --config`; see `Forecaster.tune`.

    Args:
        data: Path, or name of a data set of the catalogue.
        out: Folder for the trials and `settings.toml`. The same call continues a search that was killed.
        settings: Settings of data, model and training.
        search: Options with their values, as `elinformer.options.search_space` reads them; by default three of them.
        n_trials: Number of trials, with those in the folder.
        time_limit: Seconds after which no trial starts and a running one is stopped.

    Returns:
        The result, and the file of the best settings.

    Raises:
        InputError: The data or an option cannot be used, or the folder holds something else.
    """
    from elinformer.tuning import DEFAULT_SPACE

    name = settings.model.get("name") or "elinformer"
    space = search_space(search, name)
    panel = read_data(data, settings.reading)
    forecaster = forecaster_for(settings, settings.model, TrainingConfig.of(settings.training))
    tuning = forecaster.tune(panel, space or DEFAULT_SPACE, n_trials=n_trials, time_limit=time_limit, folder=out).tuning
    if tuning is None:
        raise AssertionError("tune reports its trials")
    changes: Document = {"model": {}, "training": {}}
    for option, value in tuning.options.items():
        table = changes if option in DATA_OPTIONS else changes["training" if option in TRAINING_OPTIONS else "model"]
        table[option] = value
    path = Path(out) / "settings.toml"
    with new_file(path) as new:
        new.write_text(settings_text(settings.updated(changes)), encoding="utf-8")
    return tuning, path


def _finish_run(forecaster: Forecaster, panel: Panel, run: str | Path, source: Document) -> Document:
    metrics = metrics_of(forecaster, panel, forecaster.fit_result)
    forecaster.save(run, metrics=metrics, source=source)
    return metrics


def forecaster_for(settings: Settings, model: Mapping[str, Any], training: TrainingConfig) -> Forecaster:
    """Return an untrained forecaster with window, horizon, lags, split and scaling of the settings.

    Args:
        settings: The settings.
        model: Name and options of the model.
        training: Options of training.
    """
    from elinformer.forecaster import Forecaster

    return Forecaster(
        settings.window,
        settings.horizon,
        lags=settings.lags,
        split=settings.split,
        scale_per=settings.scale_per,
        minimum=settings.minimum,
        holidays=settings.holidays,
        model=model,
        training=training,
    )


def _check_observed(panel: Panel) -> None:
    """Refuse series without any value: in a file they are usually a mistake."""
    empty = np.flatnonzero(~panel.mask.any((0, 2)))
    if len(empty):
        raise InputError(
            f"expected at least one value of every series, but {panel.series[empty[0]]!r} of {panel.name} is all "
            f"missing ({len(empty)} in all): remove these series"
        )
