"""Commands on a run and newer data: update, finetune, fill and anomalies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from elinformer._console import plain_console, say
from elinformer.cli._common import Features, JsonFile, OtherData, Overwrite, Run, told_as_json

NewData = Annotated[
    str, typer.Option("--data", help="New rows, which follow the data of the run or overlap.", show_default=False)
]
SHOWN = 20
"""Unusual readings that are printed at most."""


def update(
    run: Run,
    data: NewData,
    revise: Annotated[
        bool, typer.Option("--revise", help="Take the new value where a row contradicts the data.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Append new rows to the data of a run, without training, so that it forecasts the steps after them."""
    from elinformer.new_data import update_run

    say(f"reading {data}", stderr=True)
    document = update_run(run, data, revise=revise)
    if not told_as_json(document, json_file):
        say(f"{run}: {document['steps'] - document['steps_before']} new steps, {document['steps']} in all, to "
            f"{document['last']}; `elinformer forecast {run} --out forecast.csv` goes on from there")  # fmt: skip


def finetune(
    run: Run,
    data: NewData,
    out: Annotated[Path, typer.Option(help="Folder of the new run.", show_default=False)],
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps of 16 windows. Default: 200.")] = None,
    features: Features = None,
    overwrite: Overwrite = False,
    json_file: JsonFile = None,
) -> None:
    """Train a run further with new rows, and keep what it knew. New series are added first."""
    from elinformer.new_data import finetune_run
    from elinformer.report.tables import finetuning_table

    say(f"reading {data}", stderr=True)
    document = finetune_run(run, data, out, steps=steps, features=features, overwrite=overwrite)
    if not told_as_json(document, json_file):
        plain_console().print(finetuning_table(document))
        say(f"run: {out}")


def fill(
    run: Run,
    out: Annotated[Path, typer.Option(help="File that ends in .csv or .parquet.", show_default=False)],
    data: OtherData = None,
    json_file: JsonFile = None,
) -> None:
    """Fill the missing values of data, and write all values with a column that says which were filled."""
    from elinformer.new_data import fill_run

    say(f"reading {data or run}", stderr=True)
    document = fill_run(run, out, data=data)
    if not told_as_json(document, json_file):
        say(f"filled {document['filled']} of {document['values']} values: {out}")


def anomalies(
    run: Run,
    data: OtherData = None,
    level: Annotated[
        float, typer.Option(help="Percent of the usual errors of a forecast of one step that are not reported.")
    ] = 99,
    out: Annotated[Path | None, typer.Option(help="File for all of them, .csv or .parquet.")] = None,
    json_file: JsonFile = None,
) -> None:
    """List readings that lie outside of the usual errors of the forecasts, the farthest first."""
    from elinformer.new_data import anomalies_run
    from elinformer.report.tables import anomaly_table
    from elinformer.workflows import check_table, write_table

    if out is not None:
        check_table(out)
    say(f"reading {data or run}", stderr=True)
    frame = anomalies_run(run, data=data, level=level)
    if out is not None:
        write_table(frame, out)
    if not told_as_json(json.loads(frame.to_json(orient="records", date_format="iso")), json_file):
        plain_console().print(anomaly_table(frame.head(SHOWN), len(frame)))
        say(f"all of them: {out}" if out else "--out FILE writes all of them")
