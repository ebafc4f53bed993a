"""Commands on runs that are trained: evaluate, forecast, add-series, info."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from elinformer import tables
from elinformer.cli._common import OtherData, Run, out_console, show_scores


def evaluate(
    run: Run,
    data: OtherData = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores to this file.")] = None,
) -> None:
    """Score a run on the test part of its data, beside the naive forecasts."""
    from elinformer.workflows import evaluate_run

    document = evaluate_run(run, data=data, json_file=json_file)
    show_scores(f"test part of {document['data']}", document)


def forecast(
    run: Run,
    out: Annotated[Path, typer.Option(help="A .csv or .parquet file.", show_default=False)],
    data: OtherData = None,
) -> None:
    """Forecast what follows the end of the data."""
    from elinformer.workflows import forecast_run

    rows = forecast_run(run, out, data=data)
    out_console.print(f"{rows} forecasts in {out}")


def add_series(
    run: Run,
    data: Annotated[str, typer.Argument(help="History of the new series and of those of training.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run.", show_default=False)],
    features: Annotated[
        Path | None, typer.Option(help="A CSV file with unique_id and numbers that are known of every series.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that stands there.")] = False,
) -> None:
    """Add series that a run was not trained on, without training again."""
    from elinformer.workflows import add_series_run

    added = add_series_run(run, data, out, features=features, overwrite=overwrite)
    out_console.print(f"added {len(added['series'])} series: {', '.join(added['series'])}", highlight=False)
    out_console.print(tables.added_table(added))


def info(run: Run) -> None:
    """Show what a run is, as JSON."""
    from elinformer.workflows import run_information

    typer.echo(json.dumps(run_information(run), indent=2))
