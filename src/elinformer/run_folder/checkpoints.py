"""Checkpoints of a training: one safetensors file each, written whole or not at all; the newest few are kept.

step-00000120.safetensors   the tensors of a training state, named by their path; the header holds the rest of the state
                            as JSON, and a SHA-256 of both, which detects damage
step-end.safetensors        what a stage of the training ended with, where another stage follows it

A later stage has another word than "step".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from elinformer._files import new_file, write_durably
from elinformer.errors import InputError

FORMAT = "elinformer-checkpoint"
SCHEMA = "1"
SUFFIX = ".safetensors"
END = "end"
N_KEPT = 2
"""Number of newest checkpoints that are kept."""

TENSOR, TUPLE, FLOAT = "$tensor", "$tuple", "$float"
"""Keys for values that JSON cannot hold: a tensor, a tuple, a number that is not finite."""


class UnusableCheckpointError(InputError):
    """A checkpoint is damaged or of another version; the one before it may be usable."""


class NewestCheckpoint(NamedTuple):
    """State of the newest usable checkpoint, and one sentence about each newer checkpoint that is not usable."""

    state: dict[str, Any] | None
    problems: list[str]


@dataclass(frozen=True)
class CheckpointFolder:
    """Checkpoints of one stage of a training.

    Attributes:
        path: Folder; created with the first checkpoint.
        stage: First word of the names of the files.
    """

    path: Path
    stage: str = "step"

    def files(self) -> list[Path]:
        """Return the checkpoints, newest first; pipes and links are none."""
        files = (path for path in self.path.glob(f"{self.stage}-*{SUFFIX}") if path.is_file() and not path.is_symlink())
        return sorted((path for path in files if path != self._end), key=_step_of, reverse=True)

    def write(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint of a step; remove all but the newest few, and those of later steps.

        If the process is killed at any moment, the earlier checkpoints are unchanged.

        Raises:
            InputError: The file cannot be written, for example because the disk is full.
        """
        _write(self.path / f"{self.stage}-{step:08d}{SUFFIX}", state)
        up_to_step = [file for file in self.files() if _step_of(file) <= step]
        for file in {*self.files()} - {*up_to_step[:N_KEPT]}:
            file.unlink(missing_ok=True)

    def read_newest(self) -> NewestCheckpoint:
        """Read the newest usable checkpoint; skip and report those that are not usable."""
        problems: list[str] = []
        for file in self.files():
            try:
                return NewestCheckpoint(read_checkpoint(file), problems)
            except UnusableCheckpointError as error:
                problems.append(str(error))
        return NewestCheckpoint(None, problems)

    def write_end(self, state: dict[str, Any]) -> None:
        """Write what the stage ended with; remove its checkpoints.

        Raises:
            InputError: The file cannot be written, for example because the disk is full.
        """
        _write(self._end, state)
        for file in self.files():
            file.unlink(missing_ok=True)

    def read_end(self) -> NewestCheckpoint:
        """Read what the stage ended with; None if it has not ended, or the file is not usable."""
        if not self._end.is_file() or self._end.is_symlink():
            return NewestCheckpoint(None, [])
        try:
            return NewestCheckpoint(read_checkpoint(self._end), [])
        except UnusableCheckpointError as error:
            return NewestCheckpoint(None, [str(error)])

    @property
    def _end(self) -> Path:
        return self.path / f"{self.stage}-{END}{SUFFIX}"

    def remove_partial_files(self) -> None:
        """Remove temporary files of a process that was killed while it wrote, in any stage."""
        for file in self.path.glob(f".*{SUFFIX}"):
            file.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the state in a file and verify its digest; no code in the file can run.

    Raises:
        UnusableCheckpointError: The file cannot be read, is damaged, or is of another format or schema.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 it is no dict
        if (header.get("format"), header.get("schema")) != (FORMAT, SCHEMA):
            raise UnusableCheckpointError(f"checkpoint {path.name} is not of this version of elinformer")
        if header["sha256"] != _digest(header["state"], tensors):
            raise UnusableCheckpointError(f"checkpoint {path.name} is damaged (its checksum differs)")
        return join_state(json.loads(header["state"]), tensors)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, UnusableCheckpointError):
            raise
        raise UnusableCheckpointError(f"checkpoint {path.name} is damaged ({error})") from error


def split_state(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """Split a nested state into a JSON document and its tensors, named by their path ("optimizer.bias.exp_avg").

    Raises:
        TypeError: The state holds anything but dicts with text as keys, lists, tuples, tensors, numbers, text and None.
    """
    tensors: dict[str, Tensor] = {}
    return _to_document(state, "", tensors), tensors


def join_state(document: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the state that `split_state` split.

    Raises:
        KeyError: A tensor is missing.
    """
    if isinstance(document, list):
        return [join_state(item, tensors) for item in document]
    if not isinstance(document, dict):
        return document
    if TENSOR in document:
        return tensors[document[TENSOR]]
    if TUPLE in document:
        return tuple(join_state(item, tensors) for item in document[TUPLE])
    if FLOAT in document:
        return float(document[FLOAT])
    return {key: join_state(value, tensors) for key, value in document.items()}


def _to_document(state: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(state, Tensor):
        tensors[path] = state
        return {TENSOR: path}
    if isinstance(state, dict):
        return {_check_key(key, path): _to_document(value, _join(path, key), tensors) for key, value in state.items()}
    if isinstance(state, list | tuple):
        items = [_to_document(item, _join(path, i), tensors) for i, item in enumerate(state)]
        return {TUPLE: items} if isinstance(state, tuple) else items
    if isinstance(state, float) and not math.isfinite(state):
        return {FLOAT: str(state)}
    if state is None or isinstance(state, bool | int | float | str):
        return state
    raise TypeError(f"expected tensors, numbers and text in a state, got {type(state).__name__} at {path!r}")


def _check_key(key: object, path: str) -> str:
    if not isinstance(key, str) or key in {TENSOR, TUPLE, FLOAT}:
        raise TypeError(f"expected names as keys of a state, got {key!r} at {path!r}")
    return key


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _encode(state: dict[str, Any]) -> bytes:
    document, tensors = split_state(state)
    text = json.dumps(document, allow_nan=False)
    # Clones, because safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "schema": SCHEMA, "state": text, "sha256": _digest(text, tensors)}
    return save(tensors, header)


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _write(path: Path, state: dict[str, Any]) -> None:
    """Write a state to a file, whole or not at all, so that it survives a power cut."""
    data = _encode(state)
    if path.is_symlink():
        path.unlink()  # or the file that it leads to would be replaced
    with new_file(path) as new:
        write_durably(new, data)
    _sync_folder(path.parent)


def _step_of(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _sync_folder(path: Path) -> None:
    """Flush the names of a folder to disk, so that they survive a power cut; Windows neither allows nor needs it."""
    if os.name != "nt":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
