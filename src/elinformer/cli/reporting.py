"""The command that writes reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elinformer._console import quiet_console, say
from elinformer.errors import InputError

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders that `elinformer train` wrote.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="HTML file. Default: report.html in the run; comparison.html for several runs.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data of training, if they were moved.")] = None,
) -> None:
    """Write an HTML report of a run, or a comparison of several runs. It opens without network.

    The same data are in report.json, in the folder of the run.
    """
    from elinformer.run_folder.folder import finished_config

    for run in runs:
        finished_config(run)
    if len(runs) > 1 and data is not None:
        raise InputError("expected no --data beside several runs: each run has its own data")
    if len(runs) == 1:
        from elinformer.report.run import write_report

        typer.echo(write_report(runs[0], data=data, out=out))
        return
    from elinformer.report.run import write_comparison

    typer.echo(write_comparison(runs, out or Path("comparison.html")))


def report_on(run: Path, opened: tuple[Forecaster, Panel] | None = None) -> None:
    """Write the report of a run after its training, and print its path, or the reason why there is none.

    Args:
        run: Folder of the run.
        opened: Its forecaster and data, if they are in memory.
    """
    from elinformer.report.run import write_report

    try:
        with quiet_console(quiet=True):  # the data were read before
            page = write_report(run, opened=opened)
    except InputError as error:
        say(f"no report: {error}")
    else:
        say(f"report: {page}")
