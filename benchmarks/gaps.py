"""Error of filled gaps, beside straight lines and seasonal means, on readings that are hidden.

    python -m benchmarks.gaps ../shared/data --out gaps

FOLDER holds the public data sets as .npz. A training with `preset=fast` each; the table is printed as Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._common import environment, environment_text, write_results
from elinformer import Forecaster, read_panel
from elinformer.data.scaling import Scaler, measure
from elinformer.data.seasons import seasons_of
from elinformer.gaps import hide_readings

if TYPE_CHECKING:
    from elinformer.data.panel import Panel

DATA = ("hangzhou_metro", "irish_weather", "bay_bikes")
SHARES = (0.1, 0.3, 0.5)
BLOCK = 12


def main() -> None:
    """Measure, print a table, and write the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--series", type=int, default=20, help="series of each data set, evenly chosen")
    parser.add_argument("--steps", type=int, default=2000, help="steps of each data set, from its begin")
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    rows = ["| data | missing | filled | line | season |", "| --- | --- | ---: | ---: | ---: |"]
    print("\n".join(rows))
    for name in options.data.split(","):
        panel = cut(read_panel(options.folder / f"{name}.npz"), options.series, options.steps)
        for share in SHARES:
            for block in (1, BLOCK):
                result = {"data": name, "share": share, "block": block, **errors(panel, share, block)}
                results.append(result)
                kind = "at random" if block == 1 else f"blocks of {BLOCK}"
                numbers = " | ".join(f"{result[key]:.3f}" for key in ("filled", "line", "season"))
                rows.append(f"| {name} | {share:.0%} {kind} | {numbers} |")
                print(rows[-1], flush=True)
    about = environment("cpu", 1)
    if options.out is not None:
        text = "\n".join(["# Filled gaps", "", environment_text(about), "", *rows])
        write_results(options.out, {"about": about, "results": results}, text)


def cut(panel: Panel, n_series: int, n_steps: int) -> Panel:
    """Return evenly chosen series with readings at more than half of the first steps, and these steps."""
    series = np.unique(np.linspace(0, panel.n_series - 1, min(n_series, panel.n_series)).round().astype(int))
    n_steps -= n_steps % (panel.steps_per_day or 1)
    panel = panel.select(series, steps=slice(n_steps))
    return panel.select(np.flatnonzero(panel.mask.mean(0).min(1) > 0.5))


def without(panel: Panel, share: float, block: int) -> Panel:
    """Return the panel without a share of its readings, in blocks of steps, but with one of every series at least."""
    hidden = hide_readings(panel.mask, share, np.random.default_rng(0), block=block)
    hidden &= (panel.mask & ~hidden).any(0)
    mask = panel.mask & ~hidden
    return replace(panel, values=np.where(mask, panel.values, np.float32(np.nan)), mask=mask, checked=True)


def errors(panel: Panel, share: float, block: int) -> dict[str, float]:
    """Return mean absolute errors on hidden readings, in units of the standard deviation of each series."""
    known = without(panel, share, block)
    hidden = panel.mask & ~known.mask
    model = Forecaster(horizon=12, training={"preset": "fast"}).fit(known)
    scaler = Scaler.of(measure(panel.values, panel.mask))
    filled = {"filled": model.fill(known).values, "line": lines(known), "season": season_means(known)}
    return {name: float(np.abs((x - panel.values) / scaler.std)[hidden].mean()) for name, x in filled.items()}


def lines(panel: Panel) -> np.ndarray:
    """Return straight lines between the readings."""
    values, steps = panel.values.copy(), np.arange(panel.n_steps)
    for place in np.ndindex(*values.shape[1:]):
        seen = np.flatnonzero(panel.mask[(slice(None), *place)])
        values[(slice(None), *place)] = np.interp(steps, seen, values[(seen, *place)])
    return values


def season_means(panel: Panel) -> np.ndarray:
    """Return the mean of the season with the lowest error on the readings, each left out of its mean."""
    best, lowest = np.broadcast_to(np.nanmean(panel.values, axis=0), panel.values.shape), np.inf
    for season in seasons_of(panel):
        if 2 * season.steps > panel.n_steps:
            continue
        slots = np.arange(panel.n_steps) % season.steps
        count, total = (np.zeros((season.steps, *panel.values.shape[1:])) for _ in range(2))
        np.add.at(count, slots, panel.mask)
        np.add.at(total, slots, np.nan_to_num(panel.values))
        mean = np.where(count[slots] > 0, total[slots] / np.maximum(count[slots], 1), best)
        others = (total[slots] - np.nan_to_num(panel.values)) / np.maximum(count[slots] - 1, 1)  # without the reading
        error = np.nanmean(np.abs(np.where(panel.mask & (count[slots] > 1), others - panel.values, np.nan)))
        best, lowest = (mean, error) if error < lowest else (best, lowest)
    return best


if __name__ == "__main__":
    main()
