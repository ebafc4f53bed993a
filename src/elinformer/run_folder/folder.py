"""The folder of a trained model: safetensors and JSON, nothing that could run on load.

config.json         format, schema, state, versions, options of model, training and data, fingerprint of the data
checkpoints/        how far training is, until it is finished; see `elinformer.run_folder.checkpoints`
panel.json          names of series and channels, frequency, calendar
model.safetensors   weights
scaler.safetensors  mean and std (N, C)
metrics.json        what it scored, where it was scored

While a run is trained it has the first two alone. It is finished in place, config.json last.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError

from elinformer._files import check_folder, new_file, new_folder, write_durably
from elinformer._process import is_first_process
from elinformer.data.scaling import Scaler
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    import torch
    from torch import Tensor

    from elinformer.run_folder.checkpoints import CheckpointFolder

FORMAT = "elinformer-run"
SCHEMA = 1
CONFIG, PANEL, METRICS = "config.json", "panel.json", "metrics.json"
MODEL, SCALER = "model.safetensors", "scaler.safetensors"
CHECKPOINTS = "checkpoints"
TRAINING, INTERRUPTED, FINISHED = "training", "interrupted", "finished"
"""States of a run; an interrupted one is whole, and has checkpoints to go on from as well."""


class Run(NamedTuple):
    """What a folder holds: two JSON documents, the weights, and the scaler."""

    config: dict[str, Any]
    panel: dict[str, Any]
    weights: dict[str, Tensor]
    scaler: Scaler


def check_run_folder(folder: str | Path, *, overwrite: bool) -> None:
    """Refuse a folder that a run may not be written to: see `elinformer._files.check_folder`.

    Of several ranks, the first looks: the others may come when it has begun to write.

    Raises:
        InputError: Where a run stands there that is unfinished, the message says how to go on with it.
    """
    if not is_first_process():
        return
    path = Path(folder)
    if not overwrite and _is_unfinished(path):
        raise InputError(
            f"expected an empty folder, but {path} holds a run {how_far(path)}: go on with `elinformer train --resume "
            f"{path}`, choose another name or pass --overwrite"
        )
    check_folder(folder, overwrite=overwrite, mark=CONFIG)


def begin_run(folder: str | Path, config: Mapping[str, Any]) -> None:
    """Write the folder of a run that is going to be trained; what stands there goes."""
    with new_folder(folder) as new:
        _write_json(new / CONFIG, {"format": FORMAT, "schema": SCHEMA, "state": TRAINING, **config})


def mark_run(folder: str | Path, state: str) -> None:
    """Change the state of a run."""
    path = Path(folder) / CONFIG
    write_json(path, read_json(path) | {"state": state})


def tidy_run(folder: str | Path) -> None:
    """Remove what a kill in the middle of writing left behind."""
    for name in (CONFIG, PANEL, MODEL, SCALER, METRICS):
        for file in Path(folder).glob(f".{Path(name).stem}.*{Path(name).suffix}"):
            file.unlink(missing_ok=True)
    checkpoint_folder(folder).tidy()


def checkpoint_folder(folder: str | Path) -> CheckpointFolder:
    """Return the checkpoints of a run; torch is imported here and not with the module."""
    from elinformer.run_folder.checkpoints import CheckpointFolder

    return CheckpointFolder(Path(folder) / CHECKPOINTS)


def save_run(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    panel: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    scaler: Scaler,
    metrics: Mapping[str, Any] | None = None,
    interrupted: bool = False,
) -> None:
    """Write the folder whole or not at all; a run that is in training there is finished in place.

    Its checkpoints go, except where it was `interrupted` and can be carried on.
    """
    from safetensors.torch import save

    files = {
        MODEL: save({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}),
        SCALER: save({name: _tensor(array) for name, array in vars(scaler).items()}),
        PANEL: _json(panel),
        **({} if metrics is None else {METRICS: _json(metrics)}),
    }
    path = Path(folder)
    state = INTERRUPTED if interrupted and (path / CHECKPOINTS).is_dir() else FINISHED
    files[CONFIG] = _json({"format": FORMAT, "schema": SCHEMA, "state": state, **config})  # last
    if _is_unfinished(path):
        (path / METRICS).unlink(missing_ok=True)
        _write_files(path, files)
    else:
        with new_folder(path) as new:
            for name, content in files.items():
                write_durably(new / name, content)
    if state == FINISHED:
        shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)


def write_json(path: str | Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with new_file(path) as new:
        _write_json(new, document)


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        with new_file(folder / name) as new:
            write_durably(new, content)


def load_run(folder: str | Path) -> Run:
    """Read a folder that `save_run` wrote.

    Raises:
        InputError: It is not there, not ours, of another schema, not finished, or something of it is missing or
            damaged.
    """
    path = Path(folder)
    config = checked_config(path)
    if config.get("state") == TRAINING:
        raise InputError(
            f"expected a finished run, but {path} is {how_far(path)}: go on with `elinformer train --resume {path}`"
        )
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


@contextmanager
def agreeing_parts(folder: str | Path) -> Generator[None]:
    """Say in one sentence that the parts of a run do not fit together.

    Raises:
        InputError: In the place of the errors that this shows as.
    """
    try:
        yield
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).split("\n")[0].rstrip(":")
        raise InputError(f"expected a run of elinformer in {folder}, but its parts differ ({reason})") from error


def progress_of(folder: str | Path) -> dict[str, Any] | None:
    """How far an unfinished run is by its newest checkpoint: epoch, step, steps; None before the first one."""
    state, _ = checkpoint_folder(folder).newest()
    return None if state is None else state["position"]


def how_far(folder: str | Path) -> str:
    """The same in words: "at step 120 of 900"."""
    progress = progress_of(folder)
    return "without a checkpoint so far" if progress is None else f"at step {progress['step']} of {progress['steps']}"


def _is_unfinished(path: Path) -> bool:
    try:
        return checked_config(path).get("state") == TRAINING
    except InputError:
        return False


def checked_config(path: Path) -> dict[str, Any]:
    """The configuration of a run, finished or not.

    Raises:
        InputError: There is none, or it is not ours, or of another schema.
    """
    if not path.is_dir():
        raise InputError(f"expected the folder of a run, but there is none at {path}: `elinformer train` writes one")
    if not (path / CONFIG).is_file():
        raise InputError(f"expected the folder of a run, but {path} has no {CONFIG}: `elinformer train` writes one")
    config = read_json(path / CONFIG)
    if config.get("format") != FORMAT:
        raise InputError(f"expected a run of elinformer in {path}, got a {CONFIG} of something else")
    if config.get("schema") != SCHEMA:
        raise InputError(
            f"expected a run of schema {SCHEMA} in {path}, got {config.get('schema')}: it was written by another "
            "version of elinformer, so install that one"
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
    write_durably(path, _json(document))


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"expected safetensors in {path}, but the file is damaged ({error}): train it again"
        ) from error


def _tensor(array: Any) -> torch.Tensor:
    import torch

    return torch.tensor(array)
