"""Checkpoints on disk: one safetensors file each, written whole or not at all, the last few kept.

step-00000120.safetensors   the tensors of a state by their path; in its header the rest of the state as JSON, and a
                            SHA-256 of both, so that damage is noticed
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from elinformer._files import new_file, write_durably
from elinformer.errors import InputError
from elinformer.run_folder.trees import join_tree, split_tree

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "elinformer-checkpoint"
SCHEMA = "1"
PATTERN = "step-*.safetensors"
KEPT = 2
"""How many of the newest checkpoints stay."""


class DamagedError(InputError):
    """A checkpoint cannot be used; the one before may be whole."""


class Found(NamedTuple):
    """The newest checkpoint that can be used, and what is said about newer ones that cannot."""

    state: dict[str, Any] | None
    complaints: list[str]


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of one training.

    Attributes:
        path: Made with the first checkpoint.
    """

    path: Path

    def files(self) -> list[Path]:
        """The checkpoints, newest first."""
        return sorted(self.path.glob(PATTERN), key=_step_of, reverse=True)

    def write(self, step: int, state: dict[str, Any]) -> None:
        """Add the checkpoint of a step; what is older than the last few goes, and what claims to be newer.

        A kill at any moment leaves the checkpoints before as they were.

        Raises:
            InputError: It cannot be written, because the disk is full for one.
        """
        data = _encode(state)
        path = self.path / f"step-{step:08d}.safetensors"
        with new_file(path) as new:
            write_durably(new, data)
        _sync_folder(self.path)
        older = [file for file in self.files() if _step_of(file) <= step]
        for file in {*self.files()} - {*older[:KEPT]}:
            file.unlink(missing_ok=True)

    def newest(self) -> Found:
        """The newest state that is whole; a damaged file is passed over, with a sentence about it."""
        complaints: list[str] = []
        for file in self.files():
            try:
                return Found(read_checkpoint(file), complaints)
            except DamagedError as error:
                complaints.append(str(error))
        return Found(None, complaints)

    def tidy(self) -> None:
        """Remove what a kill in the middle of writing left behind."""
        for file in self.path.glob(f".{PATTERN}"):
            file.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a file, checked against its digest; nothing in it is ever run.

    Raises:
        DamagedError: It cannot be read, was changed, or is of another format or a newer schema.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 it is no dict
        if (header.get("format"), header.get("schema")) != (FORMAT, SCHEMA):
            raise DamagedError(f"checkpoint {path.name} is not of this version of elinformer")
        if header["sha256"] != _digest(header["state"], tensors):
            raise DamagedError(f"checkpoint {path.name} is damaged (its checksum differs)")
        return join_tree(json.loads(header["state"]), tensors)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        if isinstance(error, DamagedError):
            raise
        raise DamagedError(f"checkpoint {path.name} is damaged ({error})") from error


def _encode(state: dict[str, Any]) -> bytes:
    document, tensors = split_tree(state)
    text = json.dumps(document, allow_nan=False)
    # Clones, because safetensors refuses tensors that share their memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "schema": SCHEMA, "state": text, "sha256": _digest(text, tensors)}
    return save(tensors, header)


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _step_of(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _sync_folder(path: Path) -> None:
    """Make the name last through a power cut; Windows cannot open folders and needs nothing of it."""
    if os.name != "nt":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
