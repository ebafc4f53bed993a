"""The demo: train on the embedded data for a minute or two, and compare the errors with those of naive forecasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elinformer._files import write_json
from elinformer.evaluation import naives_for, score_naives
from elinformer.options import Settings, catalogue_settings
from elinformer.report.groups import groups_of
from elinformer.report.outputs import picture_line, write_forecasts
from elinformer.report.run import write_report
from elinformer.report.tables import score_ratio_table
from elinformer.workflows import train_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console
    from torch import Tensor

    from elinformer.data.panel import Panel
    from elinformer.evaluation import MetricSums
    from elinformer.forecaster import Forecaster
    from elinformer.report.groups import Group

SHOWN = ("last value", "same time yesterday", "same time last week")
"""Naive forecasts of the table."""

PICTURED = ("departures/EWR", "delay/EWR-UA", "temperature/JFK", "humidity/LGA", "wind_speed/JFK", "pressure/EWR")


def run_demo(
    out: Path,
    *,
    data: str,
    seed: int,
    console: Console,
    progress: Console,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train, score beside the naive forecasts, forecast and draw into the folder `out`.

    Args:
        out: Folder of the run.
        data: Name of a data set of the catalogue.
        seed: Seed of the training.
        console: Console of what is found.
        progress: Console of the progress.
        settings: Settings in place of the defaults of `elinformer train`.

    Returns:
        The document of `out/scaled_errors.json`: for every group of series and every forecast the MAE divided by that
        of the same time yesterday (of the last value where there is no day), overall and by horizon step.
    """
    chosen = Settings().updated(catalogue_settings(data)).updated(settings or {}).updated({"training": {"seed": seed}})
    console.print(f"training on {_machine()}")
    trained: list[tuple[Forecaster, Panel]] = []

    def then(forecaster: Forecaster, panel: Panel) -> None:
        trained.append((forecaster, panel))

    metrics = train_run(data, out, chosen, overwrite=True, console=progress, then=then)
    forecaster, panel = trained[0]
    document = scaled_errors(forecaster, panel)
    write_json(out / "scaled_errors.json", document)
    pictured = [panel.series.index(name) for name in PICTURED if name in panel.series]
    forecast, picture = write_forecasts(forecaster, panel, out, pictured)
    page = write_report(out, opened=(forecaster, panel))
    console.print(score_ratio_table(document))
    console.print(
        f"trained for {metrics['train_seconds']:.0f} s, {metrics['parameters']:,} parameters\n"
        f"run        {out}\n"
        f"scores     {out / 'metrics.json'}, {out / 'scaled_errors.json'}\n"
        f"forecast   {forecast}\n"
        f"picture    {picture_line(picture)}\n"
        f"report     {page}"
    )
    return document


def scaled_errors(forecaster: Forecaster, panel: Panel) -> dict[str, Any]:
    """Return test errors of model and naive forecasts, divided by those of seasonal naive, by group and step.

    `coverage` is the share of the test targets of each group inside the 80 % interval.
    """
    split = forecaster.split_panel(panel)
    origins = split.origins("test")
    naives = [naive for naive in naives_for(panel, split.split.train[1]) if naive.name in SHOWN]
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


def _machine() -> str:
    import torch

    return "the GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
