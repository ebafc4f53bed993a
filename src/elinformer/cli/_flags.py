"""Flags of the command line, made from the table of options."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elinformer._console import quiet_console

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from elinformer._options import Row

    Command = Callable[..., None]

METAVARS: dict[type, str] = {int: "<int>", float: "<number>", str: "<text>"}


def with_flags(known: Mapping[str, Row]) -> Callable[[Command], Command]:
    """Give a command a flag for each of the options.

    Its parameter `options` receives the values that the user gave, by name.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapped(**given: Any) -> None:
            texts = {name: given.pop(name) for name in known}
            options = {name: _value(known[name], text) for name, text in texts.items() if text is not None}
            command(**given, options=options)

        signature = _signature(command, known)
        annotations = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
        vars(wrapped).update(__signature__=signature)
        wrapped.__annotations__ = annotations
        return wrapped

    return decorate


def _value(row: Row, given: str | bool) -> Any:
    return given if isinstance(given, bool) else row.parsed(given)


def with_quiet(command: Command) -> Command:
    """Give a command the flag `--quiet`."""

    @wraps(command)
    def wrapped(*args: Any, quiet: bool = False, **given: Any) -> None:
        with quiet_console(quiet=quiet):
            command(*args, **given)

    flag = typer.Option("--quiet", "-q", help="Print errors alone, and what was asked for.")
    own = inspect.signature(command, eval_str=True)
    parameter = inspect.Parameter(
        "quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, flag]
    )
    signature = own.replace(parameters=[*own.parameters.values(), parameter])
    vars(wrapped).update(__signature__=signature)
    wrapped.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    return wrapped


def _signature(command: Command, known: Mapping[str, Row]) -> inspect.Signature:
    """Return the signature of a command with flags in the place of its parameter `options`."""
    own = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        found = [_parameter(row) for row in known.values()] if parameter.name == "options" else [parameter]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in found]
    return own.replace(parameters=parameters)


def _parameter(row: Row) -> inspect.Parameter:
    metavar = "|".join(row.choices) or METAVARS.get(row.kind, "<text>") + (",..." if row.many else "")
    if row.kind is bool:
        name = row.flag_name.removeprefix("--")
        switch = typer.Option(f"--{name}/--no-{name}", help=row.help + _default(row), show_default=False)
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(row.name, kind, default=None, annotation=Annotated[bool | None, switch])
    flag = typer.Option(row.flag_name, help=row.help + _default(row), metavar=metavar)
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(row.name, kind, default=None, annotation=Annotated[str | None, flag])


def _default(row: Row) -> str:
    if row.default in {None, ()}:
        return ""
    listed = row.many and not isinstance(row.default, str)
    return f" Default: {','.join(map(str, row.default)) if listed else row.default}."
