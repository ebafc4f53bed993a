"""Content of `report.json`: how good a run is, how sure, where it fails, what moves it, and how it was trained."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer import __version__
from elinformer.report.attention import attention
from elinformer.report.failures import errors_by_time, pictures, series_table
from elinformer.report.influence import influence
from elinformer.report.intervals import anomalies, intervals
from elinformer.report.quality import quality
from elinformer.report.window_errors import WindowErrors, times_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elinformer.data.panel import Panel
    from elinformer.data.windows import SplitPanel
    from elinformer.forecaster import Forecaster

Document = dict[str, Any]

FORMAT = "elinformer-report"
SCHEMA = 1
DIGITS = 5
"""Significant digits of the numbers."""


def report_document(
    forecaster: Forecaster, panel: Panel, *, name: str, metrics: Mapping[str, Any] | None = None
) -> Document | None:
    """Return the content of `report.json`, or None if the data have no test part.

    Args:
        forecaster: A trained forecaster.
        panel: Its data.
        name: Name of the run.
        metrics: Content of the `metrics.json` of the run.
    """
    trained, panel = forecaster.trained, forecaster.info.align(panel)
    data = forecaster.split_panel(panel)
    origins = trained.unseen(panel, data.origins("test"))
    if not len(origins):
        return None
    errors = WindowErrors.of(trained, panel, origins, data.split.train[1])
    document: Document = {
        "format": FORMAT,
        "schema": SCHEMA,
        "run": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "data": _data(panel, data),
        "task": {
            "window": trained.reach.window,
            "horizon": trained.reach.horizon,
            "lags": list(trained.reach.lags),
            "windows": len(errors.origins),
            "of_windows": errors.n_windows,
        },
        "quality": quality(errors),
        "intervals": intervals(errors),
        "series": series_table(errors),
        "pictures": pictures(trained, errors),
        "by_time": errors_by_time(errors, trained.scaler.std),
        "anomalies": anomalies(errors),
        "influence": influence(trained, panel, origins),
        "attention": attention(trained, panel, origins),
        "training": _training(forecaster, metrics or {}),
    }
    return rounded(document)


def _data(panel: Panel, data: SplitPanel) -> Document:
    times = {}
    for part, (start, stop) in data.split._asdict().items():
        if stop > start:
            first, last = times_of(panel.timestamps[[start, stop - 1]])
            times[part] = {"first": first, "last": last, "steps": stop - start}
    return {
        "name": panel.name,
        "steps": panel.n_steps,
        "series": panel.n_series,
        "channels": list(panel.channels),
        "freq": panel.freq,
        "observed_share": panel.observed_share,
        "parts": times,
    }


def _training(forecaster: Forecaster, metrics: Mapping[str, Any]) -> Document:
    known = ("train_seconds", "epochs", "best_epoch", "sharpness", "interrupted", "skipped_steps")
    return {
        "model": {"name": forecaster.model_name, **forecaster.trained.config["model"]["options"]},
        "options": dict(forecaster.trained.config["training"]),
        "parameters": forecaster.n_parameters,
        "versions": metrics.get("versions", {"elinformer": forecaster.trained.config["version"]}),
        "history": metrics.get("history", []),
        "weights": forecaster.trained.weights,
        **{name: metrics[name] for name in (*known, "refit_steps", "peak_memory_bytes") if name in metrics},
    }


def rounded(content: Any) -> Any:
    """Return a JSON document with rounded numbers, and None for those that are not finite."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [rounded(value) for value in content]
    if isinstance(content, float | np.floating):
        return float(f"{content:.{DIGITS}g}") if math.isfinite(content) else None
    return content
