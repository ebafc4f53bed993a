"""The command line: it parses, calls and prints. Torch, pandas and rich are imported where a command needs them."""

from __future__ import annotations

from typing import Annotated

import typer

from elinformer import __version__
from elinformer.cli._flags import with_quiet
from elinformer.cli.comparing import compare
from elinformer.cli.data import convert, datasets_app
from elinformer.cli.new_data import anomalies, fill, finetune, update
from elinformer.cli.reporting import report
from elinformer.cli.trained import add_series, evaluate, explain, forecast, info, plot
from elinformer.cli.training import cross_validate, demo, train, tune

app = typer.Typer(
    help="Forecast many related time series together, with attention whose cost is linear in their number.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich alone takes longer to import than the help takes to print
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXAMPLES = {
    demo: "elinformer demo",
    train: "elinformer train speeds.csv --window 24 --out run",
    tune: "elinformer tune speeds.csv --n-trials 20 --out search",
    compare: "elinformer compare speeds.csv --models elinformer,stid,last_value --out table",
    evaluate: "elinformer evaluate run",
    cross_validate: "elinformer cross-validate speeds.csv --n-windows 5 --refit 1 --out folds",
    report: "elinformer report run",
    forecast: "elinformer forecast run --out forecast.csv",
    explain: "elinformer explain run --series junction-7 --step 3",
    plot: "elinformer plot run --out worst.png",
    update: "elinformer update run --data new.csv",
    finetune: "elinformer finetune run --data new.csv --out newer",
    add_series: "elinformer add-series run all.csv --out larger",
    fill: "elinformer fill run --out filled.csv",
    anomalies: "elinformer anomalies run --data new.csv --level 99",
    convert: "elinformer convert speeds.csv panel",
    info: "elinformer info run",
}
"""The commands in the order of the help, each with a call of it."""

for command, example in EXAMPLES.items():
    app.command(epilog=f"Example: {example}")(with_quiet(command))
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
    """Take the options that stand before a command."""
