"""SIGKILL or SIGTERM at any moment: the run that is gone on with ends with the weights of one that was left alone."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from elinformer.data.panel import Panel
from elinformer.options import Settings
from elinformer.run_folder.folder import FINISHED, checked_config, load_run
from elinformer.workflows import resume_run, train_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs processes that are forked from a server"),
]

KILLS, TERMINATIONS = 10, 4
SEED = 20240501

KINDS: dict[str, dict[str, int]] = {"whole": {}, "in parts": {"series_at_once": 3}}
"""Options of training; both draw random numbers in every step."""


class Unharmed(NamedTuple):
    """A run that nobody killed, and how long it takes."""

    run: Path
    seconds: float


@dataclass
class Trainings:
    """Starts and ends processes that train, each forked from a server that has imported everything."""

    context: Any
    data: Path
    settings: Settings

    def start(self, run: Path) -> BaseProcess:
        """Begin the run, or go on with it."""
        if (run / "config.json").is_file():
            process = self.context.Process(target=resume_run, args=(run,))
        else:
            process = self.context.Process(target=train_run, args=(str(self.data), run, self.settings))
        process.start()
        return process

    def finish(self, run: Path) -> None:
        process = self.start(run)
        process.join(120)
        assert process.exitcode == 0

    def kill(self, process: BaseProcess) -> bool:
        """Whether it had not ended by itself."""
        process.kill()
        process.join(60)
        assert process.exitcode in {-9, 0}
        return process.exitcode == -9

    def terminate(self, process: BaseProcess) -> bool:
        """Whether it ended with a checkpoint; before its first step and after its last one it just ends."""
        process.terminate()
        process.join(60)
        assert process.exitcode in {143, -15, 0}
        return process.exitcode == 143

    def ended_often(self, folder: Path, times: int, end: Callable[[BaseProcess], bool], seconds: float) -> list[Path]:
        """Runs whose training `end` ended so many times, each within `seconds`, and that went on after each."""
        rng, ended, runs = random.Random(SEED), 0, [folder / "run 0"]
        while ended < times:
            process = self.start(runs[-1])
            time.sleep(rng.uniform(0, seconds))
            ended += end(process)
            if is_finished(runs[-1]):
                runs.append(folder / f"run {len(runs)}")
        self.finish(runs[-1])
        for run in runs:
            shutil.rmtree(run / "checkpoints", ignore_errors=True)  # where the end came after the last write
        return runs


@pytest.fixture(scope="module", params=KINDS)
def trainings(
    request: pytest.FixtureRequest,
    narrow: dict[str, int],
    hourly_panel: Panel,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trainings:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["elinformer.workflows", "pytorch_lightning.trainer.trainer"])
    context.Process(target=int).start()  # so that no test waits for the server
    data = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(data, data=hourly_panel.values, timestamps_start="2024-01-01", freq="1h", series=list("abcd"))
    training = {"epochs": 5, "batch_size": 24, "checkpoint_minutes": 0, **KINDS[request.param]}
    settings = Settings().updated({"window": 6, "horizon": 3, "model": narrow, "training": training})
    return Trainings(context, data, settings)


@pytest.fixture(scope="module")
def unharmed(trainings: Trainings, tmp_path_factory: pytest.TempPathFactory) -> Unharmed:
    run = tmp_path_factory.mktemp("unharmed") / "run"
    trainings.finish(run)
    began = time.monotonic()
    trainings.finish(run.with_name("again"))
    return Unharmed(run, time.monotonic() - began)


def is_finished(run: Path) -> bool:
    return (run / "config.json").is_file() and checked_config(run)["state"] == FINISHED


def assert_same(run: Path, other: Path) -> None:
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert load_run(run).config == load_run(other).config
    names = ["config.json", "metrics.json", "model.safetensors", "panel.json", "scaler.safetensors"]
    assert sorted(path.name for path in run.iterdir()) == names


def test_a_training_that_is_killed_at_ten_random_moments_ends_with_the_same_weights(
    trainings: Trainings, unharmed: Unharmed, tmp_path: Path
) -> None:
    for run in trainings.ended_often(tmp_path, KILLS, trainings.kill, unharmed.seconds):
        assert_same(run, unharmed.run)


def test_a_training_that_is_terminated_at_random_moments_ends_with_the_same_weights(
    trainings: Trainings, unharmed: Unharmed, tmp_path: Path
) -> None:
    for run in trainings.ended_often(tmp_path, TERMINATIONS, trainings.terminate, unharmed.seconds):
        assert_same(run, unharmed.run)


def test_a_training_that_is_killed_while_it_writes_a_checkpoint_ends_with_the_same_weights(
    trainings: Trainings, unharmed: Unharmed, tmp_path: Path
) -> None:
    run, caught = tmp_path / "run", set[Path]()
    while len(caught) < 3:
        process = trainings.start(run)
        wait_for_a_write(run, process)
        trainings.kill(process)
        assert not is_finished(run)
        caught |= set(unfinished_files(run))
    trainings.finish(run)
    assert_same(run, unharmed.run)


def unfinished_files(run: Path) -> list[Path]:
    return list((run / "checkpoints").glob(".step-*"))


def wait_for_a_write(run: Path, process: BaseProcess) -> None:
    before, end = set(unfinished_files(run)), time.monotonic() + 120
    while not set(unfinished_files(run)) - before and process.is_alive():
        assert time.monotonic() < end
