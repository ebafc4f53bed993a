"""Folder of a trained model: safetensors and JSON, which cannot run code when they are loaded.

config.json         format, schema, state, versions, options of model, training and data, fingerprint of the data,
                    checksums of all files
checkpoints/        checkpoints of an unfinished training: see `elinformer.run_folder.checkpoints`
panel.json          names of series and channels, frequency, calendar
model.safetensors   weights that were scored: they have not seen the test part
refit.safetensors   weights that were trained further on all data, for forecasts, if training did so
scaler.safetensors  mean and standard deviation (N, C)
calibration.safetensors  errors of the validation part: see `elinformer.intervals`
metrics.json        scores, if the model was scored
data/               data of the run with the rows that came later, as a panel on disk, if there were some

During training the folder holds the first two alone. When training ends, the other files are added; config.json is
replaced last. A process that writes locks the folder. No file may be a link to another folder.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elinformer._checksums import digest, document_digest, file_digest
from elinformer._files import (
    check_folder,
    held_folder,
    json_bytes,
    made_folder,
    new_file,
    new_folder,
    read_json,
    write_durably,
)
from elinformer._process import is_first_process
from elinformer.data.scaling import Scaler
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from torch import Tensor

    from elinformer.data.panel import Panel
    from elinformer.run_folder.checkpoints import CheckpointFolder

FORMAT = "elinformer-run"
SCHEMA = 1
CONFIG, PANEL, METRICS = "config.json", "panel.json", "metrics.json"
MODEL, SCALER, CALIBRATION = "model.safetensors", "scaler.safetensors", "calibration.safetensors"
REFIT = "refit.safetensors"
OPTIONAL = (METRICS, REFIT)
"""Files that not every run has."""
CHECKPOINTS, LOGS, DATA = "checkpoints", "logs", "data"
CHECKSUMS = "checksums"
"""Key of config.json: the SHA-256 of the other files, and that of config.json itself."""

STAGES = ("step", "refit")
"""Stages of a training: the first chooses weights by validation, the second trains them further on all data."""

MOST_MEMBERS = 3
"""Models of a run at most."""

TRAINING, INTERRUPTED, FINISHED = "training", "interrupted", "finished"
"""States of a run. An interrupted run has all files, and checkpoints from which training can resume."""


class Run(NamedTuple):
    """Contents of a run folder: two JSON documents, the weights, the scaler and the calibration.

    Attributes:
        refitted: Weights that were trained further on all data; None if there are none.
    """

    config: dict[str, Any]
    panel: dict[str, Any]
    weights: dict[str, Tensor]
    scaler: Scaler
    calibration: dict[str, Tensor]
    refitted: dict[str, Tensor] | None = None


def save_run(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    panel: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    scaler: Scaler,
    calibration: Mapping[str, Tensor],
    refitted: Mapping[str, Tensor] | None = None,
    metrics: Mapping[str, Any] | None = None,
    interrupted: bool = False,
) -> None:
    """Write a run folder, whole or not at all; complete the folder of an unfinished run in place.

    The checkpoints are removed, unless training was `interrupted` and can resume.
    """
    import torch
    from safetensors.torch import save

    def packed(weights: Mapping[str, Tensor]) -> bytes:
        return save({name: weight.detach().cpu().contiguous() for name, weight in weights.items()})

    files = {
        MODEL: packed(weights),
        **({} if refitted is None else {REFIT: packed(refitted)}),
        SCALER: save({name: torch.tensor(array) for name, array in vars(scaler).items()}),
        CALIBRATION: save(dict(calibration)),
        PANEL: json_bytes(panel),
        **({} if metrics is None else {METRICS: json_bytes(metrics)}),
    }
    path = Path(folder)
    with held_folder(path) if path.is_dir() else nullcontext():
        state = INTERRUPTED if interrupted and (path / CHECKPOINTS).is_dir() else FINISHED
        files[CONFIG] = _config_file(config, state, files)  # last
        if _is_in_training(path):
            _remove_partial_files(path)
            for name in OPTIONAL:
                (path / name).unlink(missing_ok=True)
            for name, content in files.items():
                with new_file(path / name) as new:
                    write_durably(new, content)
        else:
            with new_folder(path) as new:
                for name, content in files.items():
                    write_durably(new / name, content)
        if state == FINISHED:
            shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)


def load_run(folder: str | Path) -> Run:
    """Read a folder that `save_run` wrote.

    Raises:
        InputError: The folder does not exist, is not a run, has another schema, is unfinished, or lacks a file; or a
            file is damaged.
    """
    path = Path(folder)
    config = finished_config(path)
    check_files(path, config)
    return Run(
        {name: value for name, value in config.items() if name != CHECKSUMS},
        read_json(path / PANEL),
        _read_tensors(path / MODEL),
        _read_scaler(path / SCALER),
        _read_tensors(path / CALIBRATION),
        _read_tensors(path / REFIT) if REFIT in config[CHECKSUMS] else None,
    )


def finished_config(folder: str | Path) -> dict[str, Any]:
    """Return `config.json` of a run whose training ended and whose files are all there.

    Raises:
        InputError: The folder holds no such run.
    """
    path = Path(folder)
    config = read_config(path)
    if config.get("state") == TRAINING:
        raise InputError(
            f"expected a finished run, but {path} is {describe_progress(path)}: resume it with {resume_command(path)}"
        )
    missing = [name for name in _files_of(config) if not (path / name).is_file()]
    if missing:
        raise InputError(f"expected a complete run in {path}, but {', '.join(missing)} is missing: train it again")
    return config


def check_files(folder: str | Path, config: Mapping[str, Any]) -> int:
    """Compare the files of a finished run with their checksums; return the number of files, config.json included.

    Raises:
        InputError: A file is damaged.
    """
    path, names = Path(folder), _files_of(config)
    for name in names:
        if file_digest(path / name) != config[CHECKSUMS].get(name):
            raise _damage(path, name)
    return len(names) + 1


@contextmanager
def refuse_mismatched_files(folder: str | Path) -> Generator[None]:
    """Turn errors of files that do not match each other into one sentence.

    Raises:
        InputError: In place of the error that files of different runs lead to.
    """
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise InputError(
            f"expected a run of elinformer in {folder}, but its files do not match ({first_line(error)}): "
            "train it again"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).split("\n")[0].rstrip(":")


def check_run_folder(folder: str | Path, *, overwrite: bool) -> None:
    """Refuse a folder that a run may not be written to: see `elinformer._files.check_folder`.

    With several ranks only the first one checks: it may already write when the others call this.

    Raises:
        InputError: The folder holds other files, or a run and not `overwrite`.
    """
    if not is_first_process():
        return
    path = Path(folder)
    _refuse_links(path)
    if not overwrite and _is_in_training(path):
        raise InputError(
            f"expected an empty folder, but {path} holds a run {describe_progress(path)}: resume it with "
            f"{resume_command(path)}, choose another name or pass --overwrite"
        )
    check_folder(folder, overwrite=overwrite, mark=CONFIG)


@contextmanager
def held_run_folder(folder: str | Path, *, overwrite: bool = False) -> Generator[None]:
    """Create the folder of a new run, and lock it, so that no other process writes to it.

    The folder is removed at the end of the context if nothing was written to it. With several ranks only the first one
    locks.

    Raises:
        InputError: Another process writes to the folder, or it may not be written to: see `check_run_folder`.
    """
    if not is_first_process():
        yield
        return
    path = Path(folder)
    if not path.is_dir():
        check_run_folder(path, overwrite=overwrite)
    with made_folder(path), held_folder(path):
        check_run_folder(path, overwrite=overwrite)
        yield


@dataclass(frozen=True)
class UnfinishedRun:
    """Folder of a run during training: `config.json` and checkpoints.

    Attributes:
        folder: Path of the folder.
        config: Contents of `config.json`.
        exists: True if training began earlier and resumes.
        overwrite: True replaces a run in the folder.
        stage: Stage of the training that the checkpoints are of.
        member: Number of the model that the checkpoints are of, if several are trained.
    """

    folder: Path
    config: dict[str, Any]
    exists: bool = False
    overwrite: bool = False
    stage: str = STAGES[0]
    member: int = 0

    @classmethod
    def new(cls, folder: str | Path, config: dict[str, Any], *, overwrite: bool = False) -> UnfinishedRun:
        """Return a run that training will write to `folder`.

        Raises:
            InputError: The folder may not be written to.
        """
        check_run_folder(folder, overwrite=overwrite)
        return cls(Path(folder), config, overwrite=overwrite)

    @classmethod
    def open(cls, folder: str | Path) -> UnfinishedRun:
        """Return a run whose training was killed, or interrupted by Ctrl-C.

        Raises:
            InputError: There is no run in the folder, or the run is finished.
        """
        config = read_config(Path(folder))
        if config.get("state") not in {TRAINING, INTERRUPTED}:
            raise InputError(
                f"expected an unfinished run, but {folder} is finished: pass data, --out and --overwrite to train it "
                "again"
            )
        return cls(Path(folder), config, exists=True)

    @property
    def checkpoints(self) -> CheckpointFolder:
        """Checkpoints of the stage."""
        from elinformer.run_folder.checkpoints import CheckpointFolder

        return CheckpointFolder(self.folder / CHECKPOINTS, _prefix(self.stage, self.member))

    def at(self, stage: str) -> UnfinishedRun:
        """Return the run at another stage of its training."""
        return replace(self, stage=stage, exists=True)

    def of_member(self, number: int) -> UnfinishedRun:
        """Return the run at the training of another of its models."""
        return replace(self, member=number, exists=self.exists or number > 0)

    @property
    def resume_command(self) -> str:
        """Command that resumes the run, for messages."""
        return resume_command(self.folder)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Create the folder if it is new, and lock it, so that no other process trains the run.

        Raises:
            InputError: Another process trains it.
        """
        if not is_first_process():
            yield
            return
        if self.exists:
            with held_folder(self.folder):
                UnfinishedRun.open(self.folder)  # again, as another process may have finished it
                _remove_partial_files(self.folder)
                self.checkpoints.remove_partial_files()
                self._write_config()
                yield
            return
        with held_run_folder(self.folder, overwrite=self.overwrite):
            for name in (CHECKPOINTS, DATA):  # first: no other training may resume them
                shutil.rmtree(self.folder / name, ignore_errors=True)
            self._write_config()
            for name in (*OPTIONAL, MODEL, SCALER, CALIBRATION, PANEL):
                (self.folder / name).unlink(missing_ok=True)
            yield

    def check_data(self, panel: Panel) -> None:
        """Refuse data other than those that training began with.

        Raises:
            InputError: The fingerprints differ.
        """
        from elinformer.data.panel import fingerprint

        expected = (self.config.get("data") or {}).get("fingerprint")
        if expected not in {None, fingerprint(panel)}:
            raise InputError(
                f"expected the data that training of {self.folder} began with, but {panel.name} differs from them: "
                "restore the old data, or train again with --overwrite"
            )

    def _write_config(self) -> None:
        with new_file(self.folder / CONFIG) as new:
            write_durably(new, _config_file(self.config, TRAINING))


