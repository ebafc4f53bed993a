"""Runs: from data to a folder with a trained model, its scores and its forecasts."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer import __version__
from elinformer._files import new_file
from elinformer.data.address import load_panel, whole_address
from elinformer.errors import InputError
from elinformer.options import Settings
from elinformer.run_folder.folder import (
    CONFIG,
    METRICS,
    TRAINING,
    check_run_folder,
    finished_config,
    read_config,
    read_json,
    read_progress,
    write_json,
)
from elinformer.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from elinformer.data.panel import Panel
    from elinformer.data.windows import PartName
    from elinformer.forecaster import Forecaster
    from elinformer.training import FitResult
    from elinformer.training.ranks.machines import Machines

Document = dict[str, Any]


def train_run(
    data: str,
    out: str | Path,
    settings: Settings,
    *,
    overwrite: bool = False,
    console: Console | None = None,
    machines: Machines | None = None,
) -> Document:
    """Train on `data`, score validation and test part, and write the run folder `out`.

    The folder is there before the first step, with checkpoints as training goes, and is finished by the scores:
    `resume_run` goes on where training was killed.

    Returns:
        What `out/metrics.json` holds.

    Raises:
        InputError: Data or settings that cannot be used, or a folder that may not be written to.
    """
    check_run_folder(out, overwrite=overwrite)
    panel = load_panel(data, **settings.reading)
    _check_observed(panel)
    forecaster = forecaster_for(settings, settings.model, TrainingConfig.of(settings.training))
    source = {"data": whole_address(data), **settings.reading}
    run = forecaster.new_run(out, panel, source=source, overwrite=overwrite)
    return _finished(forecaster.fit(panel, console=console, run=run, machines=machines), panel, out, source)


def resume_run(
    run: str | Path, *, data: str | None = None, console: Console | None = None, machines: Machines | None = None
) -> Document:
    """Go on with a `train_run` that was killed, or ended early by Ctrl-C, and finish its folder.

    Args:
        run: The folder.
        data: Where the data are now, if they were moved.
        console: Where the progress bar goes; standard error by default.
        machines: On how many devices, which need not be as many as before.

    Returns:
        What `metrics.json` holds then.

    Raises:
        InputError: No unfinished run, or its data are not there or have changed.
    """
    read_config(Path(run))
    from elinformer.forecaster import Forecaster
    from elinformer.run_folder.folder import UnfinishedRun

    config = UnfinishedRun.open(run).config
    panel = _panel_of(run, config, data, option="DATA")
    source = (config.get("source") or {}) | ({} if data is None else {"data": whole_address(data)})
    return _finished(Forecaster.resume(run, panel, console=console, machines=machines), panel, run, source)


def evaluate_run(run: str | Path, *, data: str | None = None, json_file: str | Path | None = None) -> Document:
    """Score a run on the test part of its own data, or of `data`, and of the naive forecasts beside it."""
    forecaster, panel = open_run(run, data)
    document = {
        "data": panel.name,
        "test": _scores(forecaster, panel, "test"),
        "naive": _naive_scores(forecaster, panel),
    }
    if json_file is not None:
        write_json(json_file, document)
    return document


def forecast_run(run: str | Path, out: str | Path, *, data: str | None = None) -> int:
    """Forecast what follows the end of the data into a `.csv` or `.parquet` file; returns the number of rows."""
    suffix = Path(out).suffix
    if suffix not in {".csv", ".parquet"}:
        raise InputError(f"expected a file that ends in .csv or .parquet, got {str(out)!r}")
    forecaster, panel = open_run(run, data)
    frame = forecaster.predict(panel)
    with new_file(out) as path:
        frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path, index=False)
    return len(frame)


def add_series_run(
    run: str | Path, data: str, out: str | Path, *, features: str | Path | None = None, overwrite: bool = False
) -> Document:
    """Add the series of `data` that a run does not know, and write the run `out`; see `Forecaster.add_series`.

    Args:
        run: The folder of the run, which is left as it is.
        data: Where the history of the new series and of those of training is; read as the data of training were.
        out: A folder.
        features: A CSV file with `unique_id` and columns of numbers.
        overwrite: Whether a run that stands in `out` is replaced.

    Returns:
        What was added, and the errors that were measured.
    """
    check_run_folder(out, overwrite=overwrite)
    forecaster, panel = open_run(run, data)
    from elinformer.data.covariates import read_features

    grown = forecaster.add_series(panel, features=None if features is None else read_features(features))
    source = (read_json(Path(run) / CONFIG).get("source") or {}) | {"data": whole_address(data)}
    grown.save(out, source=source)
    return dict(grown.added or {})


def run_information(run: str | Path) -> Document:
    """What a run is: its settings, its series, its scores; for an unfinished run its settings and how far it is."""
    config = read_config(Path(run))
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
    """The forecaster of a run, and the data it was trained on or `data` read in the same way."""
    config = finished_config(run)
    panel = _panel_of(run, config, data)
    from elinformer.forecaster import Forecaster

    return Forecaster.load(run), panel


def _panel_of(run: str | Path, config: Document, data: str | None, option: str = "--data") -> Panel:
    source = config.get("source") or {}
    if data is None and "data" not in source:
        raise InputError(f"expected data, because {run} was trained on a frame of Python: pass {option}")
    how = {key: value for key, value in source.items() if key != "data"}
    return load_panel(data or source["data"], **how)


def _finished(forecaster: Forecaster, panel: Panel, run: str | Path, source: Document) -> Document:
    metrics = _metrics(forecaster, panel, forecaster.fit_result)
    forecaster.save(run, metrics=metrics, source=source)
    return metrics


def forecaster_for(settings: Settings, model: Mapping[str, Any], training: TrainingConfig) -> Forecaster:
    """One that is not trained yet, with window, horizon, lags, split and scaling of the settings."""
    from elinformer.forecaster import Forecaster

    return Forecaster(
        settings.window,
        settings.horizon,
        lags=settings.lags,
        split=settings.split,
        scale_per=settings.scale_per,
        model=model,
        training=training,
    )


def _check_observed(panel: Panel) -> None:
    """Refuse series without any value: in a file they are a mistake more often than not."""
    silent = np.flatnonzero(~panel.mask.any((0, 2)))
    if len(silent):
        raise InputError(
            f"expected at least one value of every series, but {panel.series[silent[0]]!r} of {panel.name} is all "
            f"missing ({len(silent)} in all): leave such series out"
        )


def _metrics(forecaster: Forecaster, panel: Panel, result: FitResult) -> Document:
    import torch

    return {
        "data": panel.name,
        "test": _scores(forecaster, panel, "test"),
        "validation": _scores(forecaster, panel, "validation"),
        "naive": _naive_scores(forecaster, panel),
        "train_seconds": round(result.seconds, 2),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "sharpness": result.sharpness,
        "interrupted": result.interrupted,
        "skipped_steps": result.skipped_steps,
        "peak_memory_bytes": _peak_memory(),
        "parameters": forecaster.n_parameters,
        "seed": forecaster.training.seed,
        "versions": {"elinformer": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _scores(forecaster: Forecaster, panel: Panel, part: PartName) -> Document | None:
    """Return the report of a part, None where the split leaves it without a window."""
    if not len(forecaster.split_panel(panel).origins(part)):
        return None
    return forecaster.backtest(panel, part=part).report(panel.channels)


def _naive_scores(forecaster: Forecaster, panel: Panel) -> Document:
    """Return reports of the naive forecasts on the windows of the test part."""
    from elinformer.evaluation import naives_for, score_naive

    split = forecaster.split_panel(panel)
    origins = split.origins("test")
    return {
        naive.name: score_naive(naive, panel, origins, split.reach.horizon, split.moments.mean).report(panel.channels)
        for naive in naives_for(panel)
        if len(origins)
    }


def _peak_memory() -> int | None:
    """Of the GPU where one was used, else of this process."""
    from elinformer._memory import peak_device_memory, peak_memory

    on_device = peak_device_memory()
    return peak_memory() if on_device is None else on_device
