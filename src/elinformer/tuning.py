"""Search for better options by Optuna. The validation steps decide; the test steps are never seen.

A folder keeps the trials, so that the same call goes on with them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer._files import check_folder, read_json, write_json
from elinformer.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import optuna
    import pandas as pd

    Report = Callable[[int, float], bool]
    """Function that takes number and loss of a validation, and returns True if the trial is to stop."""
    Train = Callable[[Mapping[str, Any], Report], float]
    """Training of a trial, from options by name to the lowest validation loss."""
    Space = Mapping[str, Sequence[Any]]

PLAN, TRIALS = "tuning.json", "trials.log"

DEFAULT_SPACE: Space = {"learning_rate": (5e-4, 1e-2, "log"), "dropout": (0.0, 0.3), "n_layers": [1, 2, 3]}
"""Options that are searched by default, of ELinFormer."""

FIXED = (
    "horizon",
    "split",
    "loss",
    "loss_scale",
    "seed",
    "device",
    "refit",
    "time_limit",
    "logger",
    "log_dir",
    "checkpoint_minutes",
)
"""Options that change what is measured, or nothing that is measured."""


@dataclass(frozen=True)
class Tuning:
    """Result of a search.

    Attributes:
        options: Options of the best trial.
        loss: Its lowest validation loss.
        default_loss: That of the options before the search; None if this trial was not finished.
        trials: A row for each trial: number, state, loss, number of validations, and its options.
    """

    options: dict[str, Any]
    loss: float
    default_loss: float | None
    trials: pd.DataFrame


def tune(
    train: Train,
    space: Space,
    defaults: Mapping[str, Any],
    *,
    n_trials: int,
    time_limit: float | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    description: Mapping[str, Any] | None = None,
) -> Tuning:
    """Search for the options with the lowest validation loss; see `Forecaster.tune`.

    The first trial has the options before the search. From the fourth trial on, a trial is stopped at a validation at
    which its best loss so far is above the median of the others.

    Args:
        train: Training of a trial.
        space: Values of each option: a list of values, or (lowest, highest), or (lowest, highest, "log").
        defaults: Values before the search, of the same options.
        n_trials: Number of trials in all, with those in the folder.
        time_limit: Seconds after which no trial starts and a running one is stopped; None = no limit.
        seed: Seed of the search.
        folder: Folder for the trials; None = they are not kept.
        description: Data and options, which a folder of another search does not have.

    Raises:
        InputError: The space cannot be searched, the folder holds another search, or no trial ended in time.
        MissingExtraError: Optuna is not installed.
    """
    optuna = _optuna()
    check_space(space)
    if n_trials < 1 or (time_limit is not None and time_limit <= 0):
        raise InputError(f"expected at least one trial and a time above 0, got {n_trials} and {time_limit}")
    study = _open_study(optuna, folder, {"space": space, "search": description or {}}, seed)
    end = None if time_limit is None else time.monotonic() + time_limit

    def objective(trial: optuna.Trial) -> float:
        options = {name: _suggest(trial, name, values) for name, values in space.items()}
        stopped: list[bool] = []

        def report(number: int, loss: float) -> bool:
            trial.report(loss, number)
            is_late = end is not None and time.monotonic() > end
            stopped.append(is_late or trial.should_prune())
            return stopped[-1]

        loss = train(options, report)
        if any(stopped):
            raise optuna.TrialPruned
        return loss

    if not study.trials and all(_is_inside(defaults[name], values) for name, values in space.items()):
        study.enqueue_trial({name: _encoded(defaults[name], values) for name, values in space.items()})
    remaining = n_trials - sum(trial.state.is_finished() for trial in study.trials)
    if remaining > 0:
        study.optimize(objective, n_trials=remaining, timeout=time_limit)
    return _result(study, space, defaults)


def check_space(space: Space) -> None:
    """Refuse a space that cannot be searched.

    Raises:
        InputError: There is no option, an option changes what is measured, or its values cannot be used.
    """
    if not space or not isinstance(space, Mapping):
        raise InputError("expected a space of options, such as {'learning_rate': (1e-4, 1e-2, 'log')}, got {space!r}")
    for name, values in space.items():
        if name in FIXED:
            raise InputError(f"expected options that leave the score as it is, got {name}: leave it out of the space")
        if not isinstance(values, list | tuple) or not values or (isinstance(values, tuple) and not _is_range(values)):
            raise InputError(
                f"expected a list of values, or (lowest, highest) or (lowest, highest, 'log') of {name}, got {values!r}"
            )


def _is_range(values: tuple[Any, ...]) -> bool:
    numbers = [v for v in values[:2] if isinstance(v, int | float) and not isinstance(v, bool)]
    is_log = values[2:] == ("log",)
    return (
        len(numbers) == 2 and (not values[2:] or is_log) and numbers[0] < numbers[1] and (not is_log or numbers[0] > 0)
    )


def _suggest(trial: optuna.Trial, name: str, values: Sequence[Any]) -> Any:
    if isinstance(values, list):
        return _decoded(trial.suggest_categorical(name, list(range(len(values)))), values)
    low, high, *log = values
    suggest = trial.suggest_int if isinstance(low, int) and isinstance(high, int) else trial.suggest_float
    return suggest(name, low, high, log=bool(log))


def _decoded(value: Any, values: Sequence[Any]) -> Any:
    """Return the value of an option from that of Optuna, which numbers the values of a list."""
    return values[value] if isinstance(values, list) else value


def _encoded(value: Any, values: Sequence[Any]) -> Any:
    return list(values).index(value) if isinstance(values, list) else value


def _is_inside(value: Any, values: Sequence[Any]) -> bool:
    if isinstance(values, list):
        return value in values
    return isinstance(value, int | float) and values[0] <= value <= values[1]


def _open_study(module: Any, folder: str | Path | None, document: Mapping[str, Any], seed: int) -> optuna.Study:
    """Return a new study, or that of the folder."""
    storage = None
    if folder is not None:
        path = Path(folder)
        document = json.loads(json.dumps(document))  # tuples are lists in a file
        if not (path / PLAN).is_file():
            check_folder(path, overwrite=False, mark=PLAN, kind="a search")
            write_json(path / PLAN, document)
        elif read_json(path / PLAN) != document:
            raise InputError(
                f"expected {path} to hold this search, but its space, data or options differ: choose another"
            )
        backend = module.storages.journal.JournalFileBackend(str(path / TRIALS))
        storage = module.storages.JournalStorage(backend)
    pruner = module.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1)
    study = module.create_study(storage=storage, study_name="search", load_if_exists=True, pruner=pruner)
    study.sampler = module.samplers.TPESampler(seed=seed + len(study.trials), n_startup_trials=5)
    return study


def _result(study: optuna.Study, space: Space, defaults: Mapping[str, Any]) -> Tuning:
    import pandas as pd

    rows = []
    for trial in study.trials:
        options = {name: _decoded(trial.params[name], space[name]) for name in trial.params}
        validations = len(trial.intermediate_values)
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "loss": trial.value,
                "validations": validations,
                **options,
            }
        )
    finished = [row for row in rows if row["state"] == "complete"]
    if not finished:
        raise InputError("expected a trial to end in the time limit, but none did: allow more time, or fewer epochs")
    best = min(finished, key=lambda row: row["loss"])
    before = [row["loss"] for row in finished if all(row[name] == defaults[name] for name in space)]
    options = {name: best[name] for name in space}
    return Tuning(options, best["loss"], min(before, default=None), pd.DataFrame(rows))


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingExtraError('a search for options needs an extra: pip install "elinformer[tune]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