def _remove_partial_files(folder: Path) -> None:
    """Remove temporary files of a process that was killed while it wrote the files of a run."""
    for name in (CONFIG, PANEL, MODEL, SCALER, CALIBRATION, *OPTIONAL):
        for file in folder.glob(f".{Path(name).stem}.*{Path(name).suffix}"):
            file.unlink(missing_ok=True)


def run_state(folder: str | Path) -> str | None:
    """Return the state of a run; None if there is no folder.

    Raises:
        InputError: The folder holds something else.
    """
    return read_config(Path(folder))["state"] if Path(folder).is_dir() else None


def read_progress(folder: str | Path) -> dict[str, Any] | None:
    """Return model, stage, epoch, step and steps of the newest checkpoint of an unfinished run; None without one."""
    from elinformer.run_folder.checkpoints import CheckpointFolder

    for member, stage in product(reversed(range(MOST_MEMBERS)), reversed(STAGES)):
        state, _ = CheckpointFolder(Path(folder) / CHECKPOINTS, _prefix(stage, member)).read_newest()
        if state is not None:
            with refuse_mismatched_files(folder):
                position = {name: int(state["position"][name]) for name in ("epoch", "steps_in_epoch", "step", "steps")}
            return {"model": member + 1, "stage": TRAINING if stage == STAGES[0] else stage, **position}
    return None


