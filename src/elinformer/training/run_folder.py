"""The folder of a trained model: safetensors and JSON, nothing that could run on load.

config.json       format, schema, versions, and the options of model, training and data
panel.json        names of series and channels, frequency, calendar
model.safetensors weights
scaler.safetensors mean and std (N, C)
metrics.json      what it scored, where it was scored
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from elinformer._files import check_folder, new_file, new_folder
from elinformer.data.scaling import Scaler
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

FORMAT = "elinformer-run"
SCHEMA = 1
CONFIG, PANEL, MODEL, SCALER, METRICS = (
    "config.json",
    "panel.json",
    "model.safetensors",
    "scaler.safetensors",
    "metrics.json",
)


class Run(NamedTuple):
    """What a folder holds: two JSON documents, the weights, and the scaler."""

    config: dict[str, Any]
    panel: dict[str, Any]
    weights: dict[str, Tensor]
    scaler: Scaler


def check_run_folder(folder: str | Path, *, overwrite: bool) -> None:
    """Refuse a folder that a run may not be written to: see `elinformer._files.check_folder`."""
    check_folder(folder, overwrite=overwrite, mark=CONFIG)


def save_run(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    panel: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    scaler: Scaler,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Write the folder whole or not at all."""
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    with new_folder(folder) as new:
        (new / MODEL).write_bytes(save(tensors))  # safetensors' own files cannot be read by others
        (new / SCALER).write_bytes(save({name: _tensor(array) for name, array in vars(scaler).items()}))
        _write_json(new / PANEL, panel)
        _write_json(new / CONFIG, {"format": FORMAT, "schema": SCHEMA, **config})
        if metrics is not None:
            _write_json(new / METRICS, metrics)


def write_json(path: str | Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with new_file(path) as new:
        _write_json(new, document)


def load_run(folder: str | Path) -> Run:
    """Read a folder that `save_run` wrote.

    Raises:
        InputError: It is not there, not ours, of a newer schema, or something of it is missing or damaged.
    """
    path = Path(folder)
    config = _checked_config(path)
    missing = [name for name in (PANEL, MODEL, SCALER) if not (path / name).is_file()]
    if missing:
        raise InputError(f"expected a whole run in {path}, but {', '.join(missing)} is missing: train it again")
    scaler = _read_tensors(path / SCALER)
    if set(scaler) != {"mean", "std"}:
        raise InputError(f"expected mean and std in {path / SCALER}, got {', '.join(scaler) or 'nothing'}")
    return Run(
        config,
        read_json(path / PANEL),
        _read_tensors(path / MODEL),
        Scaler(scaler["mean"].numpy(), scaler["std"].numpy()),
    )


def _checked_config(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise InputError(f"expected the folder of a run, but there is none at {path}: `elinformer train` writes one")
    if not (path / CONFIG).is_file():
        raise InputError(f"expected the folder of a run, but {path} has no {CONFIG}: `elinformer train` writes one")
    config = read_json(path / CONFIG)
    if config.get("format") != FORMAT:
        raise InputError(f"expected a run of elinformer in {path}, got a {CONFIG} of something else")
    if not isinstance(config.get("schema"), int) or config["schema"] > SCHEMA:
        raise InputError(
            f"expected a run of schema {SCHEMA} or older in {path}, got {config.get('schema')}: it was written by a "
            "newer elinformer, so update this one"
        )
    return config


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: It cannot be read, or is something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"expected JSON in {path}, but it cannot be read ({error})") from error
    if not isinstance(document, dict):
        raise InputError(f"expected a JSON object in {path}, got a {type(document).__name__}")
    return document


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"expected safetensors in {path}, but the file is damaged ({error}): train it again"
        ) from error


def _tensor(array: Any) -> torch.Tensor:
    import torch

    return torch.tensor(array)
