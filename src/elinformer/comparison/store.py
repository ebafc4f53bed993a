"""The folder of a comparison: a file for every run, written whole or not at all.

results.json, results.md             everything so far
runs/<data>/<model>/seed-<n>.json    a run: its settings, scores and errors by day; or why it failed
runs/<data>/<model>/seed-<n>/        the trained model, a run for `elinformer forecast` and the others
runs/<data>/<model>/seed-<n>.log     what a run that failed printed
data/<data>/                         a panel that was passed from Python, for the workers

While a run is at work, hidden files beside its own say what it does and how far it is, so that it goes on from there.
"""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elinformer._files import held_folder, new_folder
from elinformer.comparison.plan import Contender
from elinformer.comparison.record import restored
from elinformer.data.io.folder import write_panel
from elinformer.data.io.read import read_panel
from elinformer.data.panel import fingerprint
from elinformer.errors import InputError
from elinformer.run_folder.folder import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from elinformer.comparison.plan import Document, Job
    from elinformer.data.panel import Panel

RESULTS, REPORT, RUNS, DATA = "results.json", "results.md", "runs", "data"
FORMAT = "elinformer-comparison"
SCHEMA = 1
TABLES = ("training", "defaults")
"""What a run says in tables, of which each entry is compared by itself."""


class Difference(NamedTuple):
    """A run that was done under other settings than those asked for: its file, its name, and what differs."""

    path: Path
    run: str
    what: str


class Store:
    """Reads and writes the folder `out`.

    Raises:
        InputError: It holds something else, or cannot be written to.
    """

    def __init__(self, out: str | Path) -> None:
        self.folder = Path(out).expanduser().resolve()
        _check_ours(self.folder)

    def path(self, job: Job) -> Path:
        """The file of a job's run."""
        return self.folder / RUNS / _place(*job.place)

    def log(self, job: Job) -> Path:
        """Where a worker's errors go."""
        return self.path(job).with_suffix(".log")

    def trained(self, job: Job) -> Path:
        """The folder of the trained model, a run like any other."""
        return self.path(job).with_suffix("")

    def job_file(self, job: Job) -> Path:
        """Where a worker reads what to do."""
        return self.path(job).with_name(f".seed-{job.seed}.job")

    def checkpoints(self, job: Job) -> Path:
        """Where training writes itself down; elsewhere under other settings or in another state of the code."""
        return self.path(job).with_name(f".seed-{job.seed}-{job.key}")

    def tidy(self, job: Job, *, keep_checkpoints: bool = False) -> None:
        """Remove what a run that ended has no more use for."""
        self.job_file(job).unlink(missing_ok=True)
        for folder in [] if keep_checkpoints else self.path(job).parent.glob(f".seed-{job.seed}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        if is_done(self.read(job)):
            self.log(job).unlink(missing_ok=True)

    def read(self, job: Job) -> Document | None:
        """A job's run, None where there is none yet."""
        path = self.path(job)
        return read_json(path) if path.is_file() else None

    def keep(self, panel: Panel) -> Path:
        """Write a panel where workers find it; the folder."""
        folder = self.folder / DATA / _safe(panel.name)
        if not folder.is_dir() or fingerprint(read_panel(folder)) != fingerprint(panel):
            write_panel(panel, folder, overwrite=True)
        return folder

    def restore(self) -> int:
        """Where `results.json` stands alone, as it was copied here, write the runs it was made of; returns how many.

        Raises:
            InputError: It is of a version that did not keep all of them.
        """
        results = self.folder / RESULTS
        if not results.is_file() or self._paths():
            return 0
        runs = list(restored(read_json(results)))
        with new_folder(self.folder / RUNS) as new:
            for run in runs:
                write_json(new / _place(run["data"], run["model"], run["seed"]), run)
        return len(runs)

    def runs(self) -> Iterator[Document]:
        """All runs, whatever comparison they were for."""
        return (read_json(path) for path in self._paths())

    def write_failure(self, job: Job, error: str, seconds: float) -> Document:
        """Note that a job failed; the next comparison tries it again."""
        failure = {**job.to_document(), "error": error, "seconds": round(seconds, 2)}
        write_json(self.path(job), failure)
        return failure

    def differing(self, jobs: Iterable[Job]) -> list[Difference]:
        """Runs on the data of `jobs` that cannot stand beside theirs, because they were done under other settings.

        Those of models that `jobs` do not have are among them: they stand in the same tables.
        """
        jobs = list(jobs)
        terms = {job.task.label: job.task.terms for job in jobs}
        chosen = {job.place[:2]: [job.contender.name, dict(job.contender.options)] for job in jobs}
        found: list[Difference] = []
        for path in self._paths():
            run = read_json(path)
            if run["data"] not in terms:
                continue
            model = [run["name"], run["options"]]
            before = {**run["terms"], "model": model, "defaults": run["defaults"]}
            asked: Document = {
                **terms[run["data"]],
                "model": chosen.get((run["data"], run["model"]), model),
                "defaults": Contender(run["model"], run["name"], run["options"]).defaults,
            }
            if what := _differences(before, asked):
                found.append(Difference(path, f"{run['data']} {run['model']} seed {run['seed']}", "; ".join(what)))
        return found

    def todo(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs that are not done; those that failed are not."""
        jobs = list(jobs)
        done = [job for job in jobs if is_done(self.read(job))]
        for job in done:
            self.tidy(job)  # what a comparison left that was killed
        return [job for job in jobs if job not in done]

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other comparisons out of the folder until the block ends, or this process.

        Raises:
            InputError: One is at work there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        refusal = f"expected no other comparison at work in {self.folder}, but there is one: wait for it or end it"
        with held_folder(self.folder, refusal=refusal):
            yield

    def _paths(self) -> list[Path]:
        return sorted((self.folder / RUNS).glob("*/*/seed-*.json"), key=_natural)


def is_done(run: Document | None) -> bool:
    """Whether a run is there and did not fail."""
    return run is not None and "error" not in run


def _differences(before: Document, now: Document, prefix: str = "") -> list[str]:
    """What differs among the settings that both have: a later version may have more of them."""
    found: list[str] = []
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        if isinstance(old, dict) and isinstance(new, dict) and name in TABLES:
            found += _differences(old, new, f"{name}.")
        elif old != new:
            found.append(f"{prefix}{name} {_short(new)} in place of {_short(old)}")
    return sorted(found)


def _short(value: Any) -> str:
    return f"{value!r}"[:60]


def _place(data: str, model: str, seed: int) -> str:
    return f"{_safe(data)}/{_safe(model)}/seed-{seed}.json"


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]", "-", name)


def _natural(path: Path) -> tuple[str, str, int]:
    return path.parent.parent.name, path.parent.name, int(path.stem.removeprefix("seed-"))


def _check_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"expected a folder to write to, got the file {folder}: choose another name")
    if not folder.is_dir():
        return
    results = folder / RESULTS
    if results.is_file():
        document = read_json(results)
        if document.get("format") == FORMAT and document.get("schema", SCHEMA + 1) <= SCHEMA:
            return
        raise InputError(f"expected a comparison of this or an older version in {folder}, got another {RESULTS}")
    if any(path.name != DATA for path in folder.iterdir()):
        raise InputError(f"expected an empty folder or a comparison, but {folder} holds other files: choose another")
