"""Where attention across the series earns: errors of a model beside those of its twin without attention.

    python -m benchmarks.gain TABLE... --out gain

TABLE is a folder that `elinformer compare` wrote, with trained models of both. Errors are of the test part, by step
ahead and by series, over the seeds that both have. Beside them stands what there is to earn: how much of the twin's
errors is common to many series, against the same errors shifted in time series by series (chance), and, of counts, what
a forecast would err by that knows the mean of each, were they Poisson's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from benchmarks._common import described, surroundings, write_results
from elinformer.data.windows import WindowDataset, window_loader, window_origins
from elinformer.evaluation import MetricSums
from elinformer.runs import open_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

COMPONENTS, SHIFTS = 3, 5
GROUPS = 4


class Forecasts(NamedTuple):
    """What a trained model says of the test part.

    Attributes:
        sums: Its errors.
        forecast: (W, S, N, C).
        target: (W, S, N, C), NaN where not observed.
        channels: Names of the C channels.
    """

    sums: MetricSums
    forecast: Tensor
    target: Tensor
    channels: Sequence[str]


def main() -> None:
    """Measure, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    folders = [folder for table in options.tables for folder in sorted(Path(table, "runs").iterdir())]
    rows = [measured(folder, options.model, options.twin) for folder in folders]
    about = surroundings("cpu", options.threads)
    title = f"# {options.model} beside {options.twin}"
    text = "\n\n".join([title, described(about), gain_table(rows), left_table(rows)])
    print(text)
    if options.out:
        write_results(options.out, {"about": about, "model": options.model, "twin": options.twin, "rows": rows}, text)


def measured(folder: Path, model: str, twin: str) -> dict[str, Any]:
    """Errors of both on one data set, and what is common in those of the twin."""
    pairs = [
        (forecasts(path), forecasts(folder / twin / path.name))
        for path in sorted((folder / model).iterdir())
        if path.is_dir() and (folder / twin / path.name).is_dir()
    ]
    ours, theirs = (torch.stack([pair[i].sums.absolute for pair in pairs]).sum(0) for i in range(2))  # (S, N, C)
    counts = torch.stack([pair[0].sums.count for pair in pairs]).sum(0)
    first = pairs[0][1]
    return {
        "data": folder.name,
        "seeds": len(pairs),
        "by_step": _gains(ours.sum((1, 2)), theirs.sum((1, 2))),
        "by_channel": dict(zip(first.channels, _gains(ours.sum((0, 1)), theirs.sum((0, 1))), strict=True)),
        "by_level": gains_by_level(ours.sum(0), theirs.sum(0), counts.sum(0), first.target),
        "series_helped": float((ours.sum((0, 2)) < theirs.sum((0, 2))).double().mean()),
        "common": {str(step + 1): common_share(first, step) for step in (0, len(ours) - 1)},
        "poisson": poisson_floor(first),
        "mae": [float(errors.sum() / counts.sum()) for errors in (ours, theirs)],
    }


def forecasts(run: Path) -> Forecasts:
    """All forecasts of the test part by a run."""
    forecaster, panel = open_run(run)
    reach, origins = forecaster.reach, window_origins(forecaster.parts(panel).test, forecaster.reach)
    windows = WindowDataset(forecaster.info.align(panel), forecaster.info.calendar, origins, reach)
    sums = MetricSums(windows.horizon, *windows.values.shape[1:])
    said: list[Tensor] = []
    targets: list[Tensor] = []
    with torch.inference_mode():
        for batch in window_loader(windows, forecaster.batch_size):
            said.append(forecaster.module(batch))
            targets.append(torch.where(batch.target_mask, batch.target, torch.nan))
            sums.update(said[-1], batch.target, batch.target_mask)
    return Forecasts(sums, torch.cat(said), torch.cat(targets), panel.channels)


def _gains(ours: Tensor, theirs: Tensor) -> list[float]:
    """By how much less ours err, as a share of theirs."""
    return (1 - ours / theirs).tolist()