def _prefix(stage: str, member: int) -> str:
    """Return the first word of the names of checkpoints."""
    return stage if not member else f"model{member + 1}-{stage}"


def describe_progress(folder: str | Path) -> str:
    """Return the progress of an unfinished run in words: "at step 120 of 900"."""
    progress = read_progress(folder)
    if progress is None:
        return "without a checkpoint"
    stage = "" if progress["stage"] == TRAINING else f" of the {progress['stage']}"
    model = "" if progress["model"] == 1 else f" of model {progress['model']}"
    return f"at step {progress['step']} of {progress['steps']}{stage}{model}"


def resume_command(folder: str | Path) -> str:
    """Return the command that resumes the training of a run, for messages."""
    return f"`elinformer train --resume {folder}`"


def read_config(path: Path) -> dict[str, Any]:
    """Read the configuration of a run, finished or not.

    Raises:
        InputError: There is none, it is not of elinformer, or it has another schema.
    """
    if not path.is_dir():
        raise InputError(f"expected the folder of a run, but {path} does not exist: `elinformer train` writes one")
    if not (path / CONFIG).is_file():
        raise InputError(f"expected the folder of a run, but {path} has no {CONFIG}: `elinformer train` writes one")
    _refuse_links(path)
    config = read_json(path / CONFIG)
    if config.get("format") != FORMAT:
        raise InputError(
            f"expected a run of elinformer in {path}, got a {CONFIG} of another program: `elinformer train` writes one"
        )
    if config.get("schema") != SCHEMA:
        raise InputError(
            f"expected a run of schema {SCHEMA} in {path}, got {config.get('schema')}: another version of elinformer "
            "wrote it, so install that version"
        )
    sums = config.get(CHECKSUMS)
    if not isinstance(sums, dict) or sums.get(CONFIG) != document_digest(_checked_part(config)):
        raise _damage(path, CONFIG)
    return config


