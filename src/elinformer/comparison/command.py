"""What the command line says of models and settings, as `compare` takes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer.comparison.contenders import DEFAULT_MODELS
from elinformer.errors import InputError
from elinformer.options import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def models_and_settings(
    models: str | None, config: Path | None, said: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Models by label with their options, and the settings for all data.

    Args:
        models: Names with commas between them, each with options of its own after an @, None for the usual ones.
        config: A TOML file: settings, and options of models in tables `[models.LABEL]`.
        said: Settings of the command line, which win.

    Raises:
        InputError: No models, one of them twice, or a file that cannot be used.
    """
    names = list(DEFAULT_MODELS) if models is None else _names(models)
    if not all(names) or len(set(names)) != len(names):
        raise InputError(f"expected different models with commas between them, got {models!r}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # where a user's module:Class is; the console script leaves it out
    settings = {} if config is None else read_settings(config)
    tables = settings.pop("models", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise InputError(f"expected tables [models.NAME] in {config}, got {tables!r}")
    training = {**settings.get("training", {}), **said.get("training", {})}
    merged = {**settings, **said, "training": training}
    return {name: tables.get(name, {}) for name in names}, merged


def _names(models: str) -> list[str]:
    """Split at commas; a part such as "n_layers=2" belongs to the options of the model before it."""
    names: list[str] = []
    for part in (part.strip() for part in models.split(",")):
        if names and "=" in part and "@" not in part and "@" in names[-1]:
            names[-1] += f",{part}"
        else:
            names.append(part)
    return names
