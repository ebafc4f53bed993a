"""Damage of a run is noticed, two processes never write to one folder, and no file leads out of it."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sealed import seal

from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.run_folder.checkpoints import CheckpointFolder
from elinformer.run_folder.folder import (
    CHECKPOINTS,
    CONFIG,
    METRICS,
    MODEL,
    PANEL,
    SCALER,
    UnfinishedRun,
    held_run_folder,
)
from elinformer.workflows import evaluate_run

LINKS = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


@pytest.fixture
def run(trained: Forecaster, tmp_path: Path) -> Path:
    trained.save(tmp_path / "run", metrics={"mae": 1.5})
    return tmp_path / "run"


def change(run: Path, *path: str, value: Any, name: str = CONFIG) -> None:
    """Change a value of a document, and make the checksums fit."""
    document = place = json.loads((run / name).read_text())
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (run / name).write_text(json.dumps(document))
    seal(run)


@pytest.mark.parametrize("name", [CONFIG, PANEL, METRICS, MODEL, SCALER])
def test_a_changed_byte_anywhere_in_a_run_is_noticed_and_the_file_named(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    for at in (len(content) // 3, len(content) - 3):
        changed = bytearray(content)
        changed[at] ^= 1
        (run / name).write_bytes(changed)
        with pytest.raises(InputError, match=name):
            Forecaster.load(run)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_deviations_that_are_not_positive_and_finite_are_refused(run: Path, value: float) -> None:
    tensors = load_file(run / SCALER)
    tensors["std"][0] = value
    save_file(tensors, run / SCALER)
    seal(run)
    with pytest.raises(InputError, match=SCALER):
        Forecaster.load(run)


@pytest.mark.parametrize(
    ("option", "value"), [("n_layers", 20_000), ("window_width", 1 << 40), ("window_width", 1 << 20), ("n_heads", 0)]
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_memory_is_taken(
    run: Path, option: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda tensor, **_: drawn.append(tensor.numel()))
    change(run, "model", "options", option, value=value)
    with pytest.raises(InputError):
        Forecaster.load(run)
    assert sum(drawn) < 100_000


@pytest.mark.parametrize("source", [5, ["d.csv"], {"data": 5}, {"data": None, "freq": 3}, {"other": "1h"}], ids=str)
def test_an_address_of_data_that_is_none_is_refused(run: Path, source: object) -> None:
    change(run, "source", value=source)
    with pytest.raises(InputError):
        evaluate_run(run)


@pytest.mark.parametrize("content", ["9" * 5000, "[" * 100_000 + "]" * 100_000], ids=["long number", "nested"])
def test_json_that_python_cannot_hold_is_refused(run: Path, content: str) -> None:
    (run / CONFIG).write_text(f'{{"format": "elinformer-run", "schema": 1, "a": {content}}}')
    with pytest.raises(InputError, match="JSON"):
        Forecaster.load(run)


@LINKS
@pytest.mark.parametrize("name", [CONFIG, PANEL, METRICS, MODEL, CHECKPOINTS, "logs"])
def test_links_that_lead_out_of_a_run_are_refused_and_nothing_there_changes(
    run: Path, trained: Forecaster, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir() if name in {CHECKPOINTS, "logs"} else (run / name).rename(outside)
    (run / name).symlink_to(outside)
    before = outside.read_bytes() if outside.is_file() else None
    for attempt in (lambda: Forecaster.load(run), lambda: UnfinishedRun.new(run, {}, overwrite=True)):
        with pytest.raises(InputError, match="link"):
            attempt()
    assert (outside.read_bytes() if outside.is_file() else None) == before


@LINKS
def test_pipes_and_links_among_checkpoints_are_no_checkpoints(tmp_path: Path) -> None:
    folder, outside = CheckpointFolder(tmp_path / "checkpoints"), tmp_path / "outside"
    folder.write(1, {"position": {"step": 1}})
    os.mkfifo(folder.path / "step-00000009.safetensors")
    outside.write_text("not to be changed")
    (folder.path / "step-00000002.safetensors").symlink_to(outside)
    assert folder.read_newest().state == {"position": {"step": 1}}
    folder.write(2, {"position": {"step": 2}})
    assert outside.read_text() == "not to be changed"


def test_a_folder_that_is_being_written_to_is_refused_at_once_to_all_others(
    trained: Forecaster, tmp_path: Path
) -> None:
    def refused(attempt: Any) -> None:
        with pytest.raises(InputError, match="no other process"):
            attempt()

    def enter(overwrite: bool) -> None:
        with held_run_folder(tmp_path / "run", overwrite=overwrite):
            pass

    with ThreadPoolExecutor(1) as other, held_run_folder(tmp_path / "run"):
        for attempt in (lambda: enter(False), lambda: enter(True), lambda: trained.save(tmp_path / "run")):
            other.submit(refused, attempt).result()
        trained.save(tmp_path / "run", metrics={"mine": 1})
    assert json.loads((tmp_path / "run" / METRICS).read_text()) == {"mine": 1}
    with pytest.raises(InputError, match="overwrite"):
        enter(False)
    enter(True)


def test_a_lock_outlives_the_renaming_of_its_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as other, held_run_folder(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "moved")
        (tmp_path / "run").mkdir()
        with held_run_folder(tmp_path / "run"):  # the new folder
            assert isinstance(other.submit(_enter, tmp_path / "run").exception(), InputError)
        assert isinstance(other.submit(_enter, tmp_path / "moved").exception(), InputError)
        (tmp_path / "moved").rename(tmp_path / "again")


def _enter(folder: Path) -> None:
    with held_run_folder(folder):
        pass


def test_a_folder_to_which_nothing_was_written_is_removed_again(tmp_path: Path) -> None:
    with pytest.raises(KeyError), held_run_folder(tmp_path / "a" / "b"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_replaced_keeps_none_of_its_files(run: Path) -> None:
    (run / CHECKPOINTS).mkdir()
    (run / "notes.txt").write_text("mine")
    with UnfinishedRun.new(run, {"version": "2"}, overwrite=True).locked():
        assert sorted(path.name for path in run.iterdir()) == [CONFIG, "notes.txt"]


def test_a_run_that_another_process_finished_meanwhile_is_not_resumed(run: Path, trained: Forecaster) -> None:
    change(run, "state", value="training")
    unfinished = UnfinishedRun.open(run)
    trained.save(run)
    with pytest.raises(InputError, match="finished"), unfinished.locked():
        pass


def test_a_run_keeps_no_folder_of_logs_outside_of_it(trained: Forecaster, tmp_path: Path) -> None:
    trained.save(tmp_path / "run")
    assert str(tmp_path) not in (tmp_path / "run" / CONFIG).read_text()


def test_checksums_are_not_part_of_what_a_run_means(trained: Forecaster, tmp_path: Path) -> None:
    for name, metrics in (("a", {"mae": 1.0}), ("b", {"mae": 2.0})):
        trained.save(tmp_path / name, metrics=metrics)
    assert Forecaster.load(tmp_path / "a").trained.config == Forecaster.load(tmp_path / "b").trained.config


@pytest.mark.parametrize(
    ("keys", "value"),
    [(("form", "time_type"), 5), (("steps_per_day",), " "), (("freq",), 1), (("calendar", "n_slots"), "24")],
)
def test_a_description_of_another_kind_is_refused_when_a_run_is_loaded(
    run: Path, keys: tuple[str, ...], value: object
) -> None:
    document = json.loads((run / PANEL).read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (run / PANEL).write_text(json.dumps(document))
    seal(run)
    with pytest.raises(InputError, match=f"files do not match .*{keys[-1]}"):
        Forecaster.load(run)
