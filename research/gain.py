"""Compare the errors of a model with those of the same model without attention across the series.

    python -m research.gain TABLE... --out gain

TABLE is a folder that `elinformer compare` wrote, with trained models of both. Errors are of the test part, by step
ahead and by series, over the seeds that both models have. Two more numbers say how much attention could gain at most:

- the share of the baseline's errors that many series have in common, beside the share by chance, which is that of the
  same errors with every series shifted in time by itself;
- for counts, the error of the mean at the same time of the week, and the error that this mean would have if the counts
  had a Poisson distribution about it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from benchmarks._common import environment, environment_text, write_results

from elinformer.data.windows import WindowDataset
from elinformer.evaluation import backtest, targets_of
from elinformer.workflows import open_run
from research import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.panel import Panel

COMPONENTS, SHIFTS = 3, 5
GROUPS = 4
STEPS = (1, 3, 6, 12)
MINUTES_OF_A_WEEK = 7 * 24 * 60


class Forecasts(NamedTuple):
    """Forecasts of a trained model for the test part.

    Attributes:
        scaled: (S, N, C) sums of its errors in the scale of its loss.
        forecast: (W, S, N, C).
        target: (W, S, N, C), NaN where not observed.
    """

    scaled: Tensor
    forecast: Tensor
    target: Tensor


def main() -> None:
    """Measure, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    folders = [folder for table in options.tables for folder in sorted(Path(table, "runs").iterdir())]
    pairs = {folder.name: _pairs(folder, options.model, options.baseline) for folder in folders}
    rows = [measured(data, found) for data, found in pairs.items() if found]
    if not rows:
        raise SystemExit(
            f"expected trained models of {options.model} and {options.baseline} on the same seed in a TABLE"
        )
    about = environment("cpu", options.threads)
    title = f"# {options.model} beside {options.baseline}"
    text = "\n\n".join([title, environment_text(about), gain_table(rows), left_table(rows)])
    print(text)
    if options.out:
        found = {"about": about, "model": options.model, "baseline": options.baseline, "rows": rows}
        write_results(options.out, found, text, RESULTS)


def _pairs(folder: Path, model: str, baseline: str) -> list[tuple[Path, Path]]:
    """Trained and scored runs of both models on the same seed."""
    ours, theirs = (folder / re.sub(r"[^\w.+-]", "-", label) for label in (model, baseline))  # as comparisons name them
    runs = ((ours / path.stem, theirs / path.stem) for path in sorted(ours.glob("*.json")))
    return [pair for pair in runs if all(run.is_dir() and run.with_suffix(".json").is_file() for run in pair)]


def measured(data: str, pairs: Sequence[tuple[Path, Path]]) -> dict[str, Any]:
    """Errors of both on one data set, and the share of the baseline's errors that is common."""
    ours, theirs, common = [], [], []
    for model, baseline in pairs:
        ours.append(forecasts(model).scaled)
        found = forecasts(baseline)
        theirs.append(found.scaled)
        common.append([common_share(found, step) for step in (0, -1)])
    a, b = (torch.stack(sums).sum(0) for sums in (ours, theirs))  # (S, N, C)
    forecaster, panel = open_run(pairs[0][1])
    split = forecaster.split_panel(panel).split
    return {
        "data": data,
        "seeds": len(pairs),
        "by_step": gains(a.sum((1, 2)), b.sum((1, 2))),
        "by_channel": dict(zip(panel.channels, gains(a.sum((0, 1)), b.sum((0, 1))), strict=True)),
        "by_level": gains_by_level(a.sum(0), b.sum(0), panel),
        "series_helped": share_helped(a.sum((0, 2)), b.sum((0, 2))),
        "common": [_mean_of([seed[place] for seed in common]) for place in range(2)],
        "profile": poisson_profile(panel, split.train[1], split.test[0]),
    }


def forecasts(run: Path) -> Forecasts:
    """All forecasts of the test part by a run."""
    forecaster, panel = open_run(run)
    split, trained = forecaster.split_panel(panel), forecaster.trained
    windows = WindowDataset(trained.info.align(panel), trained.info.calendar, split.origins("test"), trained.reach)
    said: list[Tensor] = []
    targets: list[Tensor] = []

    def forecast(batch: Batch) -> Tensor:
        said.append(trained.forecast(batch))
        target, mask = targets_of(batch)
        targets.append(torch.where(mask, target, torch.nan))
        return said[-1]

    sums = backtest(forecast, windows, trained.batch_size)
    scale = split.error_scale(forecaster.training.loss_scale)
    return Forecasts(sums.absolute / torch.from_numpy(scale), torch.cat(said), torch.cat(targets))


def gains(ours: Tensor, theirs: Tensor) -> list[float]:
    """Return the gain of ours: one less our error over theirs."""
    return (1 - ours / theirs).tolist()


def gains_by_level(ours: Tensor, theirs: Tensor, panel: Panel) -> list[float]:
    """Gains in groups of series of equal size, from the lowest mean to the highest; empty for several channels."""
    known = np.flatnonzero(panel.mask.any((0, 2)))
    if panel.n_channels > 1 or len(known) < GROUPS:
        return []
    level = np.where(panel.mask, panel.values, 0).sum((0, 2))[known] / panel.mask.sum((0, 2))[known]
    groups = np.array_split(known[level.argsort()], GROUPS)
    return [gains(ours[group].sum()[None], theirs[group].sum()[None])[0] for group in groups]


def share_helped(ours: Tensor, theirs: Tensor) -> float:
    """Share of the observed series (N,) on which our error is lower."""
    return float((ours < theirs)[theirs > 0].double().mean())