def gains_by_level(ours: Tensor, theirs: Tensor, counts: Tensor, target: Tensor) -> list[float]:
    """Of the series (N, C) in groups of equal size, from the lowest mean to the highest; of one channel alone."""
    if target.shape[-1] > 1:
        return []
    level = target.nanmean((0, 1))[:, 0].nan_to_num()
    known = counts[:, 0] > 0
    groups = level.argsort()[known[level.argsort()]].tensor_split(GROUPS)
    return [_gains(ours[group].sum()[None], theirs[group].sum()[None])[0] for group in groups]


def common_share(found: Forecasts, step: int) -> dict[str, float]:
    """The share of the variance of the errors at a step, each series in its own unit, that a few components have."""
    errors = (found.forecast - found.target)[:, step].flatten(1).double().numpy()  # (W, N C)
    known = ~np.isnan(errors)
    mean = np.where(known, errors, 0).sum(0) / np.maximum(known.sum(0), 1)
    errors = np.where(known, errors - mean, 0)
    errors = errors[:, errors.std(0) > 0]
    errors /= errors.std(0)
    rng = np.random.default_rng(0)
    shifted = [_leading(_shifted(errors, rng)) for _ in range(SHIFTS)]
    return {"share": _leading(errors), "chance": float(np.mean(shifted))}


def _leading(errors: np.ndarray) -> float:
    variances = np.linalg.svd(errors, compute_uv=False) ** 2
    return float(variances[:COMPONENTS].sum() / variances.sum())


def _shifted(errors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every series moved by a time of its own, around the end: what is common is gone, rhythms stay."""
    offsets = rng.integers(len(errors), size=errors.shape[1])
    return np.stack([np.roll(column, offset) for column, offset in zip(errors.T, offsets, strict=True)], 1)


def poisson_floor(found: Forecasts) -> float | None:
    """Mean absolute deviation of Poisson counts with the forecasts as means; None where targets are no counts."""
    seen = ~found.target.isnan()
    target, mean = found.target[seen].double(), found.forecast[seen].double().clamp_min(1e-9)
    if (target < 0).any() or (target != target.round()).any():
        return None
    whole = mean.floor()  # E|X - mean| = 2 exp(-mean) mean^(whole + 1) / whole!  (de Moivre)
    return float((2 * (-mean + (whole + 1) * mean.log() - torch.lgamma(whole + 1)).exp()).mean())


def gain_table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown: by how many percent less the model errs than its twin."""
    lines = [
        "| data | seeds | step 1 | 3 | 6 | 12 | series helped | by level, low to high, or channel |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        steps = [_percent(row["by_step"][step - 1]) for step in (1, 3, 6, 12)]
        groups = [_percent(gain) for gain in row["by_level"]] or [
            f"{name} {_percent(gain)}" for name, gain in row["by_channel"].items()
        ]
        helped = f"{100 * row['series_helped']:.0f} %"
        lines.append(f"| {row['data']} | {row['seeds']} | {' | '.join(steps)} | {helped} | {', '.join(groups)} |")
    return "\n".join(lines)


def left_table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown: what of the twin's errors is common to many series, and what Poisson counts would leave."""
    lines = [
        "| data | MAE with, without | common at step 1 (chance) | at the last step (chance) | Poisson counts |",
        "|---|---|---:|---:|---:|",
    ]
    for row in rows:
        shares = [f"{100 * c['share']:.0f} % ({100 * c['chance']:.0f} %)" for c in row["common"].values()]
        floor = "" if row["poisson"] is None else f"{row['poisson']:.4g}"
        errors = ", ".join(f"{error:.4g}" for error in row["mae"])
        lines.append(f"| {row['data']} | {errors} | {' | '.join(shares)} | {floor} |")
    return "\n".join(lines)


def _percent(gain: float) -> str:
    return f"{100 * gain:+.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", metavar="TABLE")
    parser.add_argument("--model", default="elinformer")
    parser.add_argument("--twin", default="none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="write benchmarks/results/OUT.json and .md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
