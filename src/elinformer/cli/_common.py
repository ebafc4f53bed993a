"""Arguments that several commands have, and the table of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from elinformer._console import plain_console, say

Run = Annotated[Path, typer.Argument(help="Folder that `elinformer train` wrote.", show_default=False)]
OtherData = Annotated[str | None, typer.Option("--data", help="Other data than those of training.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite/--no-overwrite", help="Replace what is in this folder.", show_default=False)
]
ConfigFile = Annotated[
    Path | None, typer.Option(help="TOML file of settings; flags of the command line win over it.", show_default=False)
]


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
