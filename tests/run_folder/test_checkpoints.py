"""Checkpoint files: whole or not there, the last few kept, damage noticed, nothing run on load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from elinformer.errors import InputError
from elinformer.run_folder.checkpoints import CheckpointFolder, DamagedError, read_checkpoint


def state(step: int) -> dict[str, Any]:
    shared = torch.arange(6.0).reshape(2, 3)
    return {
        "position": {"step": step},
        "module": {"weight": shared.T, "tied": shared, "half": torch.ones(2, dtype=torch.bfloat16)},
        "random": {"cpu": torch.arange(5, dtype=torch.uint8), "flag": torch.tensor([True, False])},
        "groups": [{"betas": (0.9, 0.999), "lr": 0.1 + 0.2, "best": float("inf")}],
        "empty": torch.zeros(0),
    }


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    folder = CheckpointFolder(tmp_path / "run" / "checkpoints")
    for step in (1, 2, 10):
        folder.write(step, state(step))
    return folder


def steps(folder: CheckpointFolder) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in folder.files()]


def test_the_newest_few_stay(folder: CheckpointFolder) -> None:
    assert steps(folder) == [10, 2]
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "step-00000002.safetensors",
        "step-00000010.safetensors",
    ]


def test_what_was_written_is_what_is_read(folder: CheckpointFolder) -> None:
    found = folder.newest()
    assert found.complaints == []
    assert found.state is not None
    torch.testing.assert_close(found.state, state(10), rtol=0, atol=0)
    assert found.state["groups"][0]["betas"] == (0.9, 0.999)
    assert found.state["module"]["half"].dtype is torch.bfloat16


def test_a_folder_that_is_not_there_has_no_checkpoint(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "none").newest() == (None, [])


def test_a_step_that_is_trained_again_replaces_what_came_after_it(folder: CheckpointFolder) -> None:
    folder.write(5, state(5))
    assert steps(folder) == [5, 2]


def damaged(content: bytes) -> list[bytes]:
    """The file cut short, and with one byte changed in its length, header, digest, state and tensors."""
    places = [0, 9, content.index(b"sha256") + 12, content.index(b"position") + 14, len(content) // 2, len(content) - 1]
    flipped = [content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] for place in places]
    return [content[:size] for size in (0, 4, 200, len(content) - 1)] + flipped + [content + b"x"]


def test_a_damaged_newest_checkpoint_is_passed_over_and_named(folder: CheckpointFolder) -> None:
    path = folder.files()[0]
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        found = folder.newest()
        assert found.state is not None
        assert found.state["position"]["step"] == 2
        assert len(found.complaints) == 1
        assert found.complaints[0].startswith("checkpoint step-00000010.safetensors is damaged (")


def test_without_any_whole_checkpoint_there_is_none(folder: CheckpointFolder) -> None:
    for path in folder.files():
        path.write_bytes(b"")
    assert folder.newest().state is None
    assert len(folder.newest().complaints) == 2


def test_tensors_of_something_else_are_no_checkpoint(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "step-1.safetensors")
    with pytest.raises(DamagedError, match=r"step-1.safetensors is not of this version of elinformer"):
        read_checkpoint(tmp_path / "step-1.safetensors")


def test_a_name_without_a_step_is_the_oldest(folder: CheckpointFolder) -> None:
    (folder.path / "step-x.safetensors").write_bytes(b"")
    assert folder.files()[-1].name == "step-x.safetensors"


def test_what_a_kill_left_behind_is_tidied_away(folder: CheckpointFolder) -> None:
    (folder.path / ".step-00000011.4711.safetensors").write_bytes(b"half")
    assert steps(folder) == [10, 2]
    folder.tidy()
    assert len(list(folder.path.iterdir())) == 2


@pytest.mark.usefixtures("no_unpickling")
def test_a_checkpoint_is_never_unpickled(folder: CheckpointFolder) -> None:
    assert folder.newest().state is not None


def test_a_full_disk_leaves_the_checkpoints_before_as_they_are(folder: CheckpointFolder) -> None:
    resource = pytest.importorskip("resource")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(InputError, match=r"expected to be able to write .*step-00000011.*, but File too large"):
            folder.write(11, state(11))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
