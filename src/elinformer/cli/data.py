"""Commands on data: convert, datasets, fetch."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elinformer._console import plain_console, say
from elinformer._options import rows
from elinformer.cli._common import Overwrite
from elinformer.cli._flags import with_flags
from elinformer.data.options import ReadingOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

datasets_app = typer.Typer(
    help="List the data sets of the catalogue, or fetch one.",
    epilog="Example: elinformer datasets fetch metr-la",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@with_flags(rows(ReadingOptions))
def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="File, folder, or name of the catalogue.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that is written.", show_default=False)],
    options: dict[str, Any] | None = None,
    overwrite: Overwrite = False,
) -> None:
    """Write data to a folder of arrays that are mapped from disk, so that they may be larger than memory."""
    from elinformer.data.catalog import CATALOG, convert_dataset, refuse_options
    from elinformer.data.io.convert import convert_panel

    options = options or {}
    with _progress("converting") as progress:
        if source.lower() in CATALOG:
            refuse_options(source, options)
            panel = convert_dataset(source, out, overwrite=overwrite, progress=progress)
        else:
            panel = convert_panel(source, out, **options, overwrite=overwrite, progress=progress)
    say(f"{out}: {panel}")
    if notes := panel.notes:
        say(f"read {source}: {'; '.join(notes)}", stderr=True)


@datasets_app.callback()
def datasets(context: typer.Context) -> None:
    """List the data sets of the catalogue, or fetch one."""
    if context.invoked_subcommand is None:
        from elinformer.data.catalog import CATALOG
        from elinformer.report.tables import dataset_table

        plain_console().print(dataset_table(CATALOG.values()))


@datasets_app.command(epilog="Example: elinformer datasets fetch metr-la")
def fetch(name: Annotated[str, typer.Argument(help="Name of the catalogue.", show_default=False)]) -> None:
    """Fetch a data set into the cache, check it, and print its folder."""
    from elinformer.data.catalog import fetch_dataset

    typer.echo(fetch_dataset(name))


@contextmanager
def _progress(what: str) -> Generator[Callable[[int, int], None]]:
    """Draw a bar on a terminal; yields the function that moves it, to so many of so many."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = plain_console(stderr=True)
    columns = TextColumn(what, style="bold"), BarColumn(bar_width=24), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
