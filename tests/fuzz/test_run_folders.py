"""Run folders that are damaged or made to mislead: never a traceback, a hang or a forecast that is no number."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import damaged_bytes, edit_document, replace_file, tries, used_or_refused
from safetensors.torch import load_file, save_file
from sealed import seal

from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.run_folder import checkpoints
from elinformer.run_folder.checkpoints import CheckpointFolder
from elinformer.run_folder.folder import CALIBRATION, CONFIG, METRICS, MODEL, PANEL, SCALER, describe_progress

TENSORS = (MODEL, SCALER, CALIBRATION)


@pytest.fixture
def run(trained: Forecaster, tmp_path: Path) -> Path:
    trained.save(tmp_path / "good", metrics={"mae": 1.5})
    return tmp_path / "good"


def copy_of(run: Path) -> Path:
    copy = run.with_name("run")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    return copy


def forecasts(run: Path, panel: Panel) -> np.ndarray:
    frame = Forecaster.load(run).predict(panel)
    return frame.iloc[:, 2:].to_numpy(float)


def test_a_damaged_run_forecasts_the_same_or_is_refused(run: Path, hourly_panel: Panel) -> None:
    expected = forecasts(run, hourly_panel)
    for draw in tries("damage", 60):
        copy = copy_of(run)
        path = copy / draw.choice([CONFIG, PANEL, METRICS, MODEL, SCALER, CALIBRATION])
        path.write_bytes(damaged_bytes(draw, path.read_bytes()))
        got = used_or_refused(forecasts, copy, hourly_panel)
        assert got is None or np.array_equal(got, expected), path.name


def test_a_run_with_other_contents_forecasts_numbers_or_is_refused(run: Path, hourly_panel: Panel) -> None:
    for draw in tries("contents", 120):
        copy = copy_of(run)
        if draw.random() < 0.7:
            edit_document(draw, copy / draw.choice([CONFIG, CONFIG, PANEL]))
        else:
            edit_tensors(draw, copy / draw.choice(TENSORS))
        seal(copy)
        got = used_or_refused(forecasts, copy, hourly_panel)
        assert got is None or np.isfinite(got).all()


def edit_tensors(draw: random.Random, path: Path) -> None:
    tensors = load_file(path)
    name = draw.choice(sorted(tensors) or ["x"])
    tensor = tensors.pop(name, torch.zeros(2))
    changed = draw.choice(["remove", "rename", "dtype", "shape", "empty", "larger"])
    if changed == "rename":
        tensors[draw.choice(["", "x", name + "."])] = tensor
    elif changed == "dtype":
        tensors[name] = tensor.to(draw.choice([torch.int64, torch.bool, torch.float16, torch.float64]))
    elif changed == "shape":
        tensors[name] = tensor.reshape(-1).clone()
    elif changed == "empty":
        tensors[name] = tensor.reshape(-1)[:0].clone()
    elif changed == "larger":
        tensors[name] = torch.cat([tensor.reshape(-1)] * 3)
    save_file(tensors, path)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes and links there")
def test_pipes_links_and_folders_in_place_of_files_are_refused(run: Path, hourly_panel: Panel) -> None:
    for draw in tries("places", 20):
        copy = copy_of(run)
        path = copy / draw.choice([CONFIG, PANEL, METRICS, MODEL, SCALER, CALIBRATION])
        replace_file(draw, path, run / path.name)
        assert used_or_refused(forecasts, copy, hourly_panel) is None


def test_a_damaged_checkpoint_is_skipped_or_read_as_it_was(tmp_path: Path) -> None:
    state = {"position": {"step": 3, "steps": 9, "epoch": 0}, "module": {"weight": torch.arange(6.0)}, "rate": (0.1, 2)}
    folder = CheckpointFolder(tmp_path / "checkpoints")
    folder.write(3, state)
    (path,) = folder.files()
    content = path.read_bytes()
    for draw in tries("checkpoint", 200):
        path.write_bytes(damaged_bytes(draw, content))
        got = used_or_refused(folder.read_newest)
        if got.state is not None:
            torch.testing.assert_close(got.state, state, rtol=0, atol=0)


def test_a_checkpoint_with_other_contents_is_described_or_refused(run: Path) -> None:
    import json

    copy = copy_of(run)
    config = json.loads((copy / CONFIG).read_text()) | {"state": "training"}
    (copy / CONFIG).write_text(json.dumps(config))
    seal(copy)
    for draw in tries("state", 60):
        document = copy / "state.json"
        document.write_text(json.dumps({"position": {"step": 3, "steps": 9, "epoch": 0}, "rate": [0.1, {"a": 1}]}))
        edit_document(draw, document)
        state = json.loads(document.read_text())
        document.unlink()
        (copy / "checkpoints").mkdir(exist_ok=True)
        (copy / "checkpoints" / "step-00000003.safetensors").write_bytes(checkpoints._encode(state))
        used_or_refused(describe_progress, copy)
