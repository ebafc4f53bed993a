"""Jobs in processes of their own, several at once; a job that fails or is killed stops no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from elinformer._files import write_json
from elinformer.comparison.results import is_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from elinformer.comparison.plan import Document, Job
    from elinformer.comparison.results import ResultsFolder

END_WITH_INPUT = "--end-with-stdin"
"""Argument of a job: end when standard input is closed, as it is when the comparison that started the job is killed."""

POLLING_SECONDS = 0.2
TAIL_OF_LOG = 20_000
ASSUMED_START = 15.0
"""Seconds of a job beside its training, to estimate its time from earlier runs."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Watcher(Protocol):
    """Observer of a pool."""

    def started(self, job: Job) -> None:
        """Show that a job was started."""
        ...

    def ended(self, job: Job, run: Document, seconds: float) -> None:
        """Show that a job was done, or failed."""
        ...

    def show(self, running: Sequence[Worker], left: float | None) -> None:
        """Show the running jobs, and the seconds that are left, None where there is no estimate."""
        ...


class Worker:
    """A process that runs a job.

    Attributes:
        job: The job.
        process: The process.
        progress: The last line that it wrote: `epoch`, `epochs`, `validation_mae`.
    """

    def __init__(self, job: Job, process: subprocess.Popen[str]) -> None:
        self.job, self.process = job, process
        self.progress: dict[str, Any] = {}
        self._began = time.monotonic()
        self._reader = threading.Thread(target=self._read_progress, daemon=True)
        self._reader.start()

    @property
    def seconds(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began

    def end(self) -> None:
        """Kill the process and its children."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _read_progress(self) -> None:
        """Read lines of the process until it ends, and keep the last one."""
        stream = self.process.stdout
        if stream is None:
            return
        with stream:
            for line in stream:
                with suppress(json.JSONDecodeError):  # something a user's model printed
                    said = json.loads(line)
                    self.progress = said if isinstance(said, dict) else self.progress


class Budget:
    """Core-minutes of a comparison, and estimates of how many a job needs.

    Args:
        minutes: None for no limit.
        threads: Cores of a job.
        earlier: Runs of this folder, from which durations are estimated.
    """

    def __init__(self, minutes: float | None, threads: int, earlier: Iterable[Document]) -> None:
        self.seconds = None if minutes is None else 60 * minutes
        self.threads = threads
        self.spent = 0.0
        self._known: dict[tuple[str, str], list[float]] = {}
        for run in earlier:
            if is_done(run):
                self._note(run["data"], run["model"], run["train_seconds"] + ASSUMED_START)

    def ended(self, worker: Worker) -> None:
        """Count a job that ended."""
        self.spent += worker.seconds * self.threads
        self._note(*worker.job.place[:2], worker.seconds)

    def estimate(self, job: Job) -> float | None:
        """Estimate the seconds of a job from the same model, or else from other models on the same data."""
        data, model, _ = job.place
        own = self._known.get((data, model))
        others = [s for (other, _), seconds in self._known.items() if other == data for s in seconds]
        seconds = own or others
        return sum(seconds) / len(seconds) if seconds else None

    def allows(self, job: Job, running: Sequence[Worker]) -> bool:
        """Tell if a job should end within the budget; without an earlier run, if some of it is left."""
        if self.seconds is None:
            return True
        expected = self.estimate(job) if self._known.get(job.place[:2]) else 0.0
        ahead = sum(self._left(worker) for worker in running) + (expected or 0.0)
        return self._used(running) + ahead * self.threads < self.seconds

    def used_up(self, running: Sequence[Worker]) -> bool:
        """Tell if running jobs have to be ended."""
        return self.seconds is not None and self._used(running) >= self.seconds

    def time_left(self, queue: Iterable[Job], running: Sequence[Worker], at_once: int) -> float | None:
        """Estimate the seconds until all jobs are done; None without earlier runs."""
        estimates = [self.estimate(job) for job in queue]
        if not self._known or any(estimate is None for estimate in estimates):
            return None
        return (
            sum(estimate or 0.0 for estimate in estimates) + sum(self._left(worker) for worker in running)
        ) / at_once

    def _left(self, worker: Worker) -> float:
        epoch, epochs = worker.progress.get("epoch"), worker.progress.get("epochs")
        if epoch and epochs:
            return worker.seconds * (epochs - epoch) / epoch
        estimate = self.estimate(worker.job)
        return 0.0 if estimate is None else max(0.0, estimate - worker.seconds)

    def _used(self, running: Sequence[Worker]) -> float:
        return self.spent + sum(worker.seconds for worker in running) * self.threads

    def _note(self, data: str, model: str, seconds: float) -> None:
        self._known.setdefault((data, model), []).append(seconds)


class Pool:
    """Workers that run the jobs of a comparison.

    Args:
        results: Folder of jobs and results.
        at_once: Number of workers.
        device: Device of the trainings.
        budget: Core-minutes in all, and threads of each worker.
        watcher: Observer.
    """

    def __init__(self, results: ResultsFolder, *, at_once: int, device: str, budget: Budget, watcher: Watcher) -> None:
        self.results, self.at_once, self.device, self.budget, self.watcher = results, at_once, device, budget, watcher
        self._running: list[Worker] = []

    def run(self, jobs: Iterable[Job], *, after_each: Callable[[], Any]) -> None:
        """Run the jobs, as many as the budget allows; no worker outlives this call, however it ends.

        Args:
            jobs: In this order, except that the budget may leave some out.
            after_each: Called after a job has ended.
        """
        queue = list(jobs)
        try:
            while True:
                self._fill(queue)
                if not self._running:
                    return
                time.sleep(POLLING_SECONDS)
                if self._collect():
                    after_each()
                if self.budget.used_up(self._running):
                    return
                self.watcher.show(self._running, self.budget.time_left(queue, self._running, self.at_once))
        finally:
            for worker in self._running:
                worker.end()
                self.results.tidy(worker.job, keep_checkpoints=True)

    def _fill(self, queue: list[Job]) -> None:
        while len(self._running) < self.at_once:
            job = next((job for job in queue if self.budget.allows(job, self._running)), None)
            if job is None:
                return
            queue.remove(job)
            self._running.append(self._start(job))
            self.watcher.started(job)

    def _start(self, job: Job) -> Worker:
        result, file = self.results.path(job), self.results.job_file(job)
        result.unlink(missing_ok=True)  # of a run that failed
        document = {"job": job.to_document(), "device": self.device, "result": str(result)}
        folders = {"checkpoints": str(self.results.checkpoints(job)), "trained": str(self.results.trained(job))}
        write_json(file, {**document, **folders})
        with self.results.log(job).open("w", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "elinformer.comparison.job", str(file), END_WITH_INPUT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(self.budget.threads),
                start_new_session=True,  # Ctrl-C reaches the comparison alone, which ends its workers
            )
        return Worker(job, process)

    def _collect(self) -> int:
        """Take the workers that ended out of the pool; returns how many."""
        ended = [worker for worker in self._running if worker.process.poll() is not None]
        for worker in ended:
            self._running.remove(worker)
            worker.end()
            self.budget.ended(worker)
            self.watcher.ended(worker.job, self._outcome(worker), worker.seconds)
        return len(ended)

    def _outcome(self, worker: Worker) -> Document:
        run, code = self.results.read(worker.job), worker.process.returncode
        if run is None:
            log = self.results.log(worker.job).read_text(encoding="utf-8", errors="replace")
            run = self.results.write_failure(worker.job, error_of(code, log), worker.seconds)
        self.results.tidy(worker.job, keep_checkpoints=not is_done(run) and code < 0)
        return run


def error_of(code: int, log: str) -> str:
    """Return the error of a process in one line: the signal that killed it, or the last line of its log."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = ": out of memory, most likely" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    lines = [line.strip() for line in log[-TAIL_OF_LOG:].splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else f"ended with code {code} and no result"


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker: its number of threads, and the import path of this process."""
    found = os.pathsep.join(path for path in sys.path if path)
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {"GOMP_SPINCOUNT": "10000", **os.environ, **limits, "PYTHONPATH": found, "PYTHONUNBUFFERED": "1"}
