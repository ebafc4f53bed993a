"""Measure how often intervals of forecasts, of sums over all series and of maxima over the horizon cover what happened.

    python -m benchmarks.intervals RUN... [--out intervals]

RUN is a folder that `elinformer train` wrote, with its data. Intervals are scored on windows of the test part,
beside those of a conformal seasonal naive forecast: the value one season ago, with the quantiles of its errors on the
validation part by step and by series. Sums and maxima are scored on windows a horizon apart, with joint scenarios and
with independent ones, which have the same intervals for each step and series.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from benchmarks._box_lightgbm import quantile_forecasts
from benchmarks._box_sets import Task
from benchmarks._common import environment, environment_text, write_results
from elinformer.data.windows import Reach, WindowDataset
from elinformer.evaluation import AbsoluteError, backtest
from elinformer.intervals import calibrate, scenarios
from elinformer.models.inputs import forward_fill
from elinformer.workflows import open_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.panel import Panel
    from elinformer.evaluation import MetricSums
    from elinformer.forecaster import Forecaster

N_SCENARIOS, MAX_WINDOWS = 200, 150
LOW, HIGH = 0.1, 0.9
NAIVE_BATCH = 16
MAX_SCORED = 400
"""Windows whose intervals are scored, at equal distances in time."""
HEAD = ("set", "forecast", "50 %", "80 %", "90 %", "95 %", "series within 70 to 90 %", "width of 80 %", "WIS", "MAE")
JOINT_HEAD = ("set", "windows", "sum, joint", "sum, independent", "maximum, joint", "maximum, independent")


class Covered(NamedTuple):
    """Numbers of 80 % intervals that cover what happened, and of all intervals."""

    inside: int = 0
    count: int = 0

    def __add__(self, other: tuple[int, ...]) -> Covered:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Covered(self.inside + other[0], self.count + other[1])

    @property
    def share(self) -> float:
        """Share of the intervals that cover."""
        return self.inside / self.count if self.count else float("nan")


def main() -> None:
    """Score, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("runs", nargs="+", help="folders of runs")
    parser.add_argument("--lightgbm", action="store_true", help="train LightGBM with the pinball loss too")
    parser.add_argument("--out", default="intervals", help="name of the result")
    arguments = parser.parse_args()
    sets: list[dict[str, Any]] = []
    for run in arguments.runs:
        forecaster, panel = open_run(run)
        marginal = marginal_scores(forecaster, panel, with_lightgbm=arguments.lightgbm)
        sets.append({"set": panel.name, "marginal": marginal, **joint_scores(forecaster, panel)})
        print(sets[-1], flush=True)
    about = environment("cpu", torch.get_num_threads())
    write_results(arguments.out, {"environment": about, "sets": sets}, markdown(sets, environment_text(about)))


