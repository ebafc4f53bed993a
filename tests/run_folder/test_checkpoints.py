"""Checkpoint files: written whole or not at all, the newest few kept, damage detected, no code run on load."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from elinformer.errors import InputError
from elinformer.run_folder.checkpoints import (
    CheckpointFolder,
    UnusableCheckpointError,
    join_state,
    read_checkpoint,
    split_state,
)


def new_state(step: int) -> dict[str, Any]:
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
        folder.write(step, new_state(step))
    return folder


def steps(folder: CheckpointFolder) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in folder.files()]


def test_the_newest_two_checkpoints_are_kept(folder: CheckpointFolder) -> None:
    assert steps(folder) == [10, 2]
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "step-00000002.safetensors",
        "step-00000010.safetensors",
    ]


def test_a_checkpoint_is_read_as_it_was_written(folder: CheckpointFolder) -> None:
    state, problems = folder.read_newest()
    assert problems == []
    assert state is not None
    torch.testing.assert_close(state, new_state(10), rtol=0, atol=0)
    assert state["groups"][0]["betas"] == (0.9, 0.999)
    assert state["module"]["half"].dtype is torch.bfloat16


def test_an_absent_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "none").read_newest() == (None, [])


def test_writing_a_step_removes_checkpoints_of_later_steps(folder: CheckpointFolder) -> None:
    folder.write(5, new_state(5))
    assert steps(folder) == [5, 2]


def damaged(content: bytes) -> list[bytes]:
    """Return truncated copies, and copies with a changed bit in length, header, digest, state and tensors."""
    positions = [
        0,
        9,
        content.index(b"sha256") + 12,
        content.index(b"position") + 14,
        len(content) // 2,
        len(content) - 1,
    ]
    flipped = [content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :] for position in positions]
    return [content[:size] for size in (0, 4, 200, len(content) - 1)] + flipped + [content + b"x"]


def test_a_damaged_checkpoint_is_skipped_and_reported(folder: CheckpointFolder) -> None:
    path = folder.files()[0]
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        state, problems = folder.read_newest()
        assert state is not None
        assert state["position"]["step"] == 2
        assert len(problems) == 1
        assert "step-00000010.safetensors is damaged" in problems[0]


def test_a_folder_of_damaged_checkpoints_has_no_usable_one(folder: CheckpointFolder) -> None:
    for path in folder.files():
        path.write_bytes(b"")
    assert folder.read_newest().state is None
    assert len(folder.read_newest().problems) == 2


def test_other_safetensors_files_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "step-1.safetensors")
    with pytest.raises(UnusableCheckpointError, match="not of this version"):
        read_checkpoint(tmp_path / "step-1.safetensors")


def test_a_file_without_a_step_in_its_name_counts_as_the_oldest(folder: CheckpointFolder) -> None:
    (folder.path / "step-x.safetensors").write_bytes(b"")
    assert folder.files()[-1].name == "step-x.safetensors"


def test_partly_written_files_are_removed(folder: CheckpointFolder) -> None:
    (folder.path / ".step-00000011.4711.safetensors").write_bytes(b"half")
    assert steps(folder) == [10, 2]
    folder.remove_partial_files()
    assert len(list(folder.path.iterdir())) == 2


@pytest.mark.usefixtures("no_unpickling")
def test_a_checkpoint_is_never_unpickled(folder: CheckpointFolder) -> None:
    assert folder.read_newest().state is not None


def test_a_full_disk_does_not_change_the_previous_checkpoints(folder: CheckpointFolder) -> None:
    resource = pytest.importorskip("resource")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(InputError, match=r"step-00000011.*File too large"):
            folder.write(11, new_state(11))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.floats(width=32)).map(torch.tensor)
)
NAMES = st.text().filter(lambda name: not name.startswith("$"))
STATES = st.recursive(
    LEAVES, lambda state: st.lists(state) | st.lists(state).map(tuple) | st.dictionaries(NAMES, state), max_leaves=20
)


def assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        assert_equal(list(one.values()), list(other.values()))
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for item, copy in zip(one, other, strict=True):
            assert_equal(item, copy)
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    elif isinstance(one, float) and math.isnan(one):
        assert math.isnan(other)
    else:
        assert one == other


@given(STATES)
def test_a_state_is_joined_as_it_was_split(state: Any) -> None:
    document, tensors = split_state(state)
    assert_equal(join_state(json.loads(json.dumps(document, allow_nan=False)), tensors), state)


def test_tensors_are_named_by_their_path() -> None:
    document, tensors = split_state({"optimizer": {"bias": [torch.zeros(2), 3]}})
    assert document == {"optimizer": {"bias": [{"$tensor": "optimizer.bias.0"}, 3]}}
    assert list(tensors) == ["optimizer.bias.0"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": object()}}, "object at 'a.b'"),
        ({"a": [lambda: None]}, "function at 'a.0'"),
        ({"a": {1: 2}}, "got 1 at 'a'"),
        ({"$tensor": 1}, "got '\\$tensor'"),
    ],
)
def test_values_other_than_json_and_tensors_are_refused(state: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        split_state(state)