def common_share(found: Forecasts, step: int) -> dict[str, float]:
    """The share of the variance of the errors at a step that a few components have, mean over the channels.

    Each series is in its own unit. A shock that reaches one series later than another counts little here.
    """
    errors = (found.forecast - found.target)[:, step].double().numpy()  # (W, N, C)
    return _mean_of([_share_of_channel(channel) for channel in np.moveaxis(errors, 2, 0)])


def _share_of_channel(errors: np.ndarray) -> dict[str, float]:
    known = ~np.isnan(errors)
    mean = np.where(known, errors, 0).sum(0) / np.maximum(known.sum(0), 1)
    errors = np.where(known, errors - mean, 0)
    errors = errors[:, errors.std(0) > 0]
    errors /= errors.std(0)
    rng = np.random.default_rng(0)
    shifted = [_leading(_shifted(errors, rng)) for _ in range(SHIFTS)]
    return {"share": _leading(errors), "chance": fmean(shifted)}


def _leading(errors: np.ndarray) -> float:
    variances = np.linalg.svd(errors, compute_uv=False) ** 2
    return float(variances[:COMPONENTS].sum() / variances.sum())


def _shifted(errors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift every series by a time of its own, around the end: this removes common errors and keeps rhythms."""
    offsets = rng.integers(len(errors), size=errors.shape[1])
    return np.stack([np.roll(column, offset) for column, offset in zip(errors.T, offsets, strict=True)], 1)


def _mean_of(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: fmean(share[name] for share in shares) for name in shares[0]}


def poisson_profile(panel: Panel, train: int, test: int) -> dict[str, float] | None:
    """Test error of the mean of the training steps at the same time of the week.

    Beside it stands the error that this mean would have if the targets had a Poisson distribution about it. Whole
    numbers of 0 or more are taken for counts; for all other data the result is None.

    Args:
        panel: The data.
        train: End of the training part.
        test: Begin of the test part.
    """
    values, mask = panel.values[test:], panel.mask[test:]
    seen = values[mask].astype(np.float64)
    if not panel.has_time or (seen < 0).any() or (seen != seen.round()).any():
        return None
    mean = weekly_profile(panel, train)[test:][mask]
    left = poisson_deviation(torch.from_numpy(mean))
    return {"mae": float(np.abs(seen - mean).mean()), "poisson": float(left.mean())}


def weekly_profile(panel: Panel, train: int) -> np.ndarray:
    """Mean (T, N, C) of the training steps at the same time of the week; of all steps, if there is none."""
    minutes = panel.timestamps.astype("datetime64[m]").astype(np.int64) % MINUTES_OF_A_WEEK
    slot = np.unique(minutes, return_inverse=True)[1]
    values, mask = np.where(panel.mask, panel.values, 0)[:train].astype(np.float64), panel.mask[:train]
    sums, counts = (np.zeros((slot.max() + 1, *values.shape[1:])) for _ in range(2))
    np.add.at(sums, slot[:train], values)
    np.add.at(counts, slot[:train], mask)
    overall = values.sum(0) / np.maximum(mask.sum(0), 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), overall)[slot]


def poisson_deviation(mean: Tensor) -> Tensor:
    """E|X - M| of a Poisson X of that mean about its median M: the lowest mean absolute error of any forecast.

    E|X - M| = mean - M + 2 (M F(M) - mean F(M - 1)) with the distribution function F; of whole numbers M the median has
    the least, and lies in [mean - ln 2, mean + 1/3] (Choi 1994).
    """
    around = torch.stack([(mean - 0.7).ceil().clamp_min(0), mean.floor(), mean.ceil()])
    until = torch.special.gammaincc(around + 1, mean)  # F(M)
    below = torch.where(around > 0, torch.special.gammaincc(around.clamp_min(1), mean), 0)  # F(M - 1)
    return (mean - around + 2 * (around * until - mean * below)).amin(0)


def gain_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: by how many percent the model's error is lower than the baseline's."""
    steps = [step for step in STEPS if all(step <= len(row["by_step"]) for row in rows)]
    headings = ["data", "seeds", *(f"step {step}" for step in steps), "series helped", "by level or channel"]
    lines = [f"| {' | '.join(headings)} |", f"|---|{'---:|' * (len(headings) - 2)}---|"]
    for row in rows:
        by_step = [_percent(row["by_step"][step - 1]) for step in steps]
        named = [f"{name} {_percent(gain)}" for name, gain in row["by_channel"].items()]
        groups = [_percent(gain) for gain in row["by_level"]] or named
        helped = f"{100 * row['series_helped']:.0f} %"
        lines.append(f"| {row['data']} | {row['seeds']} | {' | '.join(by_step)} | {helped} | {', '.join(groups)} |")
    return "\n".join(lines)


def left_table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown: share of the baseline's errors that is common to many series, and the error left for Poisson counts."""
    lines = [
        "| data | common at step 1 (chance) | at the last step (chance) | weekly profile errs by | if Poisson's |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        shares = [f"{100 * c['share']:.0f} % ({100 * c['chance']:.0f} %)" for c in row["common"]]
        left = [f"{row['profile'][name]:.4g}" if row["profile"] else "" for name in ("mae", "poisson")]
        lines.append(f"| {row['data']} | {' | '.join([*shares, *left])} |")
    return "\n".join(lines)


def _percent(gain: float) -> str:
    return f"{100 * gain:+.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", metavar="TABLE")
    parser.add_argument("--model", default="elinformer")
    parser.add_argument("--baseline", default="elinformer@attention=none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="write research/results/OUT.json and .md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
