"""Runs jobs in processes of their own, several at once; what happens to one of them happens to no other."""

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

from elinformer.comparison.store import is_done
from elinformer.comparison.worker import WATCH
from elinformer.run_folder.folder import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from elinformer.comparison.plan import Document, Job
    from elinformer.comparison.store import Store

SECONDS_BETWEEN_LOOKS = 0.2
TAIL_OF_LOG = 20_000
ASSUMED_START = 15.0
"""Seconds that a job takes beside its training, to guess how long it takes from earlier runs."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Watcher(Protocol):
    """Is told what happens."""

    def started(self, job: Job) -> None:
        """A job began."""
        ...

    def ended(self, job: Job, run: Document, seconds: float) -> None:
        """A job was done, or failed."""
        ...

    def look(self, running: Sequence[Worker], left: float | None) -> None:
        """What runs now, and the seconds that are left, None where they cannot be guessed."""
        ...


class Worker:
    """A job at work in a process.

    Attributes:
        job: What it does.
        process: The process that does it.
        progress: The last line it wrote: `epoch`, `epochs`, `validation_mae`.
    """

    def __init__(self, job: Job, process: subprocess.Popen[str]) -> None:
        self.job, self.process = job, process
        self.progress: dict[str, Any] = {}
        self._began = time.monotonic()
        self._reader = threading.Thread(target=self._read_progress, daemon=True)
        self._reader.start()

    @property
    def seconds(self) -> float:
        """For how long it has been at work."""
        return time.monotonic() - self._began

    def end(self) -> None:
        """End the process and those that it started."""
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
        """Keep the last line of the process, until it ends."""
        stream = self.process.stdout
        if stream is None:
            return
        with stream:
            for line in stream:
                with suppress(json.JSONDecodeError):  # something a user's model printed
                    said = json.loads(line)
                    self.progress = said if isinstance(said, dict) else self.progress


class Budget:
    """Core-minutes, and what jobs are expected to take of them.

    Args:
        minutes: None for no limit.
        threads: Cores that a job takes.
        earlier: Runs of this folder, from which durations are guessed.
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
        """Count a job that was done."""
        self.spent += worker.seconds * self.threads
        self._note(*worker.job.place[:2], worker.seconds)

    def guess(self, job: Job) -> float | None:
        """Seconds that a job may take, from the same model or else from others on the same data."""
        data, model, _ = job.place
        own = self._known.get((data, model))
        others = [s for (other, _), seconds in self._known.items() if other == data for s in seconds]
        seconds = own or others
        return sum(seconds) / len(seconds) if seconds else None

    def allows(self, job: Job, running: Sequence[Worker]) -> bool:
        """Whether a job is expected to end within the budget; without any experience, whether some is left."""
        if self.seconds is None:
            return True
        expected = self.guess(job) if self._known.get(job.place[:2]) else 0.0
        ahead = sum(self._left(worker) for worker in running) + (expected or 0.0)
        return self._used(running) + ahead * self.threads < self.seconds

    def used_up(self, running: Sequence[Worker]) -> bool:
        """Whether running jobs have to be ended."""
        return self.seconds is not None and self._used(running) >= self.seconds

    def time_left(self, queue: Iterable[Job], running: Sequence[Worker], at_once: int) -> float | None:
        """Seconds until all is done, None where they cannot be guessed."""
        guesses = [self.guess(job) for job in queue]
        if not self._known or any(guess is None for guess in guesses):
            return None
        return (sum(guess or 0.0 for guess in guesses) + sum(self._left(worker) for worker in running)) / at_once

    def _left(self, worker: Worker) -> float:
        epoch, epochs = worker.progress.get("epoch"), worker.progress.get("epochs")
        if epoch and epochs:
            return worker.seconds * (epochs - epoch) / epoch
        guess = self.guess(worker.job)
        return 0.0 if guess is None else max(0.0, guess - worker.seconds)

    def _used(self, running: Sequence[Worker]) -> float:
        return self.spent + sum(worker.seconds for worker in running) * self.threads

    def _note(self, data: str, model: str, seconds: float) -> None:
        self._known.setdefault((data, model), []).append(seconds)


class Pool:
    """Workers on the jobs of a store.

    Args:
        store: Where jobs and results are.
        at_once: How many work at the same time.
        device: What they train on.
        budget: How much they may take, and the threads of each.
        watcher: Is told what happens.
    """

    def __init__(self, store: Store, *, at_once: int, device: str, budget: Budget, watcher: Watcher) -> None:
        self.store, self.at_once, self.device, self.budget, self.watcher = store, at_once, device, budget, watcher
        self._running: list[Worker] = []

    def run(self, jobs: Iterable[Job], *, after_each: Callable[[], Any]) -> None:
        """Do the jobs, as many as the budget is enough for; whatever ends this, no worker outlives it.

        Args:
            jobs: In this order, where the budget does not say otherwise.
            after_each: Called when some have ended.
        """
        queue = list(jobs)
        try:
            while True:
                self._fill(queue)
                if not self._running:
                    return
                time.sleep(SECONDS_BETWEEN_LOOKS)
                if self._collect():
                    after_each()
                if self.budget.used_up(self._running):
                    return
                self.watcher.look(self._running, self.budget.time_left(queue, self._running, self.at_once))
        finally:
            for worker in self._running:
                worker.end()
                self.store.tidy(worker.job, keep_checkpoints=True)

    def _fill(self, queue: list[Job]) -> None:
        while len(self._running) < self.at_once:
            job = next((job for job in queue if self.budget.allows(job, self._running)), None)
            if job is None:
                return
            queue.remove(job)
            self._running.append(self._start(job))
            self.watcher.started(job)

    def _start(self, job: Job) -> Worker:
        result, file = self.store.path(job), self.store.job_file(job)
        result.unlink(missing_ok=True)  # of a run that failed
        document = {"job": job.to_document(), "device": self.device, "result": str(result)}
        folders = {"checkpoints": str(self.store.checkpoints(job)), "trained": str(self.store.trained(job))}
        write_json(file, {**document, **folders})
        with self.store.log(job).open("w", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "elinformer.comparison.worker", str(file), WATCH],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(self.budget.threads),
                start_new_session=True,  # Ctrl-C reaches the comparison alone, which ends its workers
            )
        return Worker(job, process)

    def _collect(self) -> int:
        """Take up what ended; returns how many."""
        ended = [worker for worker in self._running if worker.process.poll() is not None]
        for worker in ended:
            self._running.remove(worker)
            worker.end()
            self.budget.ended(worker)
            self.watcher.ended(worker.job, self._outcome(worker), worker.seconds)
        return len(ended)

    def _outcome(self, worker: Worker) -> Document:
        run, code = self.store.read(worker.job), worker.process.returncode
        if run is None:
            log = self.store.log(worker.job).read_text(encoding="utf-8", errors="replace")
            run = self.store.write_failure(worker.job, what_went_wrong(code, log), worker.seconds)
        self.store.tidy(worker.job, keep_checkpoints=not is_done(run) and code < 0)
        return run


def what_went_wrong(code: int, log: str) -> str:
    """One line: by what a process was killed, or the last line that it wrote."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = ": out of memory, most likely" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    lines = [line.strip() for line in log[-TAIL_OF_LOG:].splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else f"ended with code {code} and no result"


def environment(threads: int) -> dict[str, str]:
    """That of this process, with the threads of a worker and all that Python finds here."""
    found = os.pathsep.join(path for path in sys.path if path)
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {"GOMP_SPINCOUNT": "10000", **os.environ, **limits, "PYTHONPATH": found, "PYTHONUNBUFFERED": "1"}
