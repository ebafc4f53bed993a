"""Score a run beside naive forecasts: the windows that are scored, and the content of metrics.json."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elinformer import __version__
from elinformer.workflows.opening import open_run

if TYPE_CHECKING:
    from pathlib import Path

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster
    from elinformer.training import FitResult

Document = dict[str, Any]


def evaluate_run(run: str | Path, *, data: str | None = None) -> Document:
    """Score the forecasts of a run, and the naive forecasts.

    The windows are those of the test steps. Of other data than those of training, they are all windows; if the other
    data begin before the data of training end, they are the windows after this end.

    Args:
        run: Folder of the run.
        data: Path, or name of a data set of the catalogue; the data of training by default.

    Returns:
        The scores, by name of the forecast, and in `scored` the number of windows with their meaning in words.

    Raises:
        InputError: The data cannot be used, or have no window.
    """
    forecaster, panel = open_run(run, data)
    windows = windows_to_score(forecaster, panel, is_other=data is not None)
    panel = forecaster.info.align(panel)
    return {
        "data": panel.name,
        "scored": f"{len(windows.origins)} {windows.words}",
        **_judged(forecaster, panel, windows.origins, windows.known_steps),
    }


class Windows(NamedTuple):
    """Windows to score: in words, their first target steps (n,), and the steps that a season has to fit into."""

    words: str
    origins: np.ndarray
    known_steps: int


def windows_to_score(forecaster: Forecaster, panel: Panel, *, is_other: bool) -> Windows:
    """Return the windows that `evaluate_run` scores; `is_other` tells that the data need not be those of training."""
    from elinformer.data.panel import fingerprint, time_from
    from elinformer.data.reach import part_origins

    known = forecaster.trained.data or {}
    if not is_other or fingerprint(panel) == known.get("fingerprint"):
        data = forecaster.split_panel(panel)
        origins = forecaster.trained.unseen(panel, data.origins("test"))
        return Windows("windows of the test part", origins, data.split.train[1])
    origins = part_origins(panel.n_steps, forecaster.split, None, forecaster.reach)
    if panel.has_time and known.get("last") is not None:
        is_later = panel.timestamps[origins] > time_from(known["last"], panel)
        if is_later.any() and not is_later.all():
            end = str(np.datetime64(known["last"], "s")).replace("T", " ")
            words = f"windows after {end}, the end of the data of training"
            return Windows(words, origins[is_later], int(origins[is_later][0]))
    return Windows("windows, which are all", origins, panel.n_steps)


def metrics_of(forecaster: Forecaster, panel: Panel, result: FitResult) -> Document:
    """Return the content of `metrics.json` of a training."""
    import torch

    data = forecaster.split_panel(panel)
    test = data.origins("test")
    return {
        "data": panel.name,
        "scored": f"{len(test)} windows of the test part",
        **_judged(forecaster, panel, test, data.split.train[1]),
        "validation": _scores(forecaster, panel, data.origins("validation")),
        "train_seconds": round(result.seconds, 2),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "sharpness": result.sharpness,
        "interrupted": result.interrupted,
        "skipped_steps": result.skipped_steps,
        "refit_steps": result.refit_steps,
        "weights": forecaster.trained.weights,
        "history": list(result.history),
        "peak_memory_bytes": _peak_memory(),
        "parameters": forecaster.n_parameters,
        "seed": forecaster.training.seed,
        "versions": {"elinformer": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _scores(forecaster: Forecaster, panel: Panel, origins: np.ndarray) -> Document | None:
    """Return the report of the windows with the first target steps `origins`, or None if there is none."""
    return forecaster.trained.scores(panel, origins).report(panel.channels) if len(origins) else None


def _judged(forecaster: Forecaster, panel: Panel, origins: np.ndarray, known_steps: int) -> Document:
    """Return the reports of forecaster and naive forecasts on some windows, and the verdict on the forecaster."""
    from elinformer.evaluation import judge

    if not len(origins):
        return {"test": None, "naive": {}, "verdict": None}
    trained = forecaster.trained
    sums = trained.scores(panel, origins)
    verdict = judge(
        sums, panel, origins, known_steps=known_steps, scaler=trained.scaler, reads=forecaster.reach.history
    )
    return {
        "test": sums.report(panel.channels),
        "naive": {name: found.report(panel.channels) for name, found in verdict.naives.items()},
        "verdict": verdict.to_dict(),
    }


def _peak_memory() -> int | None:
    """Return the peak memory of the GPU if one was used, else that of this process."""
    from elinformer._memory import peak_device_memory, peak_memory

    on_device = peak_device_memory()
    return peak_memory() if on_device is None else on_device
