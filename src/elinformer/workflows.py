"""Workflows of the command line: train, resume, evaluate and forecast, from a data file and the folder of a run.

Data and settings are checked before torch is imported, so that an error in the input is reported at once.
"""

from __future__ import annotations

import math
import platform
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elinformer import __version__
from elinformer._console import say
from elinformer._files import held_folder, new_file
from elinformer._memory import explained_memory
from elinformer._options import check_names, rows
from elinformer._process import is_first_process
from elinformer.data.address import address_from, is_in_catalogue, load_panel, portable_address
from elinformer.data.options import ReadingOptions
from elinformer.errors import InputError
from elinformer.options import DATA as DATA_OPTIONS
from elinformer.options import TRAINING as TRAINING_OPTIONS
from elinformer.options import Settings, search_space, settings_text
from elinformer.run_folder.folder import (
    CHECKPOINTS,
    DATA,
    METRICS,
    PANEL,
    TRAINING,
    finished_config,
    held_run_folder,
    read_config,
    read_json,
    read_progress,
)
from elinformer.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from rich.console import Console

    from elinformer.data.panel import Panel
    from elinformer.explanations import Explanation
    from elinformer.forecaster import Forecaster
    from elinformer.training import FitResult
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
        panel = _read(data, settings.reading)
        _check_observed(panel)
        forecaster = forecaster_for(settings, settings.model, TrainingConfig.of(settings.training))
        source = {"data": portable_address(data, out), **_as_json(settings.reading)}
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
        panel = _load_panel_of_run(run, config, data)
        source = source_of(run, config) | ({} if data is None else {"data": portable_address(data, run)})
        forecaster = Forecaster.resume(run, panel, console=console, machines=machines)
        return _finish_run(forecaster, panel, run, source)


def evaluate_run(run: str | Path, *, data: str | None = None) -> Document:
    """Score the forecasts of a run, and the naive forecasts.

    The windows are those of the test steps. Of other data than those of training, they are all windows; if the other
    data begin before the data of training end, they are the windows after this end.

    Args:
        run: Folder of the run.
        data: Path, or name of a data set of the catalogue; the data of training by default.

    Returns:
        The scores, by name of the forecast, and in `scored` the number of windows with their meaning in words.

    Raises:
        InputError: The data cannot be used, or have no window.
    """
    forecaster, panel = open_run(run, data)
    windows = _windows_to_score(forecaster, panel, is_other=data is not None)
    panel = forecaster.info.align(panel)
    return {
        "data": panel.name,
        "scored": f"{len(windows.origins)} {windows.words}",
        **_judged(forecaster, panel, windows.origins, windows.known_steps),
    }


class _Windows(NamedTuple):
    """Windows to score: in words, their first target steps (n,), and the steps that a season has to fit into."""

    words: str
    origins: np.ndarray
    known_steps: int


def _windows_to_score(forecaster: Forecaster, panel: Panel, *, is_other: bool) -> _Windows:
    from elinformer.data.panel import fingerprint
    from elinformer.data.reach import part_origins

    known = forecaster.trained.data or {}
    if not is_other or fingerprint(panel) == known.get("fingerprint"):
        data = forecaster.split_panel(panel)
        return _Windows("windows of the test part", data.origins("test"), data.split.train[1])
    origins = part_origins(panel.n_steps, forecaster.split, None, forecaster.reach)
    if panel.has_time and known.get("last") is not None:
        is_later = panel.timestamps[origins] > np.datetime64(known["last"])
        if is_later.any() and not is_later.all():
            end = str(np.datetime64(known["last"], "s")).replace("T", " ")
            words = f"windows after {end}, the end of the data of training"
            return _Windows(words, origins[is_later], int(origins[is_later][0]))
    return _Windows("windows, which are all", origins, panel.n_steps)


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
    panel = _read(data, settings.reading)
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


