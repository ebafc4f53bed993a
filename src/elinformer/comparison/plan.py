"""What a comparison consists of: data sets with their settings, models, seeds, and the jobs they make."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer.comparison.machine import code_fingerprint
from elinformer.data.catalog import CATALOG
from elinformer.data.panel import fingerprint
from elinformer.data.windows import Reach, split_panel, window_origins
from elinformer.errors import InputError
from elinformer.models.registry import MODELS, whole_options
from elinformer.settings import Settings, catalogue_settings
from elinformer.training import TrainingConfig
from elinformer.workflows import load_panel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from elinformer.data.panel import Panel

Document = dict[str, Any]

NOT_COMPARED = (
    "seed",
    "device",
    "logger",
    "log_dir",
    "tokens_at_once",
    "checkpoint_minutes",
)
"""Options of training that say where and how it runs, not what comes out; the seed is the job's own."""

NAIVES = ("last_value", "seasonal_naive")
"""Forecasts that are not trained."""

NAME = re.compile(r"[A-Za-z0-9_][\w.:+@=,-]*")


@dataclass(frozen=True)
class Task:
    """A data set, and how every model is trained and scored on it.

    Attributes:
        label: What tables and folders call it.
        source: A name of the catalogue, or an absolute path.
        settings: Window, horizon, split, reading and training, the same for every model.
        fingerprint: Of the panel.
    """

    label: str
    source: str
    settings: Settings
    fingerprint: str

    @property
    def terms(self) -> Document:
        """What has to be the same for two runs to be compared, ready for JSON."""
        settings = asdict(self.settings)
        training = asdict(self.training(seed=0))
        shared = {name: value for name, value in training.items() if name not in NOT_COMPARED}
        for name in ("lags", "split"):
            settings[name] = list(settings[name])
        del settings["model"]
        return {**settings, "training": shared, "fingerprint": self.fingerprint}

    @property
    def reach(self) -> Reach:
        """What a window reads and forecasts."""
        return Reach(self.settings.window, self.settings.horizon, self.settings.lags)

    def training(self, seed: int, device: str = "auto") -> TrainingConfig:
        """How a model is trained with that seed on that device."""
        return TrainingConfig.of(self.settings.training, seed=seed, device=device)


@dataclass(frozen=True)
class Contender:
    """A model that is compared.

    Attributes:
        label: What tables and folders call it.
        name: Of the registry, `last_value`, `seasonal_naive`, `nf:NAME`, or `module:Class`.
        options: Other than the model's defaults.
    """

    label: str
    name: str
    options: Mapping[str, Any]

    @property
    def is_trained(self) -> bool:
        """Whether there is anything to train."""
        return self.name not in NAIVES

    @property
    def defaults(self) -> Document:
        """The options of a model of the library that are not among `options`; nothing for others."""
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
        """Data, model and seed: no two jobs have the same."""
        return self.task.label, self.contender.label, self.seed

    def __str__(self) -> str:
        return f"{self.task.label} {self.contender.label} seed {self.seed}"

    def to_document(self) -> Document:
        """For JSON."""
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
        """The same for jobs that do the same; part of the name of the folder that checkpoints go to."""
        same = ("terms", "name", "options", "seed")
        document = self.to_document()
        text = json.dumps([code_fingerprint(), *(document[name] for name in same)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Job:
        """From JSON."""
        settings = Settings().updated(document["settings"])
        task = Task(document["data"], document["source"], settings, document["fingerprint"])
        return cls(task, Contender(document["model"], document["name"], document["options"]), document["seed"])


def make_tasks(data: Sequence[str | Path], changes: Iterable[Mapping[str, Any]] = ()) -> list[Task]:
    """The data sets of a comparison.

    Args:
        data: Names of the catalogue or paths, each with settings of its own after an @ or without.
        changes: Settings for all of them, the weakest first; those after an @ win.

    Raises:
        InputError: No data, data that are not there, two of one name, or settings that are none.
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
    address = source if source.lower() in CATALOG else str(Path(source).expanduser().resolve())
    panel = load_panel(address, settings)
    task = Task(label, address, settings, fingerprint(panel))
    _check_parts(panel, task)
    return task


def _label(source: str) -> str:
    if source.lower() in CATALOG:
        return source.lower()
    path = Path(source).expanduser().resolve()
    return path.name if path.is_dir() else path.stem


def _check_parts(panel: Panel, task: Task) -> None:
    task.training(seed=0)
    parts = split_panel(panel, task.settings.split, task.reach)
    if not len(window_origins(parts.test, task.reach)) or not panel.mask[slice(*parts.test)].any():
        raise InputError(
            f"expected a test part of {task.label} with observed values and at least {task.settings.horizon} steps, "
            f"got {parts.test[1] - parts.test[0]} steps: choose another split"
        )


def split_address(text: str) -> tuple[str, dict[str, Any]]:
    """A path or name, and the settings after its @: `speeds.npz@window=24,split=0.7/0.1/0.2`.

    Raises:
        InputError: Something after the @ that is no setting.
    """
    source, at, rest = text.rpartition("@")
    if not at or "=" not in rest:
        return text, {}
    own: dict[str, Any] = {"training": {}}
    for pair in rest.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        kind = PARSERS.get(name)
        if kind is None or not equals:
            raise InputError(
                f"expected settings such as window=24,split=0.7/0.1/0.2 after the @, got {pair!r}: there are "
                f"{', '.join(PARSERS)}"
            )
        place = own["training"] if name in IN_TRAINING else own
        try:
            place[name] = kind(value)
        except ValueError as error:
            raise InputError(f"expected a value that {name} can have, got {pair!r}") from error
    return source, own


def _numbers(kind: type) -> Any:
    return lambda text: [kind(part) for part in text.split("/")]


IN_TRAINING = ("epochs", "batch_size", "learning_rate", "loss_scale", "precision")

PARSERS: dict[str, Any] = {
    "name": str,
    "window": int,
    "horizon": int,
    "lags": _numbers(int),
    "split": _numbers(float),
    "null_value": float,
    "start": str,
    "freq": str,
    "steps_per_day": int,
    "scale_per": str,
    "epochs": int,
    "batch_size": int,
    "learning_rate": float,
    "loss_scale": str,
    "precision": str,
}
"""How a setting after an @ is read."""


def make_jobs(tasks: Sequence[Task], contenders: Sequence[Contender], seeds: Sequence[int]) -> list[Job]:
    """All jobs, seed by seed, so that a comparison that is cut short has at least one seed of everything.

    What needs no training has the first seed alone.
    """
    return [
        Job(task, contender, seed)
        for seed in seeds
        for task in tasks
        for contender in contenders
        if seed == seeds[0] or contender.is_trained
    ]
