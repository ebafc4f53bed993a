"""Commands on runs that are trained: evaluate, forecast, info."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from elinformer.cli._common import OtherData, Run, out_console, show_scores


def evaluate(
    run: Run,
    data: OtherData = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores to this file.")] = None,
) -> None:
    """Score a run on the test part of its data, beside the naive forecasts."""
    from elinformer.runs import evaluate_run

    document = evaluate_run(run, data=data, json_file=json_file)
    show_scores(f"test part of {document['data']}", document)


def forecast(
    run: Run,
    out: Annotated[Path, typer.Option(help="A .csv or .parquet file.", show_default=False)],
    data: OtherData = None,
) -> None:
    """Forecast what follows the end of the data."""
    from elinformer.runs import forecast_run

    rows = forecast_run(run, out, data=data)
    out_console.print(f"{rows} forecasts in {out}")


def info(run: Run) -> None:
    """Show what a run is, as JSON."""
    from elinformer.runs import run_information

    typer.echo(json.dumps(run_information(run), indent=2))
