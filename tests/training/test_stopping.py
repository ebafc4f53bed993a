"""Ctrl-C and SIGTERM end a training in order."""

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
from power_cuts import AtStep, PowerCutError, assert_same, checkpoints, interrupt, power_cut, terminate
from rich.console import Console

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.run_folder.folder import progress_of

Make = Callable[..., Forecaster]


class InValidation(pl.Callback):
    """Calls something in the n-th validation (from 1)."""

    def __init__(self, at: int, call: Callable[[], Any]) -> None:
        self.left, self.call = at, call

    def on_validation_batch_start(self, *_: Any) -> None:
        self.left -= 1
        if not self.left:
            self.call()


def left(forecaster: Forecaster, panel: Panel, **options: Any) -> str:
    """What a training that SIGTERM ends says."""
    screen = io.StringIO()
    with pytest.raises(SystemExit) as end:
        forecaster.fit(panel, console=Console(file=screen, width=40), **options)
    assert end.value.code == 143
    return screen.getvalue()


def test_what_ctrl_c_ended_is_a_whole_run_and_can_be_carried_on(
    make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    run = tmp_path / "run"
    at_step(8, interrupt)
    forecaster = make(checkpoint_minutes=2).fit(hourly_panel, run=run)
    assert forecaster.fit_result.interrupted
    forecaster.save(run)
    assert [path.name for path in checkpoints(run)] == ["step-00000008.safetensors"]
    assert_same(Forecaster.load(run), forecaster)
    at_step(None, power_cut)
    resumed = Forecaster.resume(run, hourly_panel)
    assert_same(resumed, make().fit(hourly_panel))
    resumed.save(run)
    assert not (run / "checkpoints").exists()


def test_a_run_that_ctrl_c_ended_is_unfinished_again_once_it_is_carried_on(
    make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    run = tmp_path / "run"
    at_step(8, interrupt)
    make().fit(hourly_panel, run=run).save(run, metrics={"old": True})
    at_step(2, power_cut)
    with pytest.raises(PowerCutError):
        Forecaster.resume(run, hourly_panel)
    with pytest.raises(InputError, match="expected a finished run"):
        Forecaster.load(run)
    at_step(None, power_cut)
    Forecaster.resume(run, hourly_panel).save(run)
    assert not (run / "metrics.json").exists()


def test_ctrl_c_in_a_micro_batch_ends_after_the_whole_step(
    make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    options = {"batch_size": 40, "tokens_at_once": 60, "checkpoint_minutes": 2}  # 3 micro-batches a step
    at_step(4, interrupt)
    make(**options).fit(hourly_panel, run=tmp_path / "run").save(tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-00000002.safetensors"]
    at_step(None, power_cut)
    assert_same(Forecaster.resume(tmp_path / "run", hourly_panel), make(**options).fit(hourly_panel))


def test_ctrl_c_in_a_validation_ends_after_it(make: Make, hourly_panel: Panel) -> None:
    forecaster = make().fit(hourly_panel, callbacks=[InValidation(1, interrupt)])
    assert forecaster.fit_result.interrupted
    assert forecaster.fit_result.epochs == forecaster.fit_result.best_epoch == 1


@pytest.mark.parametrize("step", [1, 8, 9])
def test_what_sigterm_ended_has_a_checkpoint_of_that_step(
    step: int, make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    before, run = signal.getsignal(signal.SIGTERM), tmp_path / "run"
    at_step(step, terminate)
    said = left(make(checkpoint_minutes=2), hourly_panel, run=run)
    assert said == f"ended by SIGTERM after step {step} of 15: go on with `elinformer train --resume {run}`\n"
    assert [path.name for path in checkpoints(run)] == [f"step-{step:08d}.safetensors"]
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(InputError, match=f"is at step {step} of 15"):
        Forecaster.load(run)
    at_step(None, power_cut)
    assert_same(Forecaster.resume(run, hourly_panel), make().fit(hourly_panel))


def test_sigterm_in_a_micro_batch_leaves_after_the_whole_step(
    make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    options = {"batch_size": 40, "tokens_at_once": 60, "checkpoint_minutes": 2}
    at_step(4, terminate)
    left(make(**options), hourly_panel, run=tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-00000002.safetensors"]
    at_step(None, power_cut)
    assert_same(Forecaster.resume(tmp_path / "run", hourly_panel), make(**options).fit(hourly_panel))


def test_sigterm_may_come_twice(make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep) -> None:
    def twice() -> None:
        terminate()
        terminate()

    at_step(3, twice)
    left(make(), hourly_panel, run=tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "run")][-1] == "step-00000003.safetensors"


def test_sigterm_in_a_validation_leaves_where_the_next_epoch_begins(
    make: Make, hourly_panel: Panel, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    said = left(make(checkpoint_minutes=2), hourly_panel, run=run, callbacks=[InValidation(1, terminate)])
    assert said.startswith("ended by SIGTERM after step 5 of 15")
    assert [path.name for path in checkpoints(run)] == ["step-00000005.safetensors"]
    assert_same(Forecaster.resume(run, hourly_panel), make().fit(hourly_panel))


def test_sigterm_in_the_last_step_of_an_epoch_leaves_where_the_next_one_begins(
    make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    run = tmp_path / "run"
    at_step(5, terminate)
    left(make(checkpoint_minutes=2), hourly_panel, run=run)
    assert [path.name for path in checkpoints(run)] == ["step-00000005.safetensors"]
    at_step(None, power_cut)
    assert_same(Forecaster.resume(run, hourly_panel), make().fit(hourly_panel))


def test_sigterm_in_the_last_step_of_all_lets_training_end(
    make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    at_step(15, terminate)
    forecaster = make().fit(hourly_panel, run=tmp_path / "run")
    assert not forecaster.fit_result.interrupted
    at_step(None, power_cut)
    assert_same(forecaster, make().fit(hourly_panel))


def test_sigterm_right_after_going_on_writes_nothing_new(
    hourly_panel: Panel, cut: Path, make: Make, at_step: AtStep
) -> None:
    class AtStart(pl.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            terminate()

    before = [path.name for path in checkpoints(cut)]
    with pytest.raises(SystemExit):
        Forecaster.resume(cut, hourly_panel, callbacks=[AtStart()])
    assert [path.name for path in checkpoints(cut)] == before
    assert_same(Forecaster.resume(cut, hourly_panel), make().fit(hourly_panel))


def test_sigterm_without_a_run_ends_too_and_says_when(make: Make, hourly_panel: Panel, at_step: AtStep) -> None:
    at_step(3, terminate)
    assert left(make(), hourly_panel) == "ended by SIGTERM after step 3 of 15\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that asks a process to end")
def test_the_command_leaves_with_a_checkpoint_and_one_sentence(hourly_panel: Panel, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", data=hourly_panel.values, timestamps_start="2024-01-01", freq="1h")
    (tmp_path / "s.toml").write_text(
        "[training]\ncheckpoint_minutes = 0\n[model]\nwindow_width = 16\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "elinformer", "train", "d.npz", "--out", "run", "--config", "s.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("run/checkpoints/step-*")) and time.monotonic() < until:
            time.sleep(0.01)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    position = progress_of(tmp_path / "run")
    assert position is not None
    ended = f"ended by SIGTERM after step {position['step']} of {position['steps']}"
    assert said == f"{ended}: go on with `elinformer train --resume run`\n"