def marginal_scores(forecaster: Forecaster, panel: Panel, *, with_lightgbm: bool) -> dict[str, Any]:
    """Return the scores of the intervals of a forecaster and of its rivals."""
    split = forecaster.split_panel(panel)
    origins = split.origins("test")
    origins = origins[:: -(-len(origins) // MAX_SCORED)]
    forecasts = {
        "elinformer": forecaster.trained.scores(panel, origins),
        "conformal seasonal naive": _seasonal_naive(forecaster, panel, origins),
    }
    if with_lightgbm:
        forecasts["LightGBM, pinball"] = _lightgbm(Task(panel, split, origins))
    found: dict[str, Any] = {}
    for name, sums in forecasts.items():
        if sums.intervals is None:
            raise AssertionError("both have quantiles")
        report, shares = sums.intervals.report(), sums.intervals.coverage(80)
        report.pop("by_series")
        within = ((shares >= 0.7) & (shares <= 0.9))[shares.isfinite()].double().mean()
        found[name] = {**report, "series_within": float(within), "mae": sums.scores().mae}
    return found


def _lightgbm(task: Task) -> MetricSums:
    quantiles = AbsoluteError.quantiles
    outputs = torch.from_numpy(quantile_forecasts(task, quantiles))
    windows = WindowDataset(task.panel, None, task.origins, task.split.reach)
    batches = iter(outputs.split(NAIVE_BATCH))
    return backtest(lambda _: next(batches), windows, NAIVE_BATCH, quantiles=quantiles)


def _seasonal_naive(forecaster: Forecaster, panel: Panel, origins: np.ndarray) -> MetricSums:
    split, horizon, loss = forecaster.split_panel(panel), forecaster.reach.horizon, AbsoluteError()
    season = _season(panel, horizon)
    std = torch.from_numpy(split.scaler("series").std)

    def quantiles(batch: Batch) -> Tensor:
        return loss.spread(forward_fill(batch.values, batch.mask)[:, :horizon, ..., None], std)

    def windows(origins: np.ndarray) -> WindowDataset:
        return WindowDataset(panel, None, origins[origins >= season], Reach(season, horizon))

    anywhere = torch.zeros(panel.n_series, panel.n_channels, dtype=torch.bool)
    calibration = calibrate(quantiles, windows(split.origins("validation")), NAIVE_BATCH, loss.quantiles, anywhere)
    return backtest(
        lambda batch: calibration.apply(quantiles(batch)), windows(origins), NAIVE_BATCH, quantiles=loss.quantiles
    )


def _season(panel: Panel, horizon: int) -> int:
    """Return a week, or a day where the training part has few weeks, in steps."""
    day = panel.steps_of_day or horizon
    return 7 * day if 7 * day < panel.n_steps // 10 else day


def joint_scores(forecaster: Forecaster, panel: Panel) -> dict[str, Any]:
    """Return the coverage of 80 % intervals of sums over all series, and of maxima over the horizon, by channel."""
    trained, horizon = forecaster.trained, forecaster.reach.horizon
    calibration = trained.calibration
    if calibration is None:
        raise AssertionError("a run is calibrated")
    origins = forecaster.split_panel(panel).origins("test")[::horizon]
    origins = origins[:: -(-len(origins) // MAX_WINDOWS)]
    windows, quantiles = WindowDataset(panel, trained.info.calendar, origins, trained.reach), trained.quantiles()
    joint = calibration.ranks.numpy()
    independent = np.random.default_rng(0).permuted(joint, axis=0)
    covered = {
        name: [Covered()] * panel.n_channels
        for name in ("sum joint", "sum independent", "max joint", "max independent")
    }
    for number in range(len(origins)):
        batch = windows[[number]]
        with torch.inference_mode():
            outputs = quantiles(batch)[0].numpy()
        target, mask = (x[0].numpy() for x in (batch.target, batch.target_mask) if x is not None)
        for kind, ranks in (("joint", joint), ("independent", independent)):
            paths = scenarios(outputs, trained.loss.quantiles, ranks, N_SCENARIOS, seed=number)
            for name, (inside, counted) in _covers(paths, target, mask).items():
                sums = covered[f"{name} {kind}"]
                for c in range(panel.n_channels):
                    sums[c] += (int(inside[..., c][counted[..., c]].sum()), int(counted[..., c].sum()))
    return {
        "windows": len(origins),
        "joint": {name: {panel.channels[c]: one.share for c, one in enumerate(sums)} for name, sums in covered.items()},
    }


def _covers(paths: np.ndarray, target: np.ndarray, mask: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return which intervals of sums (S, C) and of maxima (N, C) cover what happened, and which can be compared.

    Args:
        paths: (n, S, N, C), scenarios.
        target: (S, N, C).
        mask: (S, N, C), True = observed.
    """
    total, happened = np.where(mask, paths, 0).sum(2), np.where(mask, target, 0).sum(1)
    low, high = np.quantile(total, (LOW, HIGH), axis=0)
    sums = ((low <= happened) & (happened <= high), mask.any(1))
    low, high = np.quantile(paths.max(1), (LOW, HIGH), axis=0)
    largest = target.max(0)
    return {"sum": sums, "max": ((low <= largest) & (largest <= high), mask.all(0))}


def markdown(sets: Sequence[dict[str, Any]], about: str) -> str:
    """Return both tables."""
    rows = [_row(HEAD), _row(["---", "---", *["---:"] * (len(HEAD) - 2)])]
    for one in sets:
        for name, scores in one["marginal"].items():
            shares = [f"{100 * scores['coverage'][level]:.1f}" for level in ("50", "80", "90", "95")]
            numbers = [f"{scores['width']['80']:.4g}", f"{scores['wis']:.4g}", f"{scores['mae']:.4g}"]
            rows.append(_row([one["set"], name, *shares, f"{100 * scores['series_within']:.1f} %", *numbers]))
    joint = [_row(JOINT_HEAD), _row(["---", *["---:"] * (len(JOINT_HEAD) - 1)])]
    for one in sets:
        for channel in next(iter(one["joint"].values())):
            name = one["set"] if len(one["joint"]["sum joint"]) == 1 else f"{one['set']}, {channel}"
            joint.append(_row([name, str(one["windows"]), *(f"{100 * x[channel]:.1f}" for x in one["joint"].values())]))
    return "\n".join(
        [
            "# Intervals",
            "",
            "Coverage of the test part in percent, by `python -m benchmarks.intervals`.",
            "",
            *rows,
            "",
            f"Coverage in percent of 80 % intervals of {N_SCENARIOS} scenarios: of sums over all series at each step,",
            "and of maxima of each series over the horizon.",
            "",
            *joint,
            "",
            about,
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
