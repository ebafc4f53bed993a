"""Comparison of models on the same windows, with the same budget, each training in a process of its own."""

from __future__ import annotations

import shutil
import signal
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from elinformer._console import plain_console
from elinformer._files import new_file, read_json, write_json
from elinformer.comparison.contenders import DEFAULT_MODELS, make_contenders
from elinformer.comparison.display import Display, markdown
from elinformer.comparison.machine import cores
from elinformer.comparison.page import write_page
from elinformer.comparison.plan import make_jobs, make_tasks
from elinformer.comparison.pool import Budget, Pool
from elinformer.comparison.results import PAGE, REPORT, RESULTS, ResultsFolder
from elinformer.comparison.summary import summarise
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.options import TRAINING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from rich.console import Console
    from torch import nn

    from elinformer.comparison.plan import Document, Job

MOST_AT_ONCE = 4
"""Default of jobs at once on a machine with more cores: each holds the data and a model in memory."""

QUICK: dict[str, Any] = {"training": {"epochs": 3}}
"""Settings that only show that everything works."""


def compare(
    data: Sequence[str | Path | Panel] | str | Path | Panel,
    models: str | Sequence[str | type[nn.Module]] | Mapping[str, Any] = DEFAULT_MODELS,
    *,
    out: str | Path,
    seeds: int | Sequence[int] = 3,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    quick: bool = False,
    jobs: int | None = None,
    max_core_minutes: float | None = None,
    overwrite: bool = False,
    console: Console | None = None,
    command: str | None = None,
) -> Document:
    """Train and score models on the same windows, with the same scaling, loss, schedule and budget.

    Runs that are in `out` are kept, so that the same call resumes where it was ended. docs/compare.md explains the
    numbers.

    Args:
        data: Names of the catalogue or files, with options of their own after an @: `speeds.npz@window=24`; or panels,
            which are written into `out`.
        models: Names, or classes of modules with the library's forward; or a mapping from labels to names, classes or
            options: `{"wide": {"name": "elinformer", "window_width": 96}}`.
        out: The folder of the comparison.
        seeds: Number of seeds, from 0, or the seeds.
        settings: For all data, as in a TOML file of `elinformer train`: `{"window": 24, "training": {"epochs": 50}}`.
        device: "auto", "cpu", "cuda", "mps".
        quick: Train for three epochs, to see that everything works.
        jobs: Trainings at once; by default as many as there are cores, up to four, and one on a GPU.
        max_core_minutes: Limit of minutes times cores. Jobs that should not end in time are not started; jobs that
            run at the limit are ended. Both are listed as missing.
        overwrite: Remove runs in `out` that have other settings.
        console: Console of the progress; standard error by default.
        command: Command line that the results mention.

    Returns:
        The document of `out/results.json`: `runs`, `summary` by data and model, `failed`, `missing`, `ranks`.

    Raises:
        InputError: Data, models, settings or a folder that cannot be used. A job that fails is listed instead.
    """
    seeds = _checked_seeds(seeds)
    _check_budget(jobs, max_core_minutes, device)
    contenders = make_contenders(models)
    store, console = ResultsFolder(out), console or plain_console(stderr=True)
    given = [data] if isinstance(data, str | Path | Panel) else list(data)
    addresses = [store.keep(item) if isinstance(item, Panel) else item for item in given]
    tasks = make_tasks(addresses, [QUICK if quick else {}, settings or {}])
    planned = make_jobs(tasks, contenders, seeds)
    at_once = jobs or _default_jobs(device)

    def write() -> Document:
        return _write_results(store, planned, command=command, quick=quick)

    with store.locked():
        store.restore()
        _make_room(store, planned, overwrite=overwrite, console=console)
        todo = store.todo(planned)
        write()
        budget = Budget(max_core_minutes, max(1, cores() // at_once), store.runs())
        with Display(console, len(todo)) as display, _termination_is_an_interrupt():
            try:
                Pool(store, at_once=at_once, device=device, budget=budget, watcher=display).run(todo, after_each=write)
            finally:
                results = write()
    return results


def _write_results(store: ResultsFolder, planned: Sequence[Job], *, command: str | None, quick: bool) -> Document:
    path = store.folder / RESULTS
    before: Document = read_json(path) if path.is_file() else {"commands": [], "quick": False}
    missing = [job.place for job in planned if store.read(job) is None]
    commands = [*before["commands"], *([command] if command else [])]
    results = {
        **summarise(store.runs()),
        "missing": [{"data": data, "model": model, "seed": seed} for data, model, seed in missing],
        "commands": list(dict.fromkeys(commands)),
        "quick": quick or before["quick"],
        "date": datetime.now(UTC).date().isoformat(),
    }
    write_json(path, results)
    with new_file(store.folder / REPORT) as file:
        file.write_text(markdown(results), encoding="utf-8")
    if results["summary"]:
        write_page(results, store.folder / PAGE)
    return results


def _make_room(store: ResultsFolder, planned: Sequence[Job], *, overwrite: bool, console: Console) -> None:
    """Refuse to mix runs of other settings with the planned ones, or remove them."""
    for difference in store.differing(planned):
        if not overwrite:
            raise InputError(
                f"expected the settings that {difference.run} was run with in {store.folder}, got {difference.what}: "
                "choose another --out, or pass --overwrite to remove what differs"
            )
        difference.path.unlink()
        shutil.rmtree(difference.path.with_suffix(""), ignore_errors=True)  # the trained model
        console.print(f"removed {difference.run}: {difference.what}", highlight=False, markup=False, soft_wrap=True)


def _checked_seeds(seeds: int | Sequence[int]) -> list[int]:
    found = list(range(int(seeds))) if isinstance(seeds, int | Integral) else [int(seed) for seed in seeds]
    if not found or len(set(found)) != len(found) or min(found) < 0:
        raise InputError(f"expected one or more different seeds of 0 or more, got {seeds}")
    return found


def _check_budget(jobs: int | None, max_core_minutes: float | None, device: str) -> None:
    if jobs is not None and jobs < 1:
        raise InputError(f"expected at least 1 job at once, got {jobs}")
    if max_core_minutes is not None and not max_core_minutes > 0:
        raise InputError(f"expected max_core_minutes above 0, got {max_core_minutes}")
    TRAINING["device"].checked(device)


def _default_jobs(device: str) -> int:
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else min(cores(), MOST_AT_ONCE)


@contextmanager
def _termination_is_an_interrupt() -> Generator[None]:
    """Let SIGTERM end a comparison as Ctrl-C does, with its results written.

    In the background of a shell SIGINT is ignored, so that SIGTERM cannot be passed on as SIGINT.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
