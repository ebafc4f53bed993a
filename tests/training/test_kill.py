"""Training killed or terminated at random moments ends with the weights of an uninterrupted training."""

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
from elinformer.run_folder.folder import FINISHED, load_run, read_config
from elinformer.workflows import resume_run, train_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs processes that are forked from a server"),
]

KILLS, TERMINATIONS = 10, 4
SEED = 20240501

OPTIONS: dict[str, dict[str, int]] = {"all series": {}, "partitions": {"series_at_once": 3}}
"""Options of training; both draw random numbers in every step."""


class Uninterrupted(NamedTuple):
    """An uninterrupted run, and its duration."""

    run: Path
    seconds: float


@dataclass
class TrainingProcesses:
    """Starts and ends processes that train; each is forked from a server with all imports."""

    context: Any
    data: Path
    settings: Settings

    def start(self, run: Path) -> BaseProcess:
        """Begin the run, or resume it."""
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
        """Kill a process; return False if it had already finished."""
        process.kill()
        process.join(60)
        assert process.exitcode in {-9, 0}
        return process.exitcode == -9

    def terminate(self, process: BaseProcess) -> bool:
        """Terminate a process; return False if it had no time to write a checkpoint or had already finished."""
        process.terminate()
        process.join(60)
        assert process.exitcode in {143, -15, 0}
        return process.exitcode == 143

    def interrupt_and_resume(
        self, folder: Path, times: int, interrupt: Callable[[BaseProcess], bool], seconds: float
    ) -> list[Path]:
        """Return runs that `interrupt` ended so many times in total, each time within `seconds`, and that resumed."""
        rng, n_interruptions, runs = random.Random(SEED), 0, [folder / "run 0"]
        while n_interruptions < times:
            process = self.start(runs[-1])
            time.sleep(rng.uniform(0, seconds))
            n_interruptions += interrupt(process)
            if is_finished(runs[-1]):
                runs.append(folder / f"run {len(runs)}")
        self.finish(runs[-1])
        for run in runs:
            # Checkpoints remain if the process was ended just after it had written all files of the run.
            shutil.rmtree(run / "checkpoints", ignore_errors=True)
        return runs


@pytest.fixture(scope="module", params=OPTIONS)
def processes(
    request: pytest.FixtureRequest,
    narrow: dict[str, int],
    hourly_panel: Panel,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainingProcesses:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["elinformer.workflows", "elinformer.training.fit"])
    context.Process(target=int).start()  # starts the server
    data = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(data, data=hourly_panel.values, timestamps_start="2024-01-01", freq="1h", series=list("abcd"))
    training = {"epochs": 5, "batch_size": 24, "checkpoint_minutes": 0, **OPTIONS[request.param]}
    settings = Settings().updated({"window": 6, "horizon": 3, "model": narrow, "training": training})
    return TrainingProcesses(context, data, settings)


@pytest.fixture(scope="module")
def uninterrupted(processes: TrainingProcesses, tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    processes.finish(run)
    start = time.monotonic()
    processes.finish(run.with_name("second"))
    return Uninterrupted(run, time.monotonic() - start)


def is_finished(run: Path) -> bool:
    return (run / "config.json").is_file() and read_config(run)["state"] == FINISHED


def assert_same_run(run: Path, other: Path) -> None:
    for name in ("model.safetensors", "refit.safetensors"):
        assert (run / name).read_bytes() == (other / name).read_bytes()
    assert load_run(run).config == load_run(other).config
    names = [
        "calibration.safetensors",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "panel.json",
        "refit.safetensors",
        "scaler.safetensors",
    ]
    assert sorted(path.name for path in run.iterdir()) == names


def test_training_killed_at_random_moments_ends_with_the_same_weights(
    processes: TrainingProcesses, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    for run in processes.interrupt_and_resume(tmp_path, KILLS, processes.kill, uninterrupted.seconds):
        assert_same_run(run, uninterrupted.run)


def test_training_terminated_at_random_moments_ends_with_the_same_weights(
    processes: TrainingProcesses, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    for run in processes.interrupt_and_resume(tmp_path, TERMINATIONS, processes.terminate, uninterrupted.seconds):
        assert_same_run(run, uninterrupted.run)


def test_training_killed_while_it_writes_a_checkpoint_ends_with_the_same_weights(
    processes: TrainingProcesses, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    run, partial_files = tmp_path / "run", set[Path]()
    while len(partial_files) < 3:
        process = processes.start(run)
        wait_for_partial_file(run, process)
        processes.kill(process)
        assert not is_finished(run)
        partial_files |= set(find_partial_files(run))
    processes.finish(run)
    assert_same_run(run, uninterrupted.run)


def find_partial_files(run: Path) -> list[Path]:
    return list((run / "checkpoints").glob(".step-*"))


def wait_for_partial_file(run: Path, process: BaseProcess) -> None:
    known, deadline = set(find_partial_files(run)), time.monotonic() + 120
    while not set(find_partial_files(run)) - known and process.is_alive():
        assert time.monotonic() < deadline
