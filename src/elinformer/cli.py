"""The command line: parse, call, print. What needs torch or pandas is imported when a command runs."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from elinformer import __version__, tables
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from elinformer.settings import Settings

app = typer.Typer(
    help="Forecast many related time series together, with attention that is linear in their number.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
datasets_app = typer.Typer(help="List the data sets of the catalogue, or fetch one.", invoke_without_command=True)
app.add_typer(datasets_app, name="datasets")

out_console = Console()
progress_console = Console(stderr=True)

Run = Annotated[Path, typer.Argument(help="A folder that `elinformer train` wrote.", show_default=False)]
OtherData = Annotated[str | None, typer.Option("--data", help="Other data than those of training.")]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"elinformer {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that stand before a command."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the run, the forecast and the picture go.")] = Path("demo-out"),
    data: Annotated[str, typer.Option(help="A data set of the catalogue.")] = "nyc-airports",
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train on the embedded data set for a minute and show how it did."""
    from elinformer.demo import run_demo

    run_demo(out, data=data, seed=seed, console=out_console, progress=progress_console)


@app.command()
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
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings; options given here win.")] = None,
    model: Annotated[str | None, typer.Option(help="A model of docs/models.md. Default elinformer.")] = None,
    window: Annotated[int | None, typer.Option(help="Input steps. Default 12.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Output steps. Default 12.")] = None,
    lags: Annotated[str | None, typer.Option(help="Seasons read too, in steps: 168 for last week's hours.")] = None,
    split: Annotated[str | None, typer.Option(help="Training, validation, test. Default 0.6,0.2,0.2.")] = None,
    null_value: Annotated[float | None, typer.Option(help="A number that stands for missing, often 0.")] = None,
    start: Annotated[str | None, typer.Option(help="Time of the first step, for a file that does not say.")] = None,
    freq: Annotated[str | None, typer.Option(help="Step such as 5min, for a file that does not say.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training windows. Default 30.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows a step. Default 16.")] = None,
    loss_scale: Annotated[str | None, typer.Option(help="channel; series or seasonal for mixed units.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and dropout. Default 0.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, mps. Default auto.")] = None,
    logger: Annotated[str | None, typer.Option(help="tensorboard or csv.")] = None,
    devices: Annotated[int | None, typer.Option(help="Devices a machine, one process each. Default 1.")] = None,
    num_nodes: Annotated[int | None, typer.Option(help="Machines. Default 1.")] = None,
    series_parallel: Annotated[int, typer.Option(help="Processes that share the series of a window.")] = 1,
) -> None:
    """Train on a panel and write a run: model, scores, and all that `evaluate` and `forecast` need."""
    from elinformer.runs import resume_run, train_run
    from elinformer.settings import parse_lags, parse_split
    from elinformer.training.parallel.machines import Machines

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
    settings = _settings(data, config, said)
    metrics = train_run(data, out, settings, overwrite=overwrite, console=progress_console, machines=machines)
    _show_training(out, metrics)


@app.command()
def compare(
    data: Annotated[
        list[str],
        typer.Argument(help="Names of the catalogue or files; x.npz@window=24 for one's own.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The folder; what is done there stays.", show_default=False)],
    models: Annotated[str | None, typer.Option(help="Names with commas; docs/compare.md lists them.")] = None,
    seeds: Annotated[int, typer.Option(help="How many trainings of each model.")] = 3,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings; options given here win.")] = None,
    window: Annotated[int | None, typer.Option(help="Input steps. Default 12.")] = None,
    horizon: Annotated[int | None, typer.Option(help="Output steps. Default 12.")] = None,
    split: Annotated[str | None, typer.Option(help="Training, validation, test. Default 0.6,0.2,0.2.")] = None,
    null_value: Annotated[float | None, typer.Option(help="A number that stands for missing, often 0.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training windows. Default 30.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows a step. Default 16.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Three epochs: to see that everything works.")] = False,
    jobs: Annotated[int | None, typer.Option(help="Trainings at once. Default: cores, at most 4; 1 on a GPU.")] = None,
    max_core_minutes: Annotated[float | None, typer.Option(help="End after so many minutes times cores.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove runs of other settings there.")] = False,
) -> None:
    """Train and score several models on the same windows, and write tables of the results."""
    from elinformer.comparison import compare as compare_models
    from elinformer.comparison.command import models_and_settings
    from elinformer.comparison.report import notes, rich_table, sheets

    said = {
        "window": window,
        "horizon": horizon,
        "split": split,
        "null_value": null_value,
        "training": {"epochs": epochs, "batch_size": batch_size},
    }
    chosen, settings = models_and_settings(models, config, said)
    results = compare_models(
        data,
        chosen,
        out=out,
        seeds=seeds,
        settings=settings,
        device=device,
        quick=quick,
        jobs=jobs,
        max_core_minutes=max_core_minutes,
        overwrite=overwrite,
        console=progress_console,
        command=shlex.join(["elinformer", *sys.argv[1:]]),
    )
    for sheet in sheets(results):
        out_console.print(rich_table(sheet))
    for note in notes(results):
        out_console.print(note, highlight=False, soft_wrap=True)
    out_console.print(f"results: {out / 'results.json'}, {out / 'results.md'}", highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    run: Run,
    data: OtherData = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores to this file.")] = None,
) -> None:
    """Score a run on the test part of its data, beside the naive forecasts."""
    from elinformer.runs import evaluate_run

    document = evaluate_run(run, data=data, json_file=json_file)
    _show_scores(f"test part of {document['data']}", document)


