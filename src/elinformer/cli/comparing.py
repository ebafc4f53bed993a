"""The command that compares models."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from elinformer.cli._common import ConfigFile, screen
from elinformer.cli._flags import with_flags
from elinformer.options import flag_rows, in_tables


@with_flags(flag_rows(compared=True))
def compare(
    data: Annotated[
        list[str],
        typer.Argument(
            help="Files or names of the catalogue, each with options of its own after an @: speeds.npz@window=24.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the comparison; runs that are done there are kept.", show_default=False)
    ],
    models: Annotated[
        str | None,
        typer.Option(help="Names with commas between them, such as elinformer@attention=softmax,stid,last_value."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each model, each with its seed.")] = 3,
    config: ConfigFile = None,
    options: dict[str, Any] | None = None,
    device: Annotated[str, typer.Option(help="Device that training runs on.", metavar="auto|cpu|cuda|mps")] = "auto",
    quick: Annotated[
        bool, typer.Option("--quick", help="Train for three epochs, to see that everything works.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Trainings at once. Default: cores, at most 4; 1 on a GPU.")] = None,
    max_core_minutes: Annotated[
        float | None, typer.Option(help="Minutes times cores after which the comparison ends.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove runs in the folder that have other settings.")
    ] = False,
) -> None:
    """Train and score several models on the same windows, and write tables of the results.

    The same command continues where it was interrupted.
    """
    from elinformer.comparison import compare as compare_models
    from elinformer.comparison.command import models_and_settings
    from elinformer.comparison.report import notes, rich_table, sheets

    chosen, settings = models_and_settings(models, config, in_tables(options or {}))
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
        console=screen(stderr=True),
        command=shlex.join(["elinformer", *sys.argv[1:]]),
    )
    for sheet in sheets(results):
        screen().print(rich_table(sheet))
    for note in notes(results):
        typer.echo(note)
    typer.echo(f"results: {out / 'results.json'}, {out / 'results.md'}")
