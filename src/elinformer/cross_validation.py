"""Cross-validation with a rolling origin: forecasts from several cutoffs, by models that know only what was before.

A folder keeps the trainings as runs. The same call then continues a cross-validation that was killed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer._files import check_folder, read_json, write_json
from elinformer.backtests import windows_frame
from elinformer.data.io.output import in_form
from elinformer.data.panel import data_description
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from elinformer.data.panel import Panel
    from elinformer.intervals import Wanted
    from elinformer.trained_model import TrainedModel

    Fit = Callable[[Panel, Path | None, TrainedModel | None], TrainedModel]
    """Training of a fold, from data, folder of its run (None = it is not kept) and model to start from."""

PLAN = "cross_validation.json"


@dataclass(frozen=True)
class RollingOrigin:
    """Plan of a cross-validation.

    Attributes:
        n_windows: Number of windows. The last one ends with the data.
        step_size: Steps between the origins of two windows.
        refit: True trains before every window, False before the first one alone, k before every k-th.
        warm_start: True starts each training from the weights of the one before.

    Raises:
        InputError: A number is below 1.
    """

    n_windows: int
    step_size: int
    refit: bool | int = False
    warm_start: bool = False

    def __post_init__(self) -> None:
        for name, value in (("n_windows", self.n_windows), ("step_size", self.step_size)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"expected {name} to be a whole number of at least 1, got {value!r}")
        if not isinstance(self.refit, bool | int | np.integer) or self.refit < 0:
            raise InputError(f"expected refit to be True, False or a number of windows, got {self.refit!r}")

    def origins(self, n_steps: int, horizon: int) -> np.ndarray:
        """Return the first target steps (n_windows,) in data of `n_steps`.

        Raises:
            InputError: The data are too short.
        """
        origins = n_steps - horizon - self.step_size * np.arange(self.n_windows)[::-1]
        if origins[0] < 2 * horizon:
            longest = (n_steps - 3 * horizon) // self.step_size + 1
            raise InputError(
                f"expected enough steps for {self.n_windows} windows that are {self.step_size} steps apart, but "
                f"{n_steps} steps have {max(0, longest)} with data to train on before them: choose fewer windows"
            )
        return origins

    def folds(self, origins: np.ndarray) -> list[np.ndarray]:
        """Return the origins of the windows that each training forecasts."""
        size = len(origins) if self.refit is False or self.refit == 0 else int(self.refit)
        return [origins[i : i + size] for i in range(0, len(origins), size)]


def cross_validate(
    panel: Panel,
    plan: RollingOrigin,
    horizon: int,
    fit: Fit,
    *,
    config: Mapping[str, Any],
    name: str,
    wanted: Wanted,
    folder: str | Path | None = None,
) -> pd.DataFrame:
    """Return the forecasts of all windows beside what happened; see `Forecaster.cross_validation`.

    Args:
        panel: The data.
        plan: Windows and trainings.
        horizon: Number of steps of a window.
        fit: Training of a fold.
        config: Options of the forecaster, which a folder of another cross-validation does not have.
        name: Name of the column of forecasts.
        wanted: Quantiles to forecast, too.
        folder: Folder for the trainings; None = they are not kept.

    Raises:
        InputError: The data are too short, or the folder holds another cross-validation.
    """
    origins = plan.origins(panel.n_steps, horizon)
    if folder is not None:
        _open_folder(Path(folder), {"plan": asdict(plan), "data": data_description(panel), "config": config})
    trained, forecasts = None, []
    for fold in plan.folds(origins):
        known = panel.select(steps=slice(int(fold[0])))
        run = None if folder is None else Path(folder) / f"until-step-{fold[0]}"
        trained = fit(known, run, trained if plan.warm_start else None)
        forecasts.append(trained.columns(trained.info.align(panel), fold, wanted))
    columns = {suffix: np.concatenate([part[suffix] for part in forecasts]) for suffix in forecasts[0]}
    frame = windows_frame(panel, origins, name, columns)
    frame = frame[_can_be_had(panel, origins, horizon)].reset_index(drop=True)
    return in_form(frame, panel.form, panel.freq)


def _open_folder(folder: Path, document: Mapping[str, Any]) -> None:
    """Create the folder, or check that it holds the same cross-validation."""
    document = json.loads(json.dumps(document))  # tuples are lists in a file
    if not (folder / PLAN).is_file():
        check_folder(folder, overwrite=False, mark=PLAN, kind="a cross-validation")
        write_json(folder / PLAN, document)
    elif (found := read_json(folder / PLAN)) != document:
        different = ", ".join(key for key in document if found.get(key) != document[key])
        raise InputError(
            f"expected {folder} to hold this cross-validation, but its {different} differs: choose another folder, or "
            "remove it"
        )


def _can_be_had(panel: Panel, origins: np.ndarray, horizon: int) -> np.ndarray:
    """Return a mask of the rows of a frame of windows, with a series from its first to its last observed value."""
    observed = np.asarray(panel.mask.any(2))  # (T, N)
    begun = np.array([observed[:origin].any(0) for origin in origins])  # (n, N)
    ended = np.array([~observed[origin:].any(0) for origin in origins])
    return np.repeat((begun & ~ended).T.ravel(), horizon)