@app.command()
def forecast(
    run: Run,
    out: Annotated[Path, typer.Option(help="A .csv or .parquet file.", show_default=False)],
    data: OtherData = None,
) -> None:
    """Forecast what follows the end of the data."""
    from elinformer.runs import forecast_run

    rows = forecast_run(run, out, data=data)
    out_console.print(f"{rows} forecasts in {out}")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A file or folder.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder for the panel.", show_default=False)],
    null_value: Annotated[float | None, typer.Option(help="A number that stands for missing, often 0.")] = None,
    start: Annotated[str | None, typer.Option(help="Time of the first step, for a file that does not say.")] = None,
    freq: Annotated[str | None, typer.Option(help="Step such as 5min, for a file that does not say.")] = None,
    steps_per_day: Annotated[int | None, typer.Option(help="For data of service hours alone.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a panel that stands there.")] = False,
) -> None:
    """Write a panel to a folder of mapped arrays, which may be larger than memory."""
    from elinformer.data.conversion import convert_panel

    with _progress("converting") as progress:
        panel = convert_panel(
            source,
            out,
            null_value=null_value,
            start=start,
            freq=freq,
            steps_per_day=steps_per_day,
            overwrite=overwrite,
            progress=progress,
        )
    out_console.print(f"{out}: {panel}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def info(run: Run) -> None:
    """Show what a run is, as JSON."""
    from elinformer.runs import run_information

    typer.echo(json.dumps(run_information(run), indent=2))


@datasets_app.callback()
def datasets(context: typer.Context) -> None:
    """List the data sets of the catalogue."""
    if context.invoked_subcommand is None:
        from elinformer.data.catalog import CATALOG

        out_console.print(tables.dataset_table(CATALOG.values()))


@datasets_app.command()
def fetch(name: Annotated[str, typer.Argument(help="A name of the catalogue.", show_default=False)]) -> None:
    """Fetch a data set into the cache, check it, and say where it is."""
    from elinformer.data.fetch import fetch_dataset

    out_console.print(str(fetch_dataset(name)))


@contextmanager
def _progress(what: str) -> Generator[Callable[[int, int], None]]:
    """A bar on a terminal; gives the function to tell it how much is done, of how much."""
    columns = TextColumn(f"[bold]{what}"), BarColumn(bar_width=24), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(
        *columns, console=progress_console, transient=True, disable=not progress_console.is_terminal
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _settings(data: str, config: Path | None, said: dict[str, Any]) -> Settings:
    from elinformer.settings import Settings, catalogue_settings, read_settings

    settings = Settings().updated(catalogue_settings(data))
    return settings.updated({} if config is None else read_settings(config)).updated(said)


def _refuse_beside_resume(context: typer.Context) -> None:
    may_be = {"resume", "data", "devices", "num_nodes", "series_parallel"}
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in may_be}
    others = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if others:
        options = " or ".join("--" + name.replace("_", "-") for name in others)
        raise InputError(f"expected no {options} beside --resume, because the run says how it is trained: leave it out")


def _show_training(run: Path, metrics: dict[str, Any]) -> None:
    from elinformer.training.parallel.machines import is_first_process

    if not is_first_process():
        return
    _show_scores(f"test part of {metrics['data']}", metrics)
    out_console.print(f"run: {run}  ({metrics['train_seconds']:.0f} s of training, best epoch {metrics['best_epoch']})")


def _show_scores(title: str, document: dict[str, Any]) -> None:
    if document["test"] is None:
        out_console.print("the split has no test part: nothing was scored")
        return
    out_console.print(tables.score_table(title, document["test"], document["naive"]))
    if len(document["test"]["by_channel"]) > 1:
        out_console.print(tables.channel_table(document["test"], document["naive"]))
