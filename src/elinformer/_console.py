"""The console that messages and tables are printed on."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

_state = {"quiet": False}


def plain_console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: brackets in names are no markup."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, quiet=_state["quiet"])


def say(text: str, *, stderr: bool = False) -> None:
    """Print a line at once, unless the command is quiet, or another rank prints it."""
    from elinformer._process import is_first_process

    if not _state["quiet"] and is_first_process():
        print(text, file=sys.stderr if stderr else sys.stdout, flush=True)


@contextmanager
def quiet_console(*, quiet: bool) -> Generator[None]:
    """Print nothing but errors and what was asked for within a context, if `quiet`."""
    before, _state["quiet"] = _state["quiet"], quiet
    try:
        yield
    finally:
        _state["quiet"] = before
