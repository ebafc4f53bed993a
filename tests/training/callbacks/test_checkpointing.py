"""A training that crashed resumes from its newest usable checkpoint, and ends with the same weights."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from interruptions import (
    CallAtStep,
    CrashError,
    assert_same_weights,
    checkpoint_files,
    checkpoint_names,
    crash,
    flip_bit,
)
from rich.console import Console
from sealed import seal
from torch import Tensor

import elinformer.run_folder.checkpoints
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training.callbacks.progress import Clock

NewForecaster = Callable[..., Forecaster]

OPTIONS: dict[str, dict[str, Any]] = {
    "one cycle": {"epochs": 3},
    "micro-batches": {"epochs": 2, "batch_size": 40, "tokens_at_once": 60},
    "partitions": {"epochs": 3, "series_at_once": 3},
    "patience": {"epochs": 6, "patience": 2, "learning_rate": 0.5},
}


def assert_same_result(forecaster: Forecaster, expected: Forecaster) -> None:
    assert_same_weights(forecaster, expected)
    for name in ("epochs", "best_epoch", "interrupted", "skipped_steps", "diverged"):
        assert getattr(forecaster.fit_result, name) == getattr(expected.fit_result, name)


def resume(run: Path, panel: Panel) -> tuple[Forecaster, str]:
    """Return the resumed forecaster, and the messages."""
    screen = io.StringIO()
    return Forecaster.resume(run, panel, console=Console(file=screen, width=200)), screen.getvalue()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_training_that_crashes_once_ends_with_the_same_weights(
    options: dict[str, Any],
    new_forecaster: NewForecaster,
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    expected = new_forecaster(**options).fit(hourly_panel)
    for call_number in (1, 6, 8):
        run = tmp_path / str(call_number)
        call_at_step(call_number, crash)
        with pytest.raises(CrashError):
            new_forecaster(**options).fit(hourly_panel, run=run)
        call_at_step(None, crash)
        assert_same_result(resume(run, hourly_panel)[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_training_that_crashes_in_every_step_ends_with_the_same_weights(
    name: str, new_forecaster: NewForecaster, hourly_panel: Panel, tmp_path: Path, call_at_step: CallAtStep
) -> None:
    expected, run = new_forecaster(**OPTIONS[name]).fit(hourly_panel), tmp_path / "run"
    call_number = 5 if name == "micro-batches" else 2  # in the second step after each start
    call_at_step(call_number, crash)
    with pytest.raises(CrashError):
        new_forecaster(**OPTIONS[name]).fit(hourly_panel, run=run)
    resumed, n_crashes = None, 1
    while resumed is None:
        call_at_step(call_number, crash)
        try:
            resumed, _ = resume(run, hourly_panel)
        except CrashError:
            n_crashes += 1
        assert n_crashes < 60
    assert n_crashes >= 7
    assert_same_result(resumed, expected)


def test_the_run_folder_exists_before_the_first_step(
    new_forecaster: NewForecaster, hourly_panel: Panel, tmp_path: Path, call_at_step: CallAtStep
) -> None:
    call_at_step(1, crash)
    with pytest.raises(CrashError):
        new_forecaster().fit(hourly_panel, run=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["state"] == "training"
    assert config["training"]["checkpoint_minutes"] == 0
    assert config["data"]["name"] == "hourly"
    assert config["data"]["fingerprint"].startswith("sha256:")


def test_loading_an_unfinished_run_is_refused_with_its_progress(crashed_run: Path) -> None:
    with pytest.raises(InputError, match="at step 8 of 15") as refusal:
        Forecaster.load(crashed_run)
    assert str(refusal.value).endswith(f"`elinformer train --resume {crashed_run}`")
    for path in checkpoint_files(crashed_run):
        path.unlink()
    with pytest.raises(InputError, match="without a checkpoint"):
        Forecaster.load(crashed_run)


def test_an_unfinished_run_is_not_overwritten(
    new_forecaster: NewForecaster, hourly_panel: Panel, crashed_run: Path
) -> None:
    with pytest.raises(InputError, match=r"at step 8 of 15: .*--resume .* or pass --overwrite"):
        new_forecaster().fit(hourly_panel, run=crashed_run)


def test_a_run_that_another_process_trains_is_locked(
    new_forecaster: NewForecaster, hourly_panel: Panel, crashed_run: Path
) -> None:
    fcntl = pytest.importorskip("fcntl")
    lock = os.open(crashed_run, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    files = checkpoint_files(crashed_run)
    forecaster = new_forecaster()
    with pytest.raises(InputError, match="no other process"):
        Forecaster.resume(crashed_run, hourly_panel)
    with pytest.raises(InputError, match="no other process"):
        forecaster.fit(hourly_panel, run=forecaster.new_run(crashed_run, hourly_panel, overwrite=True))
    assert checkpoint_files(crashed_run) == files
    os.close(lock)
    Forecaster.resume(crashed_run, hourly_panel)


def test_saving_completes_the_run_in_place(hourly_panel: Panel, crashed_run: Path) -> None:
    forecaster = Forecaster.resume(crashed_run, hourly_panel)
    forecaster.save(crashed_run)
    names = ["calibration.safetensors", "config.json", "model.safetensors", "panel.json", "scaler.safetensors"]
    assert sorted(path.name for path in crashed_run.iterdir()) == names
    assert [path.name for path in crashed_run.parent.iterdir()] == ["run"]
    assert_same_weights(Forecaster.load(crashed_run), forecaster)
    with pytest.raises(InputError, match="expected an unfinished run"):
        Forecaster.resume(crashed_run, hourly_panel)


def test_a_run_is_resumable_until_its_last_file_is_written(
    hourly_panel: Panel, crashed_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecaster = Forecaster.resume(crashed_run, hourly_panel)
    replace = Path.replace
    for n_files in range(4):
        remaining = iter(range(n_files))

        def replace_or_crash(path: Path, target: Path, remaining: Any = remaining) -> Path:
            if next(remaining, None) is None:
                raise CrashError
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", replace_or_crash)
        with pytest.raises(CrashError):
            forecaster.save(crashed_run)
        monkeypatch.setattr(Path, "replace", replace)
        assert_same_weights(Forecaster.resume(crashed_run, hourly_panel), forecaster)


def test_the_history_includes_epochs_before_a_crash(
    uninterrupted: Forecaster, hourly_panel: Panel, crashed_run: Path
) -> None:
    def losses(forecaster: Forecaster) -> list[object]:
        return [{**epoch, "seconds": None} for epoch in forecaster.fit_result.history]

    assert losses(Forecaster.resume(crashed_run, hourly_panel)) == losses(uninterrupted)


def test_the_training_time_includes_earlier_starts(
    hourly_panel: Panel, crashed_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "state_dict", lambda _: {"seconds": 1000.0})  # goes into the next checkpoint
    first = Forecaster.resume(crashed_run, hourly_panel).fit_result.seconds
    second = Forecaster.resume(crashed_run, hourly_panel).fit_result.seconds
    assert first < 1000 < second


def test_lightning_continues_its_counters(hourly_panel: Panel, crashed_run: Path) -> None:
    batches: list[tuple[int, int]] = []

    class RecordBatch(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
            batches.append((trainer.current_epoch, batch_idx))
            assert trainer.global_step == 5 * trainer.current_epoch + batch_idx

    Forecaster.resume(crashed_run, hourly_panel, callbacks=[RecordBatch()])
    assert batches == [(1, 3), (1, 4), *((2, i) for i in range(5))]


class AverageWeight(pl.Callback):
    """Averages a weight over the steps: a state that is stored in the checkpoint alone."""

    def __init__(self) -> None:
        self.mean: Tensor | None = None
        self.counts: dict[str, Any] = {"steps": 0}

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        weight = next(module.parameters()).detach()
        self.mean = weight.clone() if self.mean is None else 0.9 * self.mean + 0.1 * weight
        self.counts["steps"] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "counts": self.counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.mean, self.counts = state_dict["mean"], state_dict["counts"]


def test_the_state_of_a_callback_is_in_the_checkpoint(
    new_forecaster: NewForecaster, hourly_panel: Panel, tmp_path: Path, call_at_step: CallAtStep
) -> None:
    expected, resumed = AverageWeight(), AverageWeight()
    new_forecaster().fit(hourly_panel, callbacks=[expected])
    call_at_step(9, crash)
    with pytest.raises(CrashError):
        new_forecaster().fit(hourly_panel, callbacks=[AverageWeight()], run=tmp_path / "run")
    call_at_step(None, crash)
    Forecaster.resume(tmp_path / "run", hourly_panel, callbacks=[resumed])
    assert resumed.counts == expected.counts == {"steps": 15}
    assert expected.mean is not None
    assert torch.equal(resumed.mean, expected.mean)


def test_resuming_with_other_data_is_refused(two_channel_panel: Panel, hourly_panel: Panel, crashed_run: Path) -> None:
    values = hourly_panel.values.copy()
    values[0, 0] += 1
    changed = Panel.from_arrays(values, start="2024-01-01", freq="1h", series=list("abcd"), channels=["flow"])
    for other in (two_channel_panel, changed):
        with pytest.raises(InputError, match=r"expected the data .* differs .* --overwrite"):
            Forecaster.resume(crashed_run, other)


def test_checkpoints_are_written_at_the_chosen_interval(
    new_forecaster: NewForecaster, hourly_panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elinformer.run_folder.checkpoints, "N_KEPT", 100)
    new_forecaster(checkpoint_minutes=1e-9).fit(hourly_panel, run=tmp_path / "often")
    new_forecaster(checkpoint_minutes=0).fit(hourly_panel, run=tmp_path / "always")
    new_forecaster(checkpoint_minutes=60).fit(hourly_panel, run=tmp_path / "seldom")
    assert 1 <= len(checkpoint_files(tmp_path / "often")) < 14  # limited to their share of the time
    assert len(checkpoint_files(tmp_path / "always")) == 14
    assert not (tmp_path / "seldom" / "checkpoints").exists()


def test_resuming_does_not_change_the_random_numbers_of_the_caller(hourly_panel: Panel, crashed_run: Path) -> None:
    torch.manual_seed(17)
    before = torch.get_rng_state()
    Forecaster.resume(crashed_run, hourly_panel)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_reports_a_damaged_checkpoint_and_resumes_from_the_previous_one(
    uninterrupted: Forecaster, hourly_panel: Panel, crashed_run: Path
) -> None:
    flip_bit(checkpoint_files(crashed_run)[-1], -100)
    resumed, messages = resume(crashed_run, hourly_panel)
    damage, progress = messages.splitlines()
    assert "step-00000008.safetensors is damaged" in damage
    assert "at step 7 of 15" in progress
    assert_same_weights(resumed, uninterrupted)


def test_training_restarts_if_no_checkpoint_is_usable(
    uninterrupted: Forecaster, hourly_panel: Panel, crashed_run: Path
) -> None:
    for path in checkpoint_files(crashed_run):
        path.write_bytes(b"")
    resumed, messages = resume(crashed_run, hourly_panel)
    assert "training restarts" in messages
    assert_same_weights(resumed, uninterrupted)


def test_a_checkpoint_of_another_model_is_refused(hourly_panel: Panel, crashed_run: Path) -> None:
    config = json.loads((crashed_run / "config.json").read_text(encoding="utf-8"))
    config["model"]["options"]["window_width"] = 16
    (crashed_run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    seal(crashed_run)
    with pytest.raises(InputError, match="expected a checkpoint of this training") as refusal:
        Forecaster.resume(crashed_run, hourly_panel)
    assert "\n" not in str(refusal.value)


@contextmanager
def limited_file_size(size: int) -> Generator[Callable[[], None]]:
    """Return a function after which no file can exceed `size` bytes, as on a full disk, until the block ends."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_training_and_keeps_the_previous_checkpoints(
    new_forecaster: NewForecaster,
    uninterrupted: Forecaster,
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    run = tmp_path / "run"
    with limited_file_size(1000) as fill_disk:
        call_at_step(8, fill_disk)
        with pytest.raises(InputError, match=r"step-00000008.safetensors, but File too large") as refusal:
            new_forecaster().fit(hourly_panel, run=run)
    assert str(refusal.value).endswith(f"`elinformer train --resume {run}`")
    assert "\n" not in str(refusal.value)
    assert checkpoint_names(run) == ["step-00000006.safetensors", "step-00000007.safetensors"]
    call_at_step(None, crash)
    assert_same_weights(Forecaster.resume(run, hourly_panel), uninterrupted)


def test_a_disk_that_is_full_at_the_end_leaves_the_run_unfinished(hourly_panel: Panel, crashed_run: Path) -> None:
    forecaster = Forecaster.resume(crashed_run, hourly_panel)
    files = checkpoint_files(crashed_run)
    with limited_file_size(1000) as fill_disk:
        fill_disk()
        with pytest.raises(InputError, match="but File too large") as refusal:
            forecaster.save(crashed_run)
    assert "\n" not in str(refusal.value)
    assert checkpoint_files(crashed_run) == files
    assert_same_weights(Forecaster.resume(crashed_run, hourly_panel), forecaster)


def test_resuming_removes_partly_written_files(hourly_panel: Panel, crashed_run: Path) -> None:
    for name in (".config.4711.json", ".model.4711.safetensors", "checkpoints/.step-00000009.4711.safetensors"):
        (crashed_run / name).write_bytes(b"half")
    Forecaster.resume(crashed_run, hourly_panel)
    assert not list(crashed_run.rglob(".*"))
