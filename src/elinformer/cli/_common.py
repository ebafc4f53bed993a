"""What commands share: consoles, arguments and options, settings, tables of scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from elinformer import tables

if TYPE_CHECKING:
    from elinformer.settings import Settings

out_console = Console()
progress_console = Console(stderr=True)

Run = Annotated[Path, typer.Argument(help="A folder that `elinformer train` wrote.", show_default=False)]
OtherData = Annotated[str | None, typer.Option("--data", help="Other data than those of training.")]
ConfigFile = Annotated[Path | None, typer.Option(help="A TOML file of settings; options given here win.")]
Window = Annotated[int | None, typer.Option(help="Input steps. Default 12.")]
Horizon = Annotated[int | None, typer.Option(help="Output steps. Default 12.")]
Split = Annotated[str | None, typer.Option(help="Training, validation, test. Default 0.6,0.2,0.2.")]
NullValue = Annotated[float | None, typer.Option(help="A number that stands for missing, often 0.")]
Start = Annotated[str | None, typer.Option(help="Time of the first step, for a file that does not say.")]
Freq = Annotated[str | None, typer.Option(help="Step such as 5min, for a file that does not say.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training windows. Default 30.")]
BatchSize = Annotated[int | None, typer.Option(help="Windows a step. Default 16.")]
Precision = Annotated[str | None, typer.Option(help="32-true or bf16-mixed, of training. Default 32-true.")]


def settings_for(data: str, config: Path | None, said: dict[str, Any]) -> Settings:
    """The settings of a command: defaults < catalogue < file < what was said."""
    from elinformer.settings import Settings, catalogue_settings, read_settings

    settings = Settings().updated(catalogue_settings(data))
    return settings.updated({} if config is None else read_settings(config)).updated(said)


def show_scores(title: str, document: dict[str, Any]) -> None:
    """Print the scores of a test part beside those of the naive forecasts."""
    if document["test"] is None:
        out_console.print("the split has no test part: nothing was scored")
        return
    out_console.print(tables.score_table(title, document["test"], document["naive"]))
    if len(document["test"]["by_channel"]) > 1:
        out_console.print(tables.channel_table(document["test"], document["naive"]))
