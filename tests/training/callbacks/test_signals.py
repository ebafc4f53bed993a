"""Ctrl-C and SIGTERM end a training after the current step."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from interruptions import (
    CallAtStep,
    CrashError,
    assert_same_weights,
    checkpoint_names,
    crash,
    interrupt,
    terminate,
)
from offset_task import OffsetModel, OffsetTask
from rich.console import Console

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.run_folder.folder import read_progress

NewForecaster = Callable[..., Forecaster]

MICRO_BATCHES = {"batch_size": 40, "tokens_at_once": 60, "checkpoint_minutes": 2}
"""Options of training with three micro-batches a step."""


class CallInValidation(pl.Callback):
    """Calls a function in the first validation."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function, self.is_called = function, False

    def on_validation_batch_start(self, *_: Any) -> None:
        if not self.is_called:
            self.is_called = True
            self.function()


def fit_until_terminated(forecaster: Forecaster, panel: Panel, **options: Any) -> str:
    """Return the message of a training that SIGTERM ends."""
    screen = io.StringIO()
    with pytest.raises(SystemExit) as end:
        forecaster.fit(panel, console=Console(file=screen, width=40), **options)
    assert end.value.code == 143
    return screen.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP there")
def test_a_closed_terminal_leaves_a_checkpoint_and_no_message(
    make_forecaster: NewForecaster, hourly_panel: Panel, tmp_path: Path, call_at_step: CallAtStep
) -> None:
    screen = io.StringIO()
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    call_at_step(3, lambda: signal.raise_signal(signal.SIGHUP))
    try:
        with pytest.raises(SystemExit) as end:
            make_forecaster(epochs=2, batch_size=24).fit(
                hourly_panel, run=tmp_path / "run", console=Console(file=screen)
            )
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (end.value.code, screen.getvalue()) == (129, "")
    assert read_progress(tmp_path / "run")["step"] == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP there")
def test_nohup_keeps_training() -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = OffsetTask(options={"epochs": 2}).fit(
            OffsetModel(1.0, lambda step: signal.raise_signal(signal.SIGHUP) if step == 2 else None)
        )
    finally:
        signal.signal(signal.SIGHUP, handler)
    assert result.epochs == 2


def test_ctrl_c_keeps_the_best_weights_so_far() -> None:
    handler = signal.getsignal(signal.SIGINT)
    model = OffsetModel(1.0, lambda step: interrupt() if step == 12 else None)  # 5 steps an epoch: in the third
    task = OffsetTask(options={"epochs": 10})
    result = task.fit(model)
    assert result.interrupted
    assert (result.best_epoch, result.epochs) == (1, 3)
    assert model.step == 12
    uninterrupted = OffsetModel(1.0)
    task.fit(uninterrupted)
    assert model.offset.item() == uninterrupted.offset.item()
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_in_the_first_step_interrupts_training() -> None:
    result = OffsetTask(options={"epochs": 50}).fit(OffsetModel(1.0, lambda step: interrupt()))
    assert result.interrupted
    assert result.epochs <= 1


