"""The command that compares models."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from elinformer.cli._common import (
    BatchSize,
    ConfigFile,
    Epochs,
    Horizon,
    NullValue,
    Precision,
    Split,
    Window,
    out_console,
    progress_console,
)


def compare(
    data: Annotated[
        list[str],
        typer.Argument(help="Names of the catalogue or files; x.npz@window=24 for one's own.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The folder; what is done there stays.", show_default=False)],
    models: Annotated[str | None, typer.Option(help="Names with commas; docs/compare.md lists them.")] = None,
    seeds: Annotated[int, typer.Option(help="How many trainings of each model.")] = 3,
    config: ConfigFile = None,
    window: Window = None,
    horizon: Horizon = None,
    split: Split = None,
    null_value: NullValue = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    precision: Precision = None,
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
        "training": {"epochs": epochs, "batch_size": batch_size, "precision": precision},
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
