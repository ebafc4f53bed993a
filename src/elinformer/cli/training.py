"""Commands that train: demo, train and cross-validate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elinformer._console import plain_console, say
from elinformer.cli._common import ConfigFile, JsonFile, Levels, Overwrite, numbers, show_scores, told_as_json
from elinformer.cli._flags import with_flags
from elinformer.cli.reporting import report_on
from elinformer.errors import InputError
from elinformer.options import flag_rows, in_tables, settings_for

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster

Data = Annotated[str, typer.Argument(help="File, folder, or name of the catalogue.", show_default=False)]
Model = Annotated[str | None, typer.Option(help="Model of docs/models.md. Default: elinformer.")]

BESIDE_RESUME = ("quiet", "resume", "moved_data", "devices", "num_nodes", "series_parallel")
"""Parameters that `train --resume` takes; the run knows all others."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run, the forecast and the picture.")] = Path("demo-out"),
    data: Annotated[str, typer.Option(help="Data set of the catalogue.")] = "nyc-airports",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training.")] = 0,
) -> None:
    """Train on the embedded data set for a minute or two and show the errors of the forecasts."""
    from elinformer.demo import run_demo

    run_demo(out, data=data, seed=seed, console=plain_console(), progress=plain_console(stderr=True))


@with_flags(flag_rows())
def train(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Argument(help="File, folder, or name of the catalogue.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: the name of the data and -run.", show_default=False)
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Run whose interrupted training is continued.", show_default=False)
    ] = None,
    moved_data: Annotated[
        str | None, typer.Option("--data", help="With --resume: the data, if they were moved.", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    model: Model = None,
    options: dict[str, Any] | None = None,
    devices: Annotated[int | None, typer.Option(help="Devices of a machine, one process each. Default: 1.")] = None,
    num_nodes: Annotated[int | None, typer.Option(help="Machines. Default: 1.")] = None,
    series_parallel: Annotated[int, typer.Option(help="Processes that share the series of a window.")] = 1,
) -> None:
    """Train a model and write a run: the model, its scores, a forecast of the next steps and a picture.

    docs/options.md lists the options of a settings file, which are more than the flags.
    """
    if data or resume:
        say(f"reading {data or resume}", stderr=True)
    from elinformer.training.ranks.machines import Machines
    from elinformer.workflows import resume_run, train_run

    machines = Machines(devices, num_nodes, series_parallel)
    if resume is not None:
        _refuse_beside_resume(context)
        metrics = resume_run(resume, data=moved_data, machines=machines)
        _show_training(resume, metrics)
        return
    if data is None or moved_data is not None:
        raise InputError("expected data, or --resume RUN: `elinformer train --help` says more")
    run = out or Path(f"{Path(data).stem}-run")
    settings = settings_for(data, config, {**in_tables(options or {}), "model": {"name": model}})
    trained: list[tuple[Forecaster, Panel]] = []
    written: list[Path | None] = []

    def then(forecaster: Forecaster, panel: Panel) -> None:
        from elinformer.report.outputs import write_forecasts

        trained.append((forecaster, panel))
        written.extend(write_forecasts(forecaster, panel, run))

    metrics = train_run(data, run, settings, overwrite=overwrite, machines=machines, then=then)
    _show_training(run, metrics, *trained)
    if written:
        from elinformer.report.outputs import picture_line

        typer.echo(f"forecast: {written[0]}, picture: {picture_line(written[1])}")


@with_flags({name: row for name, row in flag_rows().items() if name != "refit"})
def cross_validate(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the forecasts and of the trainings.", show_default=False)],
    n_windows: Annotated[int, typer.Option(help="Windows to forecast; the last one ends with the data.")] = 5,
    step_size: Annotated[int | None, typer.Option(help="Steps between two windows. Default: the horizon.")] = None,
    every: Annotated[
        int, typer.Option("--refit", help="Windows between two trainings; 0 = train once, before all windows.")
    ] = 0,
    warm_start: Annotated[
        bool, typer.Option("--warm-start", help="Start each training from the weights of the one before.")
    ] = False,
    level: Levels = None,
    config: ConfigFile = None,
    model: Model = None,
    options: dict[str, Any] | None = None,
    json_file: JsonFile = None,
) -> None:
    """Forecast several windows with a rolling origin, each by a model that was trained on what was before.

    The same command continues where it was interrupted.
    """
    from elinformer.report.tables import cutoff_table, errors_by_cutoff
    from elinformer.workflows import cross_validate_data

    settings = settings_for(data, config, {**in_tables(options or {}), "model": {"name": model}})
    frame = cross_validate_data(
        data,
        out,
        settings,
        n_windows=n_windows,
        step_size=step_size,
        refit=every,
        warm_start=warm_start,
        level=numbers("level", level),
    )
    errors = errors_by_cutoff(frame)
    if not told_as_json(json.loads(errors.to_json(orient="records", date_format="iso")), json_file):
        plain_console().print(cutoff_table(errors))
        say(f"forecasts: {out / 'forecasts.csv'}")


@with_flags(flag_rows())
def tune(
    data: Data,
    out: Annotated[
        Path, typer.Option(help="Folder of the trials, and of settings.toml with the best.", show_default=False)
    ],
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="Option with its values: n_layers=1,2,3, dropout=0:0.3 or learning_rate=5e-4:1e-2:log. May be given "
            "several times. Default: these three.",
            metavar="NAME=VALUES",
        ),
    ] = None,
    n_trials: Annotated[int, typer.Option(help="Trials in all, with those in the folder.")] = 20,
    seconds: Annotated[
        float | None, typer.Option("--search-seconds", help="Seconds after which no trial starts.")
    ] = None,
    config: ConfigFile = None,
    model: Model = None,
    options: dict[str, Any] | None = None,
    json_file: JsonFile = None,
) -> None:
    """Search for better options of a model by the error of validation; the test part is never seen.

    The same command continues where it was interrupted.
    """
    from elinformer.report.tables import trial_table
    from elinformer.workflows import tune_data

    say(f"reading {data}", stderr=True)
    settings = settings_for(data, config, {**in_tables(options or {}), "model": {"name": model}})
    tuning, path = tune_data(data, out, settings, search=search or (), n_trials=n_trials, time_limit=seconds)
    document = {"options": tuning.options, "loss": tuning.loss, "default_loss": tuning.default_loss}
    if not told_as_json(document, json_file):
        plain_console().print(trial_table(tuning.trials, list(tuning.options)))
        say(f"settings: {path}; `elinformer train {data} --config {path}` trains with them")


def _refuse_beside_resume(context: typer.Context) -> None:
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in BESIDE_RESUME}
    others = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if others:
        flags = " or ".join("DATA" if name == "data" else "--" + name.replace("_", "-") for name in others)
        raise InputError(
            f"expected no {flags} beside --resume, because the run has its settings: leave it out; --data names data "
            "that were moved"
        )


def _show_training(run: Path, metrics: dict[str, Any], opened: tuple[Forecaster, Panel] | None = None) -> None:
    from elinformer._process import is_first_process

    if metrics["interrupted"]:
        say(
            f"interrupted: {run} holds the best weights so far, of epoch {metrics['best_epoch']}; go on with "
            f"`elinformer train --resume {run}`",
            stderr=True,
        )
        raise typer.Exit(130)
    show_scores(metrics)
    if steps := metrics["refit_steps"]:
        say(
            f"scores are of weights that have not seen the test part, forecasts of them after {steps} "
            f"{'step' if steps == 1 else 'steps'} on all data"
        )
    say(f"run: {run}  ({metrics['train_seconds']:.0f} s of training, best epoch {metrics['best_epoch']})")
    if is_first_process():
        report_on(run, opened)
