"""Arguments that several commands have, and the table of scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from elinformer._console import plain_console, say
from elinformer.errors import InputError

Run = Annotated[Path, typer.Argument(help="Folder that `elinformer train` wrote.", show_default=False)]
OtherData = Annotated[str | None, typer.Option("--data", help="Other data than those of training.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite/--no-overwrite", help="Replace what is in this folder.", show_default=False)
]
JsonFile = Annotated[
    str | None, typer.Option("--json", help="JSON file for the result; - prints it instead of the words.")
]
Levels = Annotated[str | None, typer.Option(help="Levels of intervals in percent: 80,95.", metavar="<numbers>")]
Features = Annotated[
    Path | None,
    typer.Option(help="CSV or Parquet file with unique_id and numbers or categories that describe each series."),
]
ConfigFile = Annotated[
    Path | None, typer.Option(help="TOML file of settings; flags of the command line win over it.", show_default=False)
]


def told_as_json(document: Any, json_file: str | None) -> bool:
    """Write a document as JSON where it was asked for; return True if it was printed, so that no words follow."""
    if json_file == "-":
        typer.echo(json.dumps(document, indent=2))
    elif json_file is not None:
        from elinformer._files import write_json

        write_json(json_file, document)
    return json_file == "-"


def numbers(name: str, text: str | None) -> list[float] | None:
    """Return the numbers of a flag, such as "80,95".

    Raises:
        InputError: A part of the text is no number.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"expected --{name} as numbers such as {'80,95' if name == 'level' else '0.1,0.9'}, got {text!r}"
        ) from error


def show_scores(document: dict[str, Any]) -> None:
    """Print the scores of a document of `evaluate_run` or `train_run` beside those of the naive forecasts."""
    from elinformer.report import tables

    if document["test"] is None:
        say("the split has no test part: nothing was scored")
        return
    say(f"{document['data']}: {document['scored']}")
    console = plain_console()
    console.print(tables.score_table(document["data"], document))
    console.print(tables.interval_text(document), highlight=False, markup=False)
    if len(document["test"]["by_channel"]) > 1:
        console.print(tables.channel_table(document))
    console.print(tables.verdict_text(document["verdict"]), highlight=False, markup=False)
