"""Commands on data: convert, datasets, fetch."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from elinformer import tables
from elinformer.cli._common import Freq, NullValue, Start, out_console, progress_console

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

datasets_app = typer.Typer(help="List the data sets of the catalogue, or fetch one.", invoke_without_command=True)


def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A file, folder or name of the catalogue.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder for the panel.", show_default=False)],
    null_value: NullValue = None,
    start: Start = None,
    freq: Freq = None,
    steps_per_day: Annotated[int | None, typer.Option(help="For data of service hours alone.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a panel that stands there.")] = False,
) -> None:
    """Write a panel to a folder of mapped arrays, which may be larger than memory."""
    from elinformer.data.catalog import CATALOG, convert_dataset, refuse_options
    from elinformer.data.io.convert import convert_panel

    options: dict[str, Any] = {"null_value": null_value, "start": start, "freq": freq, "steps_per_day": steps_per_day}
    with _progress("converting") as progress:
        if source.lower() in CATALOG:
            refuse_options(source, options)
            panel = convert_dataset(source, out, overwrite=overwrite, progress=progress)
        else:
            panel = convert_panel(source, out, **options, overwrite=overwrite, progress=progress)
    out_console.print(f"{out}: {panel}", highlight=False, markup=False, soft_wrap=True)


@datasets_app.callback()
def datasets(context: typer.Context) -> None:
    """List the data sets of the catalogue."""
    if context.invoked_subcommand is None:
        from elinformer.data.catalog import CATALOG

        out_console.print(tables.dataset_table(CATALOG.values()))


@datasets_app.command()
def fetch(name: Annotated[str, typer.Argument(help="A name of the catalogue.", show_default=False)]) -> None:
    """Fetch a data set into the cache, check it, and say where it is."""
    from elinformer.data.catalog import fetch_dataset

    out_console.print(str(fetch_dataset(name)))


@contextmanager
def _progress(what: str) -> Generator[Callable[[int, int], None]]:
    """A bar on a terminal; gives the function to tell it how much is done, of how much."""
    columns = TextColumn(f"[bold]{what}"), BarColumn(bar_width=24), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(
        *columns, console=progress_console, transient=True, disable=not progress_console.is_terminal
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
