"""The demo: train on the embedded data for a minute, and compare the errors with those of naive forecasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer._files import new_file
from elinformer.data.address import load_panel
from elinformer.evaluation import naives_for, score_naives
from elinformer.options import Settings, catalogue_settings
from elinformer.plots import Forecasts
from elinformer.report.groups import groups_of
from elinformer.report.pictures import draw_forecasts
from elinformer.report.run import write_report
from elinformer.report.tables import score_ratio_table
from elinformer.run_folder.folder import write_json
from elinformer.workflows import open_run, train_run

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from torch import Tensor

    from elinformer.data.panel import Panel
    from elinformer.evaluation import MetricSums
    from elinformer.forecaster import Forecaster
    from elinformer.report.groups import Group

SETTINGS: dict[str, Any] = {
    "split": (0.7, 0.1, 0.2),
    "model": {"window_width": 48, "series_width": 16, "calendar_width": 16, "n_layers": 2},
    "training": {"epochs": 5, "batch_size": 32, "learning_rate": 3e-3},
}
"""A small model and few epochs, so that two cores train it within two minutes. The head recalls the window, which
lowers the error of series of many kinds: docs/tried.md."""

PICTURED = ("departures/EWR", "delay/EWR-UA", "temperature/JFK", "humidity/LGA", "wind_speed/JFK", "pressure/EWR")
PICTURED_FORECASTS = 10


def run_demo(out: Path, *, data: str, seed: int, console: Console, progress: Console) -> dict[str, Any]:
    """Train, score beside the naive forecasts, forecast and draw into the folder `out`.

    Returns:
        The document of `out/scaled_errors.json`: for every group of series and every forecast the MAE divided by that
        of the same time yesterday (of the last value where there is no day), overall and by horizon step.
    """
    settings = Settings().updated(catalogue_settings(data)).updated(SETTINGS).updated({"training": {"seed": seed}})
    panel = load_panel(data, **settings.reading)
    settings = settings.updated({"lags": _last_week(panel, settings.horizon)})
    reads = f"{settings.window} steps{' and the same hours of last week' if settings.lags else ''}"
    console.print(f"{panel!r}\n{reads} in, {settings.horizon} steps out; training on {_machine()}")
    metrics = train_run(data, out, settings, overwrite=True, console=progress)
    forecaster, panel = open_run(out)
    document = scaled_errors(forecaster, panel)
    write_json(out / "scaled_errors.json", document)
    _write_forecasts(forecaster, panel, out)
    page = write_report(out)
    console.print(score_ratio_table(document))
    console.print(
        f"trained for {metrics['train_seconds']:.0f} s, {metrics['parameters']:,} parameters\n"
        f"run        {out}\n"
        f"scores     {out / 'metrics.json'}, {out / 'scaled_errors.json'}\n"
        f"forecast   {out / 'forecast.csv'}\n"
        f"picture    {out / 'forecasts.png'}\n"
        f"report     {page}"
    )
    return document


def _last_week(panel: Panel, horizon: int) -> tuple[int, ...]:
    """Return one week as a lag, where the data have weeks: a day of history does not show the weekday of departures."""
    week = 7 * (panel.steps_of_day or 0)
    return (week,) if horizon <= week < panel.n_steps // 10 else ()


def scaled_errors(forecaster: Forecaster, panel: Panel) -> dict[str, Any]:
    """Return test errors of model and naive forecasts, divided by those of seasonal naive, by group and step.

    `coverage` is the share of the test targets of each group inside the 80 % interval.
    """
    split = forecaster.split_panel(panel)
    origins = split.origins("test")
    naives = naives_for(panel, split.split.train[1])
    scores = score_naives(naives, panel, origins, split.reach.horizon, split.moments.mean)
    model = forecaster.backtest(panel)
    sums = {"elinformer": model, **scores}
    unit = next((n.name for n in naives if n.period == panel.steps_of_day), naives[0].name)
    groups = {group.name: {name: _scaled(sums[name], sums[unit], group) for name in sums} for group in groups_of(panel)}
    coverage = {group.name: _coverage(model, group) for group in groups_of(panel)}
    return {"divided_by": unit, "groups": groups, "coverage": coverage}


def _scaled(sums: MetricSums, unit: MetricSums, group: Group) -> dict[str, Any]:
    """Return the mean over a group of the MAE of each series over that of `unit`, overall and at every step."""

    def ratio(part: slice) -> float | None:
        mae, other = (_mae(s, part)[list(group.series)] for s in (sums, unit))
        ratios = mae / other
        ratios = ratios[ratios.isfinite()]  # a series without observed targets, or one that never changes
        return float(ratios.mean()) if len(ratios) else None

    steps = range(len(sums.count))
    return {"overall": ratio(slice(None)), "by_horizon": {str(s + 1): ratio(slice(s, s + 1)) for s in steps}}


def _coverage(sums: MetricSums, group: Group) -> float | None:
    if sums.intervals is None:
        return None
    inside, count = (x[list(group.series)] for x in (sums.intervals.coverage(80), sums.intervals.series_count))
    seen = count > 0
    return float((inside * count)[seen].sum() / count[seen].sum()) if seen.any() else None


def _mae(sums: MetricSums, steps: slice) -> Tensor:
    return sums.absolute[steps].sum((0, 2)) / sums.count[steps].sum((0, 2))


def _write_forecasts(forecaster: Forecaster, panel: Panel, out: Path) -> None:
    with new_file(out / "forecast.csv") as path:
        forecaster.predict(panel, level=[80]).to_csv(path, index=False)
    named = [panel.series.index(name) for name in PICTURED if name in panel.series]
    series = named or list(range(0, panel.n_series, -(-panel.n_series // len(PICTURED))))
    complete = np.flatnonzero(panel.mask[:, series].all(axis=(1, 2)))
    end = complete[-1] + 1 if len(complete) else panel.n_steps
    origins = np.arange(end - PICTURED_FORECASTS * forecaster.reach.horizon, end, forecaster.reach.horizon)
    origins = origins[origins >= forecaster.reach.history]
    quantiles = forecaster.trained.loss.quantiles
    outputs = forecaster.trained.quantile_forecasts(forecaster.info.align(panel), origins)
    point, low, high = (outputs[..., quantiles.index(q)] for q in (0.5, 0.1, 0.9))
    draw_forecasts(out / "forecasts.png", panel, Forecasts(origins, point, {80: (low, high)}), series)


def _machine() -> str:
    import torch

    return "the GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
