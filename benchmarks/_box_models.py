"""The models of `benchmarks.box`: each scores the windows of a task, and tells its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from elinformer._memory import peak_memory
from elinformer.data.seasons import seasons_of
from elinformer.evaluation import MetricSums, naives_for, score_naives
from elinformer.options import settings_for
from elinformer.training.config import TrainingConfig
from elinformer.workflows import forecaster_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks._box_sets import BoxSet, Task

NAIVE, ELINFORMER = "naive", "elinformer"
SINGLE = {"autoets": "AutoETS", "autotheta": "AutoTheta"}
"""Models of StatsForecast by the name in the table; each series has a model of its own."""

HISTORY = 1000
"""Steps that a model of a single series is fitted to and updated with, the newest before the test part and origin."""


def run_model(name: str, each: BoxSet, folder: Path) -> dict[str, Any]:
    """Train and score a model on a set, and return errors and times.

    Returns:
        `forecasts`: by name of the forecast, `mae` and `mse` of every series and channel (N, C). `seconds` and
        `cpu_seconds` of training, and `score_seconds` for all forecasts.
    """
    task = each.load(folder)
    if name == NAIVE:
        found = _naives(task)
    elif name == ELINFORMER:
        found = _elinformer(each, task, folder)
    elif name in SINGLE:
        found = _timed(lambda: _single_series(SINGLE[name], task), name, task)
    else:
        import lightgbm  # noqa: F401 - before the clock runs

        from benchmarks import _box_lightgbm

        found = _timed(lambda: _box_lightgbm.forecasts(task), name, task)
    return {
        "set": each.name,
        "model": name,
        "horizon": each.horizon,
        "stride": each.stride,
        "windows": len(task.origins),
        "peak_memory_bytes": peak_memory(),
        **found,
    }


def _naives(task: Task) -> dict[str, Any]:
    clock = _Clock()
    naives = naives_for(task.panel, task.split.split.train[1])
    sums = score_naives(naives, task.panel, task.origins, task.horizon, task.split.moments.mean)
    return {"forecasts": {name: _errors(found) for name, found in sums.items()}, **clock.read()}


def _elinformer(each: BoxSet, task: Task, folder: Path) -> dict[str, Any]:
    """Train as `elinformer train DATA --horizon H` does, but without the refit, which changes no score; and score."""
    import elinformer.training.members  # noqa: F401 - with Lightning, before the clock runs

    settings = settings_for(each.address(folder), None, {"horizon": each.horizon})
    training = TrainingConfig.of({**settings.training, "refit": False})
    forecaster = forecaster_for(settings, settings.model, training)
    clock = _Clock()
    forecaster.fit(task.panel)
    times = clock.read()
    clock = _Clock()
    sums = forecaster.trained.scores(task.panel, task.origins)
    result = forecaster.fit_result
    details = {"reach": str(forecaster.reach), "epochs": result.epochs, "best_epoch": result.best_epoch}
    return {"forecasts": {ELINFORMER: _errors(sums)}, **times, "score_seconds": clock.read()["seconds"], **details}


def _timed(forecast: Callable[[], np.ndarray], name: str, task: Task) -> dict[str, Any]:
    clock = _Clock()
    forecasts = forecast()
    times = clock.read()
    targets = task.origins[:, None] + np.arange(task.horizon)
    sums = MetricSums(task.horizon, *task.panel.values.shape[1:])
    errors = forecasts, task.panel.values[targets], task.panel.mask[targets]
    sums.update(*(torch.from_numpy(np.ascontiguousarray(x)) for x in errors))
    return {"forecasts": {name: _errors(sums)}, **times}


def _single_series(name: str, task: Task) -> np.ndarray:
    """Fit a model to each series before the test part, and forecast from every origin with the parameters kept."""
    from statsforecast import models

    season = next((s.steps for s in seasons_of(task.panel) if 1 < s.steps <= 24), 1)
    values = task.panel.values.reshape(task.panel.n_steps, -1)
    stop = task.split.split.test[0]
    found = np.empty((len(task.origins), task.horizon, values.shape[1]), np.float32)
    for series in range(values.shape[1]):
        history = _without_gaps(values[:, series])
        model = getattr(models, name)(season_length=season)
        model.fit(_last(history[:stop]))
        for place, origin in enumerate(task.origins):
            found[place, :, series] = model.forward(_last(history[:origin]), task.horizon)["mean"]
    return found.reshape(*found.shape[:2], *task.panel.values.shape[1:])


def _without_gaps(values: np.ndarray) -> np.ndarray:
    """Return a series (T,) in float64 with the last observed value in its gaps, and the first one before it."""
    seen = np.isfinite(values)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(values)), -1))
    return values[np.where(last >= 0, last, seen.argmax())].astype(np.float64)


def _last(history: np.ndarray) -> np.ndarray:
    return history[-HISTORY:]


def _errors(sums: MetricSums) -> dict[str, Any]:
    mse = sums.squared.sum(0) / sums.count.sum(0)
    return {"mae": sums.mae_by_series().tolist(), "mse": mse.tolist(), "overall": sums.scores().to_dict()}


class _Clock:
    """Seconds on the wall and of the processor since its making."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return both."""
        now = time.perf_counter(), time.process_time()
        wall, cpu = (round(b - a, 2) for a, b in zip(self._began, now, strict=True))
        return {"seconds": wall, "cpu_seconds": cpu}
