"""The command line: parse, call, print. What needs torch or pandas is imported when a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from elinformer import __version__
from elinformer.cli.comparing import compare
from elinformer.cli.data import convert, datasets_app
from elinformer.cli.trained import add_series, evaluate, forecast, info
from elinformer.cli.training import demo, train

app = typer.Typer(
    help="Forecast many related time series together, with attention that is linear in their number.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (demo, train, compare, evaluate, forecast, add_series, convert, info):
    app.command()(command)
app.add_typer(datasets_app, name="datasets")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"elinformer {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that stand before a command."""
