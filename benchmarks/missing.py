"""Error of forecasts from data with missing readings, at random, in blocks, and of sensors that are dead for a week.

    python -m benchmarks.missing ../shared/data --out missing

Readings of all parts of a data set are hidden before anything is trained. The forecasts of the test part are compared
with all readings, hidden or not, so that every row of the table has the same targets. A training with `preset=fast` a
row.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._common import environment, environment_text, write_results
from benchmarks.gaps import without
from elinformer import Forecaster, read_panel

if TYPE_CHECKING:
    from elinformer.data.panel import Panel

SHARES = (0.1, 0.3, 0.5, 0.7)
BATCH = 32


def main() -> None:
    """Measure, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="hangzhou_metro")
    parser.add_argument("--horizon", type=int, default=12)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    panel = read_panel(options.folder / f"{options.data}.npz")
    week = 7 * (panel.steps_per_day or 1)
    kinds = {"at random": 1, f"blocks of {options.horizon} steps": options.horizon, "dead for weeks": week}
    whole = error(panel, panel, options.horizon)
    rows = ["| missing | " + " | ".join(kinds) + " |", "| ---: |" + " ---: |" * len(kinds)]
    rows.append("| 0 % |" + f" {whole:.2f} |" * len(kinds))
    print("\n".join(rows), flush=True)
    results: dict[str, float] = {"none": whole}
    for share in SHARES:
        cells: list[str] = []
        for kind, block in kinds.items():
            found = error(panel, without(panel, share, block), options.horizon)
            results[f"{share:.0%} {kind}"] = found
            cells.append(f"{found:.2f} ({found / whole - 1:+.0%})")
        rows.append(f"| {share:.0%} | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    about = environment("cpu", 1)
    text = "\n".join([f"# Missing readings: {options.data}", "", environment_text(about), "", *rows])
    if options.out:
        write_results(options.out, {"about": about, "results": results}, text)


def error(panel: Panel, known: Panel, horizon: int) -> float:
    """Return the mean absolute error on the test part of `panel`, of a forecaster that knows `known` alone."""
    forecaster = Forecaster(horizon=horizon, training={"preset": "fast", "refit": False}).fit(known)
    origins = forecaster.split_panel(known).origins("test")
    total, count = 0.0, 0
    for start in range(0, len(origins), BATCH):
        batch = origins[start : start + BATCH]
        steps = batch[:, None] + np.arange(horizon)
        errors = np.abs(forecaster.forecasts(known, batch) - panel.values[steps])
        total, count = total + float(errors[panel.mask[steps]].sum()), count + int(panel.mask[steps].sum())
    return total / count


if __name__ == "__main__":
    main()
