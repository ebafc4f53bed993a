"""Commands on trained runs: evaluate, forecast, add-series, info."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from elinformer._console import plain_console
from elinformer.cli._common import OtherData, Run, show_scores


def evaluate(
    run: Run,
    data: OtherData = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for the scores.")] = None,
) -> None:
    """Score a run on the test part of its data, or on all windows of other data, beside naive forecasts."""
    from elinformer.workflows import evaluate_run

    document = evaluate_run(run, data=data, json_file=json_file)
    show_scores(document)


def forecast(
    run: Run,
    out: Annotated[Path, typer.Option(help="File that ends in .csv or .parquet.", show_default=False)],
    data: OtherData = None,
) -> None:
    """Forecast the steps after the end of the data."""
    from elinformer.workflows import forecast_run

    rows = forecast_run(run, out, data=data)
    typer.echo(f"{rows} forecasts in {out}")


def add_series(
    run: Run,
    data: Annotated[
        str, typer.Argument(help="History of the new series and of the series of training.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new run.", show_default=False)],
    features: Annotated[
        Path | None, typer.Option(help="CSV file with unique_id and numbers that describe each series.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run in this folder.")] = False,
) -> None:
    """Add series that a run was not trained on, without another training."""
    from elinformer.report.tables import added_table
    from elinformer.workflows import add_series_run

    added = add_series_run(run, data, out, features=features, overwrite=overwrite)
    typer.echo(f"added {len(added['series'])} series: {', '.join(added['series'])}")
    plain_console().print(added_table(added))


def info(run: Run) -> None:
    """Print settings, series and scores of a run as JSON."""
    from elinformer.workflows import run_information

    typer.echo(json.dumps(run_information(run), indent=2))
