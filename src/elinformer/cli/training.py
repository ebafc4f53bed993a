"""Commands that train: demo and train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from elinformer.cli._common import (
    BatchSize,
    ConfigFile,
    Epochs,
    Freq,
    Horizon,
    NullValue,
    Precision,
    Split,
    Start,
    Window,
    out_console,
    progress_console,
    settings_for,
    show_scores,
)
from elinformer.errors import InputError


def demo(
    out: Annotated[Path, typer.Option(help="Where the run, the forecast and the picture go.")] = Path("demo-out"),
    data: Annotated[str, typer.Option(help="A data set of the catalogue.")] = "nyc-airports",
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train on the embedded data set for a minute and show how it did."""
    from elinformer.demo import run_demo

    run_demo(out, data=data, seed=seed, console=out_console, progress=progress_console)


def train(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Argument(help="A name of the catalogue, or a file or folder.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder for the run.", show_default=False)] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run, which was killed or ended by Ctrl-C.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that stands there.")] = False,
    config: ConfigFile = None,
    model: Annotated[str | None, typer.Option(help="A model of docs/models.md. Default elinformer.")] = None,
    window: Window = None,
    horizon: Horizon = None,
    lags: Annotated[str | None, typer.Option(help="Seasons read too, in steps: 168 for last week's hours.")] = None,
    split: Split = None,
    null_value: NullValue = None,
    start: Start = None,
    freq: Freq = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    loss_scale: Annotated[str | None, typer.Option(help="channel; series or seasonal for mixed units.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and dropout. Default 0.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, mps. Default auto.")] = None,
    precision: Precision = None,
    logger: Annotated[str | None, typer.Option(help="tensorboard or csv.")] = None,
    devices: Annotated[int | None, typer.Option(help="Devices a machine, one process each. Default 1.")] = None,
    num_nodes: Annotated[int | None, typer.Option(help="Machines. Default 1.")] = None,
    series_parallel: Annotated[int, typer.Option(help="Processes that share the series of a window.")] = 1,
) -> None:
    """Train on a panel and write a run: model, scores, and all that `evaluate` and `forecast` need."""
    from elinformer.settings import parse_lags, parse_split
    from elinformer.training.ranks.machines import Machines
    from elinformer.workflows import resume_run, train_run

    machines = Machines(devices, num_nodes, series_parallel)
    if resume is not None:
        _refuse_beside_resume(context)
        _show_training(resume, resume_run(resume, data=data, console=progress_console, machines=machines))
        return
    if data is None or out is None:
        raise InputError("expected data and --out RUN, or --resume RUN: `elinformer train --help` says more")
    training = {
        "epochs": epochs,
        "batch_size": batch_size,
        "loss_scale": loss_scale,
        "seed": seed,
        "device": device,
        "precision": precision,
        "logger": logger,
    }
    said = {
        "window": window,
        "horizon": horizon,
        "lags": None if lags is None else parse_lags(lags),
        "split": None if split is None else parse_split(split),
        "null_value": null_value,
        "start": start,
        "freq": freq,
        "model": {"name": model},
        "training": training,
    }
    settings = settings_for(data, config, said)
    metrics = train_run(data, out, settings, overwrite=overwrite, console=progress_console, machines=machines)
    _show_training(out, metrics)


def _refuse_beside_resume(context: typer.Context) -> None:
    may_be = {"resume", "data", "devices", "num_nodes", "series_parallel"}
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in may_be}
    others = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if others:
        options = " or ".join("--" + name.replace("_", "-") for name in others)
        raise InputError(f"expected no {options} beside --resume, because the run says how it is trained: leave it out")


def _show_training(run: Path, metrics: dict[str, Any]) -> None:
    from elinformer._process import is_first_process

    if not is_first_process():
        return
    show_scores(f"test part of {metrics['data']}", metrics)
    flattened = "" if metrics["sharpness"] == 1 else f", attention at {metrics['sharpness']:g} of its sharpness"
    told = f"{metrics['train_seconds']:.0f} s of training, best epoch {metrics['best_epoch']}{flattened}"
    out_console.print(f"run: {run}  ({told})")