def test_a_second_ctrl_c_ends_the_process_at_once() -> None:
    handler = signal.getsignal(signal.SIGINT)

    def interrupt_twice(step: int) -> None:
        interrupt()
        interrupt()

    task = OffsetTask(options={"epochs": 50})
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        task.fit(OffsetModel(1.0, interrupt_twice))
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_run_interrupted_by_ctrl_c_is_complete_and_can_be_resumed(
    new_forecaster: NewForecaster,
    uninterrupted: Forecaster,
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    run = tmp_path / "run"
    call_at_step(8, interrupt)
    forecaster = new_forecaster(checkpoint_minutes=2).fit(hourly_panel, run=run)
    assert forecaster.fit_result.interrupted
    forecaster.save(run)
    assert checkpoint_names(run) == ["step-00000008.safetensors"]
    assert_same_weights(Forecaster.load(run), forecaster)
    call_at_step(None, crash)
    resumed = Forecaster.resume(run, hourly_panel)
    assert_same_weights(resumed, uninterrupted)
    resumed.save(run)
    assert not (run / "checkpoints").exists()


def test_an_interrupted_run_is_unfinished_again_after_resuming(
    new_forecaster: NewForecaster, hourly_panel: Panel, tmp_path: Path, call_at_step: CallAtStep
) -> None:
    run = tmp_path / "run"
    call_at_step(8, interrupt)
    new_forecaster().fit(hourly_panel, run=run).save(run, metrics={"old": True})
    call_at_step(2, crash)
    with pytest.raises(CrashError):
        Forecaster.resume(run, hourly_panel)
    with pytest.raises(InputError, match="expected a finished run"):
        Forecaster.load(run)
    call_at_step(None, crash)
    Forecaster.resume(run, hourly_panel).save(run)
    assert not (run / "metrics.json").exists()


def test_a_signal_in_a_micro_batch_ends_training_after_the_whole_step(
    new_forecaster: NewForecaster, hourly_panel: Panel, tmp_path: Path, call_at_step: CallAtStep
) -> None:
    uninterrupted = new_forecaster(**MICRO_BATCHES).fit(hourly_panel)
    call_at_step(4, interrupt)
    interrupted = tmp_path / "interrupted"
    new_forecaster(**MICRO_BATCHES).fit(hourly_panel, run=interrupted).save(interrupted)
    call_at_step(4, terminate)
    terminated = tmp_path / "terminated"
    fit_until_terminated(new_forecaster(**MICRO_BATCHES), hourly_panel, run=terminated)
    call_at_step(None, crash)
    for run in (interrupted, terminated):
        assert checkpoint_names(run) == ["step-00000002.safetensors"]
        assert_same_weights(Forecaster.resume(run, hourly_panel), uninterrupted)


def test_ctrl_c_in_a_validation_ends_training_after_it(new_forecaster: NewForecaster, hourly_panel: Panel) -> None:
    forecaster = new_forecaster().fit(hourly_panel, callbacks=[CallInValidation(interrupt)])
    assert forecaster.fit_result.interrupted
    assert forecaster.fit_result.epochs == forecaster.fit_result.best_epoch == 1


@pytest.mark.parametrize("step", [1, 5, 8, 9])
def test_sigterm_ends_the_process_with_a_checkpoint_of_the_current_step(  # noqa: PLR0917 a parameter and fixtures
    step: int,
    new_forecaster: NewForecaster,
    uninterrupted: Forecaster,
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    handler, run = signal.getsignal(signal.SIGTERM), tmp_path / "run"
    call_at_step(step, terminate)
    message = fit_until_terminated(new_forecaster(checkpoint_minutes=2), hourly_panel, run=run)
    assert message.startswith(f"ended by SIGTERM after step {step} of 15")
    assert message.endswith(f"`elinformer train --resume {run}`\n")
    assert message.count("\n") == 1
    assert checkpoint_names(run) == [f"step-{step:08d}.safetensors"]
    assert signal.getsignal(signal.SIGTERM) is handler
    with pytest.raises(InputError, match=f"at step {step} of 15"):
        Forecaster.load(run)
    call_at_step(None, crash)
    assert_same_weights(Forecaster.resume(run, hourly_panel), uninterrupted)


def test_sigterm_may_come_twice(
    new_forecaster: NewForecaster, hourly_panel: Panel, tmp_path: Path, call_at_step: CallAtStep
) -> None:
    def terminate_twice() -> None:
        terminate()
        terminate()

    call_at_step(3, terminate_twice)
    fit_until_terminated(new_forecaster(), hourly_panel, run=tmp_path / "run")
    assert checkpoint_names(tmp_path / "run")[-1] == "step-00000003.safetensors"


def test_sigterm_in_a_validation_ends_the_process_at_the_start_of_the_next_epoch(
    new_forecaster: NewForecaster, uninterrupted: Forecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    message = fit_until_terminated(
        new_forecaster(checkpoint_minutes=2), hourly_panel, run=run, callbacks=[CallInValidation(terminate)]
    )
    assert message.startswith("ended by SIGTERM after step 5 of 15")
    assert checkpoint_names(run) == ["step-00000005.safetensors"]
    assert_same_weights(Forecaster.resume(run, hourly_panel), uninterrupted)


def test_sigterm_in_the_last_step_of_training_lets_it_finish(
    new_forecaster: NewForecaster,
    uninterrupted: Forecaster,
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    call_at_step(15, terminate)
    forecaster = new_forecaster().fit(hourly_panel, run=tmp_path / "run")
    assert not forecaster.fit_result.interrupted
    assert_same_weights(forecaster, uninterrupted)


def test_sigterm_right_after_resuming_writes_no_new_checkpoint(
    hourly_panel: Panel, crashed_run: Path, uninterrupted: Forecaster
) -> None:
    class TerminateAtStart(pl.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            terminate()

    names = checkpoint_names(crashed_run)
    with pytest.raises(SystemExit):
        Forecaster.resume(crashed_run, hourly_panel, callbacks=[TerminateAtStart()])
    assert checkpoint_names(crashed_run) == names
    assert_same_weights(Forecaster.resume(crashed_run, hourly_panel), uninterrupted)


def test_sigterm_without_a_run_folder_ends_the_process(
    new_forecaster: NewForecaster, hourly_panel: Panel, call_at_step: CallAtStep
) -> None:
    call_at_step(3, terminate)
    assert fit_until_terminated(new_forecaster(), hourly_panel) == "ended by SIGTERM after step 3 of 15\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that asks a process to end")
def test_sigterm_ends_the_train_command_with_a_checkpoint_and_one_sentence(hourly_panel: Panel, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", data=hourly_panel.values, timestamps_start="2024-01-01", freq="1h")
    (tmp_path / "s.toml").write_text(
        "[training]\ncheckpoint_minutes = 0\n[model]\nwindow_width = 16\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "elinformer", "train", "d.npz", "--out", "run", "--config", "s.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("run/checkpoints/step-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    progress = read_progress(tmp_path / "run")
    assert progress is not None
    last = errors.splitlines()[-1]
    assert last.startswith(f"ended by SIGTERM after step {progress['step']} of {progress['steps']}")
    assert last.endswith("`elinformer train --resume run`")
