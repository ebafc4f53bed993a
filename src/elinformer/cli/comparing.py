"""The command that compares models."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elinformer._console import plain_console, say
from elinformer.cli._common import ConfigFile
from elinformer.cli._flags import with_flags
from elinformer.data.address import check_address
from elinformer.errors import InputError
from elinformer.options import flag_rows, in_tables, read_settings, split_address

if TYPE_CHECKING:
    from collections.abc import Mapping


@with_flags(flag_rows(compared=True))
def compare(
    data: Annotated[
        list[str],
        typer.Argument(
            help="Files or names of the catalogue, each with options of its own after an @: speeds.npz@window=24.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the comparison; runs that are done there are kept.", show_default=False)
    ],
    models: Annotated[
        str | None,
        typer.Option(help="Names with commas between them, such as elinformer@attention=softmax,stid,last_value."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each model, each with its seed.")] = 3,
    config: ConfigFile = None,
    options: dict[str, Any] | None = None,
    device: Annotated[str, typer.Option(help="Device that training runs on.", metavar="auto|cpu|cuda|mps")] = "auto",
    quick: Annotated[
        bool, typer.Option("--quick", help="Train for three epochs, to see that everything works.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Trainings at once. Default: cores, at most 4; 1 on a GPU.")] = None,
    max_core_minutes: Annotated[
        float | None, typer.Option(help="Minutes times cores after which the comparison ends.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove runs in the folder that have other settings.")
    ] = False,
) -> None:
    """Train and score several models on the same windows, and write tables of the results.

    The same command continues where it was interrupted.
    """
    for address in data:
        check_address(split_address(address)[0])
    chosen, settings = models_and_settings(models, config, in_tables(options or {}))
    from elinformer.comparison import compare as compare_models
    from elinformer.comparison.display import notes, rich_table, sheets

    results = compare_models(
        data,
        chosen,
        out=out,
        seeds=seeds,
        settings=settings,
        device=device,
        quick=quick,
        jobs=jobs,
        max_core_minutes=max_core_minutes,
        overwrite=overwrite,
        command=shlex.join(["elinformer", *sys.argv[1:]]),
    )
    for sheet in sheets(results):
        plain_console().print(rich_table(sheet))
    for note in notes(results):
        say(note)
    say(f"results: {out / 'results.json'}, {out / 'results.md'}, {out / 'results.html'}")


def models_and_settings(
    models: str | None, config: Path | None, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return models by label with their options, and the settings for all data.

    Args:
        models: Names with commas between them, each with or without options after an @; None for the default ones.
        config: TOML file of settings, with options of models in tables `[models.LABEL]`.
        given: Settings of the command line, which win over the file.

    Raises:
        InputError: No models, one of them twice, or a file that cannot be used.
    """
    settings = {} if config is None else read_settings(config)
    tables = settings.pop("models", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise InputError(f"expected tables [models.NAME] in {config}, got {tables!r}")
    names = _default_names() if models is None else _names(models)
    if not all(names) or len(set(names)) != len(names):
        raise InputError(f"expected different models with commas between them, got {models!r}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # the place of a user's module:Class, which the console script leaves out
    training = {**settings.get("training", {}), **given.get("training", {})}
    return {name: tables.get(name, {}) for name in names}, {**settings, **given, "training": training}


def _default_names() -> list[str]:
    from elinformer.comparison.contenders import DEFAULT_MODELS

    return list(DEFAULT_MODELS)


def _names(models: str) -> list[str]:
    """Split at commas; a part such as "n_layers=2" belongs to the options of the model before it."""
    names: list[str] = []
    for part in (part.strip() for part in models.split(",")):
        if names and "=" in part and "@" not in part and "@" in names[-1]:
            names[-1] += f",{part}"
        else:
            names.append(part)
    return names