def check_writable(config: Mapping[str, Any]) -> None:
    """Check that a run can keep options, before training.

    Raises:
        InputError: One of them cannot be written as JSON.
    """
    for table, options in config.items():
        for name, value in (options if isinstance(options, dict) else {table: options}).items():
            try:
                json_bytes({name: value})
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"expected options that a run can keep as JSON, got {name}={value!r} ({error}): pass numbers, "
                    "texts or lists of them"
                ) from error


def _config_file(config: Mapping[str, Any], state: str, files: Mapping[str, bytes] | None = None) -> bytes:
    document = {**config, "format": FORMAT, "schema": SCHEMA, "state": state}
    sums = {name: digest(content) for name, content in (files or {}).items()}
    return json_bytes(document | {CHECKSUMS: {**sums, CONFIG: document_digest(_checked_part(document))}})


def _checked_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the checksum of config.json covers: all but checksums, and the place of the data, which may move."""
    source = config.get("source")
    place = {"source": {**source, "data": None}} if isinstance(source, dict) else {}
    return {**{name: value for name, value in config.items() if name != CHECKSUMS}, **place}


def _files_of(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the files of a finished run, apart from config.json."""
    return [PANEL, MODEL, SCALER, CALIBRATION, *(name for name in OPTIONAL if name in config[CHECKSUMS])]


def _damage(folder: Path, name: str) -> InputError:
    return InputError(
        f"expected the {name} that training wrote to {folder}, but the file is damaged (its checksum differs): restore "
        "it from a copy, or train it again"
    )


def _refuse_links(folder: Path) -> None:
    """Refuse files of a run that are links to another folder, so that nothing outside is read or written.

    Raises:
        InputError: There is such a link.
    """
    home = Path(os.path.realpath(folder))  # `resolve` fails where links go round in a ring
    for name in (CONFIG, PANEL, MODEL, SCALER, CALIBRATION, *OPTIONAL, CHECKPOINTS, LOGS, DATA):
        place = Path(os.path.realpath(folder / name))
        if place.parent != home:
            raise InputError(f"expected the files of a run in {folder}, but {name} is a link to {place}: copy it there")


def _is_in_training(path: Path) -> bool:
    try:
        return read_config(path).get("state") == TRAINING
    except InputError:
        return False


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"expected safetensors in {path}, but the file is damaged ({error}): train it again"
        ) from error


def _read_scaler(path: Path) -> Scaler:
    import torch

    tensors = _read_tensors(path)
    if set(tensors) != {"mean", "std"}:
        raise InputError(f"expected mean and std in {path}, got {', '.join(tensors) or 'no tensors'}: train it again")
    if not all(torch.isfinite(x).all() for x in tensors.values()) or not (tensors["std"] > 0).all():
        raise InputError(f"expected finite means and deviations above 0 in {path}, got others: train it again")
    return Scaler(tensors["mean"].numpy(), tensors["std"].numpy())
