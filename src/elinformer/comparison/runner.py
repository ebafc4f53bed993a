"""compare: many models on the same windows, with the same budget, each in a process of its own."""

from __future__ import annotations

import shutil
import signal
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from elinformer._files import new_file
from elinformer.comparison.contenders import DEFAULT_MODELS, make_contenders
from elinformer.comparison.display import Display
from elinformer.comparison.machine import cores
from elinformer.comparison.plan import make_jobs, make_tasks
from elinformer.comparison.pool import Budget, Pool
from elinformer.comparison.report import markdown
from elinformer.comparison.store import REPORT, RESULTS, Store
from elinformer.comparison.summary import summarise
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.options import TRAINING
from elinformer.training.run_folder import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from torch import nn

    from elinformer.comparison.plan import Document, Job

MOST_AT_ONCE = 4
"""Jobs at once unless told, on a machine with more cores: each holds the data and a model in memory."""

QUICK: dict[str, Any] = {"training": {"epochs": 3}}
"""A budget that shows that everything works, and no more."""


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

    What is done in `out` is not done again, so that the same call goes on where it was ended. docs/compare.md says
    what the numbers mean.

    Args:
        data: Names of the catalogue or files, each with settings of its own after an @: `speeds.npz@window=24`; or
            panels, which are written into `out`.
        models: Names, or classes of modules with the library's forward; or a mapping from labels to names, classes or
            options: `{"wide": {"name": "elinformer", "window_width": 96}}`.
        out: The folder of the comparison.
        seeds: How many, from 0 on, or which.
        settings: For all data, as in a TOML file of `elinformer train`: `{"window": 24, "training": {"epochs": 50}}`.
        device: "auto", "cpu", "cuda", "mps".
        quick: Three epochs, to see whether everything works.
        jobs: How many trainings run at once; as many as there are cores, up to four, and one on a GPU by default.
        max_core_minutes: Minutes times cores that may be spent. Jobs that are not expected to end in time are not
            begun; what still runs at the end is ended. Both are named as missing.
        overwrite: Remove what was done in `out` under other settings.
        console: Where progress goes; standard error by default.
        command: What is noted as the command that made it.

    Returns:
        What `out/results.json` holds: `runs`, `summary` by data and model, `failed`, `missing`, `ranks`.

    Raises:
        InputError: Data, models, settings or a folder that cannot be used. A job that fails is no error: it is noted.
    """
    seeds = _checked_seeds(seeds)
    _check_budget(jobs, max_core_minutes, device)
    contenders = make_contenders(models)
    store, console = Store(out), console or Console(stderr=True)
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


def _write_results(store: Store, planned: Sequence[Job], *, command: str | None, quick: bool) -> Document:
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
    return results


def _make_room(store: Store, planned: Sequence[Job], *, overwrite: bool, console: Console) -> None:
    """Refuse to mix what was done under other settings with what is asked for, or remove it."""
    for difference in store.differing(planned):
        if not overwrite:
            raise InputError(
                f"expected the settings that {difference.run} was run with in {store.folder}, got {difference.what}: "
                "choose another --out, or pass --overwrite to remove what differs"
            )
        difference.path.unlink()
        shutil.rmtree(difference.path.with_suffix(""), ignore_errors=True)  # what was trained
        console.print(f"removed {difference.run}: {difference.what}", highlight=False, markup=False, soft_wrap=True)


def _checked_seeds(seeds: int | Sequence[int]) -> list[int]:
    found = list(seeds) if not isinstance(seeds, int) else list(range(seeds))
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
    """Let SIGTERM end a comparison as Ctrl-C does, with its results written, also in the background of a shell.

    There SIGINT is ignored, so that to send it on would end nothing.
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
