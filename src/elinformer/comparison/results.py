"""The folder of a comparison: a file for each run, written whole or not at all.

results.json, .md, .html             everything so far
runs/<data>/<model>/seed-<n>.json    a run: its settings, scores and errors by day; or its error message
runs/<data>/<model>/seed-<n>/        the trained model, a run for `elinformer forecast` and the others
runs/<data>/<model>/seed-<n>.log     output of a run that failed
data/<data>/                         a panel that was passed from Python, for the workers

A job that runs has hidden files beside its result: its description and its checkpoints, from which it resumes.
`results.json` alone is enough to restore the files of all runs.
"""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elinformer._files import held_folder, new_folder, read_json, write_json
from elinformer.comparison.plan import NAME, Contender
from elinformer.data.io.folder import write_panel
from elinformer.data.io.read import read_panel
from elinformer.data.panel import fingerprint
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from elinformer.comparison.plan import Document, Job
    from elinformer.data.panel import Panel

RESULTS, REPORT, PAGE, RUNS, DATA = "results.json", "results.md", "results.html", "runs", "data"
FORMAT = "elinformer-comparison"
SCHEMA = 1
TABLES = ("training", "defaults")
"""Tables in the document of a run, whose entries are compared one by one."""


NOT_KEPT = ("settings", "source")
"""Entries of a run that `results.json` leaves out: terms repeat the settings, and other machines have other paths."""
OF_A_RUN = ("absolute", "scaled")
"""Entries of the errors by blocks of time that differ from run to run."""


class Difference(NamedTuple):
    """A run with other settings than the planned ones: its file, its name, and the differences in words."""

    path: Path
    run: str
    what: str


class ResultsFolder:
    """The folder `out` of a comparison.

    Raises:
        InputError: It holds other files, or is a file.
    """

    def __init__(self, out: str | Path) -> None:
        self.folder = Path(out).expanduser().resolve()
        _check_ours(self.folder)

    def path(self, job: Job) -> Path:
        """Return the file of the result of a job."""
        return self.folder / RUNS / _place(*job.place)

    def log(self, job: Job) -> Path:
        """Return the file of the error messages of a job."""
        return self.path(job).with_suffix(".log")

    def trained(self, job: Job) -> Path:
        """Return the folder of the trained model, which is a run like any other."""
        return self.path(job).with_suffix("")

    def job_file(self, job: Job) -> Path:
        """Return the file that describes a job to its worker."""
        return self.path(job).with_name(f".seed-{job.seed}.job")

    def checkpoints(self, job: Job) -> Path:
        """Return the folder of checkpoints, another one for other settings or another state of the code."""
        return self.path(job).with_name(f".seed-{job.seed}-{job.key}")

    def tidy(self, job: Job, *, keep_checkpoints: bool = False) -> None:
        """Remove the files that a job needs only while it runs."""
        self.job_file(job).unlink(missing_ok=True)
        for folder in [] if keep_checkpoints else self.path(job).parent.glob(f".seed-{job.seed}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        if is_done(self.read(job)):
            self.log(job).unlink(missing_ok=True)

    def read(self, job: Job) -> Document | None:
        """Read the result of a job, None before there is one."""
        path = self.path(job)
        return read_json(path) if path.is_file() else None

    def keep(self, panel: Panel) -> Path:
        """Write a panel into the folder, for the workers; returns its path."""
        folder = self.folder / DATA / _safe(panel.name)
        if not folder.is_dir() or fingerprint(read_panel(folder)) != fingerprint(panel):
            write_panel(panel, folder, overwrite=True)
        return folder

    def restore(self) -> int:
        """Write the runs of a `results.json` that was copied here without them; returns how many.

        Raises:
            InputError: It does not hold all of them.
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
        """Read all runs of the folder, of whatever comparison."""
        return (read_json(path) for path in self._paths())

    def write_failure(self, job: Job, error: str, seconds: float) -> Document:
        """Write that a job failed; the next comparison tries it again."""
        failure = {**job.to_document(), "error": error, "seconds": round(seconds, 2)}
        write_json(self.path(job), failure)
        return failure

    def differing(self, jobs: Iterable[Job]) -> list[Difference]:
        """Return the runs on the data of `jobs` that have other settings, so that they cannot be compared.

        They include runs of other models than those of `jobs`, as the tables show them too.
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
        """Return the jobs without a result; a job that failed has none."""
        jobs = list(jobs)
        done = [job for job in jobs if is_done(self.read(job))]
        for job in done:
            self.tidy(job)  # files that a killed comparison left
        return [job for job in jobs if job not in done]

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other comparisons out of the folder until the block ends, or this process.

        Raises:
            InputError: Another comparison runs there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        refusal = f"expected no other comparison to run in {self.folder}, but one does: wait for it or end it"
        with held_folder(self.folder, refusal=refusal):
            yield

    def _paths(self) -> list[Path]:
        return sorted((self.folder / RUNS).glob("*/*/seed-*.json"), key=_natural)


def is_done(run: Document | None) -> bool:
    """Tell if a run exists and did not fail."""
    return run is not None and "error" not in run


def _differences(before: Document, now: Document, prefix: str = "") -> list[str]:
    """Describe differences of the settings that both have."""
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
        if document.get("format") == FORMAT and document.get("schema") == SCHEMA:
            return
        raise InputError(
            f"expected a comparison of this version in {folder}, got another {RESULTS}: choose another folder"
        )
    if any(path.name != DATA for path in folder.iterdir()):
        raise InputError(f"expected an empty folder or a comparison, but {folder} holds other files: choose another")


def task_of(run: Document) -> Document:
    """Return the entries that all runs on the data of this one share: terms, and blocks of time with their counts."""
    blocks = {name: value for name, value in run["blocks"].items() if name not in OF_A_RUN}
    return {**run["terms"], "blocks": {**blocks, "number": len(blocks["labels"])}}


def kept(run: Document, task: Document) -> Document:
    """Return a run without the entries that `task`, of its data, has too."""
    entry = _without(run, *NOT_KEPT, "fingerprint")
    if run["terms"] == _without(task, "blocks"):
        del entry["terms"]
    return {**entry, "blocks": {name: value for name, value in run["blocks"].items() if name in OF_A_RUN}}


def restored(results: Document) -> Iterator[Document]:
    """Return the runs that `results` was made of.

    Raises:
        InputError: One is incomplete, or its names are no names of files.
    """
    for entry in results["runs"]:
        _check_place(entry, results["data"])
        task = results["data"][entry["data"]]
        run = {"terms": _without(task, "blocks"), **entry}
        blocks = {**_without(task["blocks"], "number"), **entry["blocks"]}
        yield {**run, "fingerprint": run["terms"].get("fingerprint"), "blocks": blocks}


def _check_place(entry: Document, data: Document) -> None:
    """Refuse names that are no names of files: the document may come from anywhere."""
    names, seed = (entry.get("data"), entry.get("model")), entry.get("seed")
    named = all(isinstance(name, str) and NAME.fullmatch(name) for name in names)
    whole = named and names[0] in data and entry.keys() >= {"blocks", "machine", "versions"}
    if not whole or not isinstance(seed, int) or seed < 0:
        raise InputError(
            "expected runs of a data set of this results.json, of a model by its name and of a seed of 0 or more, with "
            f"their errors by day, got {(*names, seed)!r}: another program changed the file"
        )


def _without(document: Document, *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
