"""Budgets, guesses of time, and what is said of a worker that ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from elinformer.comparison.plan import Job
from elinformer.comparison.pool import ASSUMED_START, Budget, Worker, environment, error_of

MakeJob = Callable[..., Job]


@pytest.mark.parametrize(
    ("code", "log", "said"),
    [
        (-9, "", "killed by SIGKILL: out of memory, most likely"),
        (-11, "Traceback\n", "killed by SIGSEGV"),
        (1, "Traceback\n  File x\nerror: ValueError: no\n\n", "ValueError: no"),
        (1, "RuntimeError: no\n", "RuntimeError: no"),
        (3, "\n", "ended with code 3 and no result"),
    ],
)
def test_one_line_says_error_of(code: int, log: str, said: str) -> None:
    assert error_of(code, log) == said


def test_a_worker_has_its_share_of_the_cores_and_finds_what_is_found_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", "/somewhere", *sys.path])
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    found = environment(3)
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "3"
    assert found["GOMP_SPINCOUNT"] == "10000"
    assert found["PYTHONPATH"].split(os.pathsep)[0] == "/somewhere"


def run_of(job: Job, seconds: float) -> dict[str, object]:
    return {**job.to_document(), "train_seconds": seconds, "test": {}}


@pytest.fixture
def worker(make_job: MakeJob) -> Iterator[Worker]:
    """A worker that has said that it is in the third of ten epochs, and goes on for a minute."""
    line = 'print(\'{"epoch": 3, "epochs": 10, "validation_mae": 2.5}\\nsomething else\', flush=True)'
    process = subprocess.Popen(
        [sys.executable, "-c", f"import time\n{line}\ntime.sleep(60)"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    worker = Worker(make_job("stid"), process)
    end = time.monotonic() + 30
    while not worker.progress and time.monotonic() < end:
        time.sleep(0.02)
    yield worker
    worker.end()


def test_a_worker_says_how_far_it_is_whatever_else_is_printed(worker: Worker) -> None:
    assert worker.progress == {"epoch": 3, "epochs": 10, "validation_mae": 2.5}
    worker.end()
    assert worker.process.returncode == -9


def test_time_left_is_guessed_from_epochs_and_from_runs_of_the_same_model_or_the_same_data(
    make_job: MakeJob, worker: Worker
) -> None:
    budget = Budget(None, 1, [run_of(make_job("stid"), 85.0)])
    assert budget.estimate(make_job("stid", seed=1)) == 85 + ASSUMED_START
    assert budget.estimate(make_job("dlinear")) == 85 + ASSUMED_START
    assert budget.estimate(make_job("stid", data="d.npz@name=other")) is None
    left = budget.time_left([make_job("dlinear")], [worker], 2)
    assert left == pytest.approx((100 + worker.seconds * 7 / 3) / 2, rel=0.05)
    assert budget.time_left([make_job("stid", data="d.npz@name=other")], [], 1) is None
    assert Budget(None, 1, []).time_left([], [worker], 1) is None


def test_a_job_that_would_not_end_within_the_budget_is_not_begun(make_job: MakeJob, worker: Worker) -> None:
    long, unknown = make_job("stid", seed=1), make_job("dlinear")
    budget = Budget(2.0, 2, [run_of(long, 85.0)])  # 120 core-seconds; the job would take 200
    assert not budget.allows(long, [])
    assert budget.allows(unknown, [])
    assert Budget(4.0, 2, [run_of(long, 85.0)]).allows(long, [])
    assert Budget(None, 2, [run_of(long, 85.0)]).allows(long, [worker])


def test_a_budget_counts_cores_and_what_still_runs(make_job: MakeJob, worker: Worker) -> None:
    budget = Budget(0.001, 2, [])
    time.sleep(0.05)
    assert budget.used_up([worker])
    assert not Budget(0.001, 2, []).used_up([])
    assert not Budget(None, 2, []).used_up([worker])
    budget = Budget(1000, 2, [])
    budget.ended(worker)
    assert budget.spent == pytest.approx(2 * worker.seconds, rel=0.2)
    assert budget.estimate(make_job("stid")) is not None


def test_runs_that_failed_say_nothing_of_time(make_job: MakeJob) -> None:
    job = make_job("stid")
    assert Budget(None, 1, [{**job.to_document(), "error": "no"}]).estimate(job) is None