def forecast_run(
    run: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    future_data: str | Path | None = None,
    **options: Any,
) -> int:
    """Forecast the steps after the end of the data, and write them to a file.

    Args:
        run: Folder of the run.
        out: File that ends in `.csv` or `.parquet`.
        data: Path, or name of a data set of the catalogue; the data of training by default.
        future_data: Table with the future covariates of the steps to forecast, `.csv` or `.parquet`.
        options: `level`, `quantiles`, `scenarios` and `seed` of `Forecaster.predict`.

    Returns:
        Number of rows of the file.

    Raises:
        InputError: The file has another suffix, or the data cannot be used.
    """
    check_table(out)
    forecaster, panel = open_run(run, data)
    frame = forecaster.predict(panel, futr_df=_known_ahead(future_data), **options)
    write_table(frame, out)
    return len(frame)


def _known_ahead(future_data: str | Path | None) -> pd.DataFrame | None:
    """Return the table of future covariates of the steps to forecast, if there is one."""
    from elinformer.data.io.ahead import read_table

    return None if future_data is None else read_table(future_data)


def check_table(path: str | Path) -> None:
    """Refuse a file of another format than those of tables.

    Raises:
        InputError: It ends in neither `.csv` nor `.parquet`.
    """
    if Path(path).suffix not in {".csv", ".parquet"}:
        raise InputError(f"expected a file that ends in .csv or .parquet, got {str(path)!r}")


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a frame as CSV or Parquet, whole or not at all."""
    with new_file(path) as file:
        frame.to_csv(file, index=False) if Path(path).suffix == ".csv" else frame.to_parquet(file, index=False)


def plot_run(
    run: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    series: str = "worst",
    n: int = 6,
    future: bool = False,
) -> None:
    """Draw forecasts of a run into a file.

    Args:
        run: Folder of the run.
        out: File that ends in `.png`, `.svg` or `.pdf`.
        data: Path, or name of a data set of the catalogue; the data of training by default.
        series: "worst" or "best", or names with commas between them.
        n: Number of the worst or best series.
        future: True draws the steps after the end of the data; False the last windows that `evaluate_run` scores,
            beside what happened.

    Raises:
        InputError: The data cannot be used, a series is unknown, or the file has another suffix.
    """
    from elinformer.plots import check_suffix, save_figure

    check_suffix(out)
    forecaster, panel = open_run(run, data)
    chosen = series if series in {"worst", "best"} else series.split(",")
    if future:
        names = panel.series[:n] if isinstance(chosen, str) else chosen
        figure = forecaster.plot(panel, series=names)
    else:
        windows = _windows_to_score(forecaster, panel, is_other=data is not None)
        figure = forecaster.backtest_of(panel, windows.origins).plot(chosen, n=n)
    save_figure(figure, out)


def explain_run(
    run: str | Path,
    series: str,
    step: int = 1,
    *,
    channel: str | int = 0,
    data: str | None = None,
    future_data: str | Path | None = None,
    out: str | Path | None = None,
) -> Explanation:
    """Explain a forecast of the steps after the end of the data; see `Forecaster.explain`.

    Args:
        run: Folder of the run.
        series: Name of the series.
        step: Step of the forecast, 1 = the first one after the data.
        channel: Name or number of the channel.
        data: Path, or name of a data set of the catalogue; the data of training by default.
        future_data: Table with the future covariates of the steps to forecast, `.csv` or `.parquet`.
        out: File for a figure, that ends in `.png`, `.svg` or `.pdf`.

    Raises:
        InputError: The data cannot be used, the series or step is not forecast, or the file has another suffix.
    """
    if out is not None:
        from elinformer.plots import check_suffix

        check_suffix(out)
    forecaster, panel = open_run(run, data)
    explanation = forecaster.explain(series, step, data=panel, channel=channel, futr_df=_known_ahead(future_data))
    if out is not None:
        from elinformer.plots import save_figure

        save_figure(explanation.plot(), out)
    return explanation


def add_series_run(
    run: str | Path, data: str, out: str | Path, *, features: str | Path | None = None, overwrite: bool = False
) -> Document:
    """Add new series to a run, and write the result as another run; see `Forecaster.add_series`.

    Args:
        run: Folder of the run. It does not change.
        data: Path of the history of the new series and of series of training. It is read with the options of training.
        out: Folder of the new run.
        features: CSV file with `unique_id` and columns of numbers.
        overwrite: True replaces a run in `out`.

    Returns:
        Names of the new series, and the measured errors.
    """
    with held_run_folder(out, overwrite=overwrite):
        forecaster, panel = open_run(run, data)
        extended = forecaster.add_series(panel, features=features)
        extended.save(out, source=source_of(run, read_config(Path(run))) | {"data": portable_address(data, out)})
        return dict(extended.added or {})


def information(path: str | Path, *, check: bool = False) -> Document:
    """Return what a run or the folder of a panel holds.

    Args:
        path: The folder.
        check: True compares all of a panel with its fingerprint, and the checkpoints of a run with their checksums. The
            other files of a run are always compared.

    Raises:
        InputError: The folder holds neither, or something is damaged.
    """
    if not Path(path).is_dir():
        read_config(Path(path))
    from elinformer.data.io.folder import check_panel, is_panel_folder, open_panel

    if not is_panel_folder(Path(path)):
        return run_information(path, check=check)
    panel = check_panel(path) if check else open_panel(path)
    return {
        "panel": str(path),
        "name": panel.name,
        "shape": list(panel.values.shape),
        "freq": panel.freq,
        "first": str(panel.timestamps[0]),
        "last": str(panel.timestamps[-1]),
        "channels": list(panel.channels),
        "checked": "all" if check else "sizes, times and a sample",
    }


def run_information(run: str | Path, *, check: bool = False) -> Document:
    """Return settings, series and scores of a run, or settings and progress of an unfinished run; see `information`."""
    config = read_config(Path(run))
    if check:
        from elinformer.run_folder.checkpoints import CheckpointFolder, read_checkpoint

        for file in CheckpointFolder(Path(run) / CHECKPOINTS).files():
            read_checkpoint(file)
    if config.get("state") == TRAINING:
        return {"run": str(run), "config": config, "progress": read_progress(run)}

    from elinformer.forecaster import Forecaster

    forecaster = Forecaster.load(run)
    metrics = Path(run) / METRICS
    return {
        "run": str(run),
        "config": config,
        "panel": forecaster.info.to_document(),
        "parameters": forecaster.n_parameters,
        "metrics": read_json(metrics) if metrics.is_file() else None,
    }


def open_run(run: str | Path, data: str | None = None) -> tuple[Forecaster, Panel]:
    """Return the forecaster of a run and a panel.

    Args:
        run: Folder of the run.
        data: Path, or name of a data set of the catalogue, read with the options of training; the data of training by
            default.

    Raises:
        InputError: The folder is not a complete run, or the data cannot be read.
    """
    panel = panel_for_run(run, data)

    from elinformer.forecaster import Forecaster

    return Forecaster.load(run), panel


def panel_for_run(run: str | Path, data: str | None = None) -> Panel:
    """Return the panel of `open_run`."""
    return _load_panel_of_run(run, finished_config(run), data)


def _load_panel_of_run(run: str | Path, config: Document, data: str | None) -> Panel:
    source = source_of(run, config)
    stored = source.pop("data", None)
    if data is not None:
        from elinformer.data.io.frames import as_panel

        step = read_json(Path(run) / PANEL).get("freq") if (Path(run) / PANEL).is_file() else None
        return as_panel(_read(data, {**_from_json(source), "step": step}), freq=step)
    if (Path(run) / DATA).is_dir():
        return _read(str(Path(run) / DATA), {})
    if stored is None:
        raise InputError(f"expected data, because {run} was trained on data in memory: pass --data")
    place = address_from(stored, run)
    if not is_in_catalogue(place) and not Path(place).exists():
        raise InputError(
            f"expected the data of {run} at {place}, but there is nothing: if they were moved, pass their place with "
            "--data"
        )
    return _read(place, _from_json(source))


def source_of(run: str | Path, config: Document) -> Document:
    """Return the address of a run's data, and the options that they were read with.

    Raises:
        InputError: They are not as training writes them.
    """
    source = config.get("source")
    if source is None:
        return {}
    if not isinstance(source, dict) or not isinstance(source.get("data", ""), str):
        raise InputError(f"expected the address of data as text in the config.json of {run}, got another: pass --data")
    options = {name: value for name, value in source.items() if name != "data"}
    check_names(options, rows(ReadingOptions), "options of reading", f" in the config.json of {run}")
    ReadingOptions(**_from_json(options))
    return dict(source)


def _read(data: str, options: Mapping[str, Any]) -> Panel:
    """Return the panel of data, once what was read and what was guessed about it has been said in one line."""
    remedy = "`elinformer convert` writes a folder of them, which is mapped and not read"
    with explained_memory("the data", remedy):
        panel = load_panel(data, **options)
    say("; ".join([f"read {panel!r}", *panel.notes]), stderr=True)
    return panel


def _from_json(reading: Document) -> Document:
    return {name: math.nan if (name, value) == ("null_value", "nan") else value for name, value in reading.items()}


def _as_json(reading: Document) -> Document:
    """Return options of reading as JSON has them, which has no NaN."""
    null_value = reading["null_value"]
    return {**reading, "null_value": null_value if null_value is None or null_value == null_value else "nan"}  # noqa: PLR0124


def _finish_run(forecaster: Forecaster, panel: Panel, run: str | Path, source: Document) -> Document:
    metrics = _metrics(forecaster, panel, forecaster.fit_result)
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


def _metrics(forecaster: Forecaster, panel: Panel, result: FitResult) -> Document:
    import torch

    data = forecaster.split_panel(panel)
    test = data.origins("test")
    return {
        "data": panel.name,
        "scored": f"{len(test)} windows of the test part",
        **_judged(forecaster, panel, test, data.split.train[1]),
        "validation": _scores(forecaster, panel, data.origins("validation")),
        "train_seconds": round(result.seconds, 2),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "sharpness": result.sharpness,
        "interrupted": result.interrupted,
        "skipped_steps": result.skipped_steps,
        "refit_steps": result.refit_steps,
        "weights": forecaster.trained.weights,
        "history": list(result.history),
        "peak_memory_bytes": _peak_memory(),
        "parameters": forecaster.n_parameters,
        "seed": forecaster.training.seed,
        "versions": {"elinformer": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _scores(forecaster: Forecaster, panel: Panel, origins: np.ndarray) -> Document | None:
    """Return the report of the windows with the first target steps `origins`, or None if there is none."""
    return forecaster.trained.scores(panel, origins).report(panel.channels) if len(origins) else None


def _judged(forecaster: Forecaster, panel: Panel, origins: np.ndarray, known_steps: int) -> Document:
    """Return the reports of forecaster and naive forecasts on some windows, and the verdict on the forecaster."""
    from elinformer.evaluation import judge

    if not len(origins):
        return {"test": None, "naive": {}, "verdict": None}
    trained = forecaster.trained
    sums = trained.scores(panel, origins)
    verdict = judge(
        sums, panel, origins, known_steps=known_steps, scaler=trained.scaler, reads=forecaster.reach.history
    )
    return {
        "test": sums.report(panel.channels),
        "naive": {name: found.report(panel.channels) for name, found in verdict.naives.items()},
        "verdict": verdict.to_dict(),
    }


def _peak_memory() -> int | None:
    """Return the peak memory of the GPU if one was used, else that of this process."""
    from elinformer._memory import peak_device_memory, peak_memory

    on_device = peak_device_memory()
    return peak_memory() if on_device is None else on_device
