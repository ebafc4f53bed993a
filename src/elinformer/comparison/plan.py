"""Plan of a comparison: data sets with their settings, models and seeds, and the jobs that they make."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer.comparison.machine import code_fingerprint
from elinformer.data.address import load_panel, whole_address
from elinformer.data.defaults import choose_reach
from elinformer.data.panel import fingerprint
from elinformer.data.reach import Reach, chronological_split
from elinformer.data.windows import SplitPanel
from elinformer.errors import InputError
from elinformer.models.registry import MODELS, whole_options
from elinformer.options import TRAINING, Settings, catalogue_settings, split_address
from elinformer.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from elinformer.data.panel import Panel

Document = dict[str, Any]

NAIVES = ("last_value", "seasonal_naive")
"""Names of forecasts without training."""

NAME = re.compile(r"[A-Za-z0-9_][\w.:+@=,-]*")


@dataclass(frozen=True)
class Task:
    """A data set, and the settings of all trainings on it.

    Attributes:
        label: Name in tables and folders.
        source: A name of the catalogue, or an absolute path.
        settings: Settings, the same for every model.
        fingerprint: Fingerprint of the panel.
    """

    label: str
    source: str
    settings: Settings
    fingerprint: str

    @property
    def terms(self) -> Document:
        """Settings that two runs must share to be compared, ready for JSON."""
        settings = asdict(self.settings)
        training = asdict(self.training(seed=0))
        shared = {name: value for name, value in training.items() if TRAINING[name].compared}
        settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
        del settings["model"]
        return {**settings, "training": shared, "fingerprint": self.fingerprint}

    @property
    def reach(self) -> Reach:
        """Steps that a window reads and forecasts; the lags are left out if each model has its own."""
        lags = () if isinstance(self.settings.lags, str) else self.settings.lags
        return Reach(int(self.settings.window), self.settings.horizon, lags)

    def training(self, seed: int, device: str = "auto") -> TrainingConfig:
        """Return the configuration of a training with that seed on that device; scores need no refit."""
        return TrainingConfig.of(self.settings.training, seed=seed, device=device, refit=False)


@dataclass(frozen=True)
class Contender:
    """A model that is compared.

    Attributes:
        label: Name in tables and folders.
        name: A name of the registry, `last_value`, `seasonal_naive`, `nf:NAME`, or `module:Class`.
        options: Options that differ from the defaults of the model.
    """

    label: str
    name: str
    options: Mapping[str, Any]

    @property
    def is_trained(self) -> bool:
        """Tell if it has anything to train."""
        return self.name not in NAIVES

    @property
    def defaults(self) -> Document:
        """Defaults of the other options, for a registered model."""
        options = whole_options(self.name, {}) if self.name in MODELS else {}
        return {name: value for name, value in options.items() if name not in self.options}


@dataclass(frozen=True)
class Job:
    """One training and its scoring."""

    task: Task
    contender: Contender
    seed: int

    @property
    def place(self) -> tuple[str, str, int]:
        """Data, model and seed, which are unique."""
        return self.task.label, self.contender.label, self.seed

    def __str__(self) -> str:
        return f"{self.task.label} {self.contender.label} seed {self.seed}"

    def to_document(self) -> Document:
        """Return the job as a document for JSON."""
        return {
            "data": self.task.label,
            "source": self.task.source,
            "terms": self.task.terms,
            "settings": asdict(self.task.settings),
            "fingerprint": self.task.fingerprint,
            "model": self.contender.label,
            "name": self.contender.name,
            "options": dict(self.contender.options),
            "defaults": self.contender.defaults,
            "seed": self.seed,
        }

    @property
    def key(self) -> str:
        """Hash of everything that the weights depend on; part of the name of the folder of checkpoints."""
        same = ("terms", "name", "options", "seed")
        document = self.to_document()
        text = json.dumps([code_fingerprint(), *(document[name] for name in same)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Job:
        """Read the job from a document."""
        settings = Settings().updated(document["settings"])
        task = Task(document["data"], document["source"], settings, document["fingerprint"])
        return cls(task, Contender(document["model"], document["name"], document["options"]), document["seed"])


def make_tasks(data: Sequence[str | Path], changes: Iterable[Mapping[str, Any]] = ()) -> list[Task]:
    """Return the data sets of a comparison, checked.

    Args:
        data: Names of the catalogue or paths, with or without options of their own after an @.
        changes: Settings for all of them, the weakest first; options after an @ win.

    Raises:
        InputError: No data, data that do not exist, two of one name, or settings that cannot be used.
    """
    if not data:
        raise InputError("expected at least one data set, got none: pass a name of the catalogue or a file")
    changes = list(changes)
    tasks = [_task(str(text), changes) for text in data]
    labels = [task.label for task in tasks]
    if repeated := next((label for i, label in enumerate(labels) if label in labels[:i]), None):
        raise InputError(f"expected data sets of different names, got {repeated!r} twice: add @name=... to one of them")
    return tasks


def _task(text: str, changes: Iterable[Mapping[str, Any]]) -> Task:
    source, own = split_address(text)
    label = own.pop("name", None) or _label(source)
    if not NAME.fullmatch(label):
        raise InputError(f"expected a data set's name of letters, digits, _ . : + and -, got {label!r}: add @name=...")
    settings = Settings().updated(catalogue_settings(source))
    for said in (*changes, own):
        settings = settings.updated(said)
    if settings.model:
        raise InputError("expected options of a model in a table [models.NAME], got [model]: see docs/compare.md")
    panel = load_panel(source, **settings.reading)
    train_end = chronological_split(panel.n_steps, settings.split).train[1]
    settings = replace(
        settings, window=choose_reach(panel, settings.horizon, settings.window, (), train_end).reach.window
    )
    address = whole_address(source)
    task = Task(label, address, settings, fingerprint(panel))
    _check_parts(panel, task)
    return task


def _label(source: str) -> str:
    path = Path(whole_address(source))
    return path.name if path.is_dir() else path.stem


def _check_parts(panel: Panel, task: Task) -> None:
    task.training(seed=0)
    data = SplitPanel.of(panel, task.settings.split, task.reach)
    start, stop = data.split.test
    if not len(data.origins("test")) or not panel.mask[start:stop].any():
        raise InputError(
            f"expected a test part of {task.label} with observed values and at least {task.settings.horizon} steps, "
            f"got {stop - start} steps: choose another split"
        )


def make_jobs(tasks: Sequence[Task], contenders: Sequence[Contender], seeds: Sequence[int]) -> list[Job]:
    """Return all jobs, seed by seed, so that a comparison that is cut short has at least one seed of everything.

    Forecasts without training have the first seed alone.
    """
    return [
        Job(task, contender, seed)
        for seed in seeds
        for task in tasks
        for contender in contenders
        if seed == seeds[0] or contender.is_trained
    ]
