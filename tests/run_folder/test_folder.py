"""Run folders: written whole or not at all, checked on load, and never a source of code."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pickles import Bomb
from safetensors.torch import load_file, save_file
from sealed import seal

from elinformer.data.scaling import Scaler
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.models import ELinFormerConfig, Sizes
from elinformer.run_folder.folder import (
    CALIBRATION,
    CONFIG,
    MODEL,
    PANEL,
    SCALER,
    SCHEMA,
    load_run,
    save_run,
)


@pytest.fixture
def run(trained: Forecaster, tmp_path: Path) -> Path:
    trained.save(tmp_path / "run")
    return tmp_path / "run"


def edit_json(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    seal(path.parent)


def edit_tensors(path: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
    seal(path.parent)


def assert_refused(run: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        Forecaster.load(run)
    assert "\n" not in str(refusal.value)
    assert str(run) in str(refusal.value) or "expected a scaler" in str(refusal.value)


def test_a_run_holds_tensors_and_json_alone(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == [CALIBRATION, CONFIG, MODEL, PANEL, SCALER]
    config = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    assert (config["format"], config["schema"]) == ("elinformer-run", SCHEMA)


def test_a_run_stores_all_options_so_that_new_defaults_do_not_change_its_forecasts(run: Path) -> None:
    config = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    options = {f.name for f in fields(ELinFormerConfig)} - set(Sizes.__annotations__)
    assert config["model"]["options"].keys() == options


def test_a_run_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    scaler = Scaler(np.ones((2, 1), np.float32), np.full((2, 1), 3, np.float32))
    weights = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(2)}
    parts = {"weights": weights, "scaler": scaler, "calibration": {"steps": torch.ones(3)}}
    save_run(tmp_path / "run", config={"x": 1}, panel={"y": [2]}, **parts, metrics={"z": None})
    loaded = load_run(tmp_path / "run")
    assert (loaded.config["x"], loaded.panel) == (1, {"y": [2]})
    assert all(torch.equal(loaded.weights[name], weights[name]) for name in weights)
    np.testing.assert_array_equal(loaded.scaler.std, scaler.std)
    assert torch.equal(loaded.calibration["steps"], torch.ones(3))


def test_a_run_that_cannot_be_written_leaves_no_files(trained: Forecaster, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        trained.save(tmp_path / "run", metrics={"mae": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_unchanged_if_its_replacement_cannot_be_written(run: Path, trained: Forecaster) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(ValueError, match="Out of range float values"):
        trained.save(run, metrics={"mae": float("nan")})
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("name", [PANEL, MODEL, SCALER, CALIBRATION])
def test_a_run_without_one_of_its_files_is_refused(run: Path, name: str) -> None:
    (run / name).unlink()
    assert_refused(run, f"{name} is missing")


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none", "does not exist")


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path, "has no config.json")
    (tmp_path / CONFIG).write_text('{"model_type": "bert"}', encoding="utf-8")
    assert_refused(tmp_path, "another program")


@pytest.mark.parametrize("schema", [SCHEMA + 1, 99, "2", None])
def test_a_run_of_another_schema_is_refused(run: Path, schema: object) -> None:
    edit_json(run / CONFIG, lambda config: config.update(schema=schema))
    assert_refused(run, f"schema {SCHEMA} .* got {schema}")


@pytest.mark.parametrize("name", [CONFIG, PANEL])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1]"])
def test_invalid_json_is_refused(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    if name != CONFIG:
        seal(run)
    assert_refused(run, f"JSON.* in .*{name}")


@pytest.mark.parametrize("name", [MODEL, SCALER, CALIBRATION])
@pytest.mark.parametrize("size", [0, 4, 60, -1])
def test_truncated_tensors_are_refused(run: Path, name: str, size: int) -> None:
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[:size])
    assert_refused(run, f"{name}.* damaged")


def remove(*path: str) -> Callable[[dict[str, Any]], Any]:
    def edit(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return edit


def put(value: Any, *path: str) -> Callable[[dict[str, Any]], Any]:
    def edit(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        (CONFIG, remove("forecaster")),
        (CONFIG, remove("training")),
        (CONFIG, remove("model")),
        (CONFIG, remove("model", "options")),
        (CONFIG, put([1], "forecaster")),
        (CONFIG, put("twelve", "forecaster", "window")),
        (CONFIG, put(7, "forecaster", "window")),
        (CONFIG, put(4, "forecaster", "horizon")),
        (CONFIG, put(["a", "b", "c"], "forecaster", "split")),
        (CONFIG, put(1, "training", "something")),
        (CONFIG, put(2, "model", "options", "n_layers")),
        (CONFIG, put(5, "model", "options")),
        (PANEL, remove("series")),
        (PANEL, remove("calendar")),
        (PANEL, remove("calendar", "known_days")),
        (PANEL, put(["a"], "series")),
        (PANEL, put(5, "series")),
        (PANEL, put("hourly", "calendar")),
        (PANEL, put(12, "calendar", "n_slots")),
        (PANEL, put(-1, "calendar", "n_slots")),
        (PANEL, put(None, "calendar")),
    ],
)
def test_inconsistent_documents_are_refused(run: Path, name: str, edit: Callable[[dict[str, Any]], Any]) -> None:
    edit_json(run / name, edit)
    with pytest.raises(InputError) as refusal:
        Forecaster.load(run)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        (MODEL, remove("output.change.bias")),
        (MODEL, put(torch.zeros(1), "output.change.bias")),
        (MODEL, put(torch.zeros(1), "unknown")),
        (SCALER, remove("std")),
        (SCALER, put(torch.zeros(1), "third")),
        (SCALER, put(torch.ones(1, 1), "mean")),
        (SCALER, put(torch.ones(5, 1), "std")),
        (SCALER, put(torch.ones(4, 1, dtype=torch.bfloat16), "std")),
        (CALIBRATION, remove("ranks")),
        (CALIBRATION, put(torch.ones(4, 1), "nonnegative")),
        (CALIBRATION, put(torch.ones(5, 1, 9), "series")),
        (CALIBRATION, put(torch.zeros(3, 1, 9), "steps")),
        (CALIBRATION, put(torch.zeros(0, 3, 4, 1, dtype=torch.uint8), "ranks")),
    ],
)
def test_inconsistent_tensors_are_refused(run: Path, name: str, edit: Callable[[dict[str, Any]], Any]) -> None:
    edit_tensors(run / name, edit)
    with pytest.raises(InputError) as refusal:
        Forecaster.load(run)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", [CONFIG, PANEL, MODEL, SCALER, CALIBRATION])
@pytest.mark.parametrize("dump", [pickle.dumps, None], ids=["pickle", "torch.save"])
def test_a_pickle_in_place_of_a_file_is_not_unpickled(run: Path, tmp_path: Path, name: str, dump: Any) -> None:
    bomb = Bomb(tmp_path / "exploded")
    torch.save(bomb, run / name) if dump is None else (run / name).write_bytes(dump(bomb))
    with pytest.raises(InputError):
        Forecaster.load(run)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(bomb))  # shows that the pickle works
    assert (tmp_path / "exploded").exists()


def test_other_pickles_in_the_folder_are_not_unpickled(run: Path, tmp_path: Path) -> None:
    for name in ("model.pt", "pytorch_model.bin", "scaler.pkl", "last.ckpt", "training_state.pt"):
        (run / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    Forecaster.load(run)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.usefixtures("no_unpickling")
def test_loading_never_calls_an_unpickler(run: Path) -> None:
    assert Forecaster.load(run).reach.window == 6
