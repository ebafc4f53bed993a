"""Commands on trained runs: evaluate, forecast, plot, add-series, info."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from elinformer._console import plain_console, say
from elinformer.cli._common import (
    Features,
    JsonFile,
    Levels,
    OtherData,
    Overwrite,
    Run,
    numbers,
    show_scores,
    told_as_json,
)

FutureData = Annotated[
    Path | None,
    typer.Option(help="Table of unique_id, ds and the future covariates of the steps to forecast, .csv or .parquet."),
]


def evaluate(run: Run, data: OtherData = None, json_file: JsonFile = None) -> None:
    """Score a run on the test part of its data, or on all windows of other data, beside naive forecasts."""
    from elinformer.workflows import evaluate_run

    say(f"reading {data or run}", stderr=True)
    document = evaluate_run(run, data=data)
    if not told_as_json(document, json_file):
        show_scores(document)


def forecast(
    run: Run,
    out: Annotated[Path, typer.Option(help="File that ends in .csv or .parquet.", show_default=False)],
    data: OtherData = None,
    future_data: FutureData = None,
    level: Levels = None,
    quantiles: Annotated[
        str | None, typer.Option(help="Quantiles, instead of levels: 0.1,0.9.", metavar="<numbers>")
    ] = None,
    scenarios: Annotated[
        int | None, typer.Option(help="Joint scenarios, a column each, for intervals of sums and maxima.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the scenarios.")] = 0,
) -> None:
    """Forecast the steps after the end of the data."""
    from elinformer.workflows import forecast_run

    say(f"reading {data or run}", stderr=True)
    wanted = {"level": numbers("level", level), "quantiles": numbers("quantiles", quantiles)}
    rows = forecast_run(run, out, data=data, future_data=future_data, **wanted, scenarios=scenarios, seed=seed)
    say(f"{rows} forecasts in {out}")


def plot(
    run: Run,
    out: Annotated[Path, typer.Option(help="File that ends in .png, .svg or .pdf.", show_default=False)],
    data: OtherData = None,
    series: Annotated[str, typer.Option(help="worst, best, or names with commas between them.")] = "worst",
    n: Annotated[int, typer.Option("--number", help="Number of the worst or best series.")] = 6,
    ahead: Annotated[
        bool, typer.Option("--future", help="Draw the steps after the end of the data, not those that are scored.")
    ] = False,
) -> None:
    """Draw forecasts beside what happened, or those of the steps after the end of the data."""
    from elinformer.workflows import plot_run

    plot_run(run, out, data=data, series=series, n=n, future=ahead)
    say(f"picture: {out}")


def explain(
    run: Run,
    series: Annotated[str, typer.Option(help="Name of the series.", show_default=False)],
    step: Annotated[int, typer.Option(help="Step of the forecast, 1 = the first one after the data.")] = 1,
    data: OtherData = None,
    future_data: FutureData = None,
    channel: Annotated[str | None, typer.Option(help="Name of the channel; by default the first one.")] = None,
    out: Annotated[Path | None, typer.Option(help="File for a picture that ends in .png, .svg or .pdf.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Explain a forecast: which past steps, covariates and other series moved it."""
    from elinformer.workflows import explain_run

    say(f"reading {data or run}", stderr=True)
    place = 0 if channel is None else channel
    explanation = explain_run(run, series, step, channel=place, data=data, future_data=future_data, out=out)
    if not told_as_json(explanation.to_document(), json_file):
        typer.echo(repr(explanation))
    if out is not None:
        say(f"picture: {out}", stderr=json_file == "-")


def add_series(
    run: Run,
    data: Annotated[
        str, typer.Argument(help="History of the new series and of the series of training.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new run.", show_default=False)],
    features: Features = None,
    overwrite: Overwrite = False,
) -> None:
    """Add series that a run was not trained on, without another training."""
    from elinformer.report.tables import added_table
    from elinformer.workflows import add_series_run

    say(f"reading {data}", stderr=True)
    added = add_series_run(run, data, out, features=features, overwrite=overwrite)
    say(f"added {len(added['series'])} series: {', '.join(added['series'])}")
    plain_console().print(added_table(added))


def info(
    path: Annotated[
        Path | None, typer.Argument(help="Run, or panel on disk. Default: this installation.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read all of it, and compare it with its checksums.")] = False,
) -> None:
    """Print a run, a panel on disk, or this installation for a bug report, as JSON."""
    if path is None:
        from elinformer.comparison.machine import describe_installation

        document = describe_installation()
    else:
        from elinformer.workflows import information

        document = information(path, check=check)
    typer.echo(json.dumps(document, indent=2))
