"""Measure forecasts of series that have no history, added from their features alone.

    python -m benchmarks.unseen_series ../shared/data --runs RUNS

A fifth of the series of each set is held out, drawn with a fixed seed. A model is trained on the others, and the
held-out series are added by their features. Their windows are hidden: the test part is forecast from the windows of the
other series. The last column has the forecasts once their windows are known. Trained models are kept in RUNS.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from benchmarks._common import environment, environment_text
from benchmarks.new_series import SEED, SHARE
from elinformer import Forecaster, Panel, read_panel
from elinformer.data.pieces import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Sequence

SETS = {
    "irish_weather": ("temp", "irish_weather", "station", ["height", "latitude", "longitude"]),
    "bay_bikes": ("departures", "bay_bikes", "series", ["latitude", "longitude", "docks", "city"]),
    "metr_la_week1": ("speed_mph", "metr_la", "sensor_id", ["latitude", "longitude"]),
}
"""Channel, file of locations, its column with the series, and the features, of each set."""
HEAD = ("set", "channel", "series held out", "of", "added", "said before", "mean of the others", "with history")
MAX_WINDOWS = 200


def main() -> None:
    """Train, add, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(environment_text(environment("cpu", options.threads)))
    print("\n".join([_line(HEAD), "| --- | --- |" + " ---: |" * (len(HEAD) - 2)]))
    for name in options.sets:
        panel = read_panel(options.data / f"{name}.npz").select(steps=slice(-5000, None))
        channel, file, column, features = SETS[name]
        table = pd.read_csv(options.data / f"{file}_locations.csv", dtype={column: str})
        table = table.rename(columns={column: "unique_id"})[["unique_id", *features]]
        print(_line(_row(name, _one_channel(panel, channel), table, options)), flush=True)


def _one_channel(panel: Panel, channel: str) -> Panel:
    place = panel.channels.index(channel)
    one = slice(place, place + 1)
    return replace(panel, values=panel.values[..., one], mask=panel.mask[..., one], channels=(channel,), checked=True)


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(f'{cell:.4g}' if isinstance(cell, float) else str(cell) for cell in cells)} |"


def _row(name: str, panel: Panel, features: pd.DataFrame, options: argparse.Namespace) -> list[Any]:
    n = panel.n_series
    held = np.sort(np.random.default_rng(SEED).permutation(n)[: round(SHARE * n)])
    others = np.setdiff1d(np.arange(n), held)
    run = options.runs / f"{name}-{panel.channels[0]}"
    if run.is_dir():
        forecaster = Forecaster.load(run)
    else:
        training = {"epochs": options.epochs, "refit": False}
        forecaster = Forecaster(24, 12, training=training).fit(panel.select(others))
        forecaster.save(run)
    train_end = round(0.8 * panel.n_steps)
    known = panel.select(others, slice(train_end))
    grown = forecaster.add_series(known, features=features)
    origins = forecaster.split_panel(panel.select(others)).origins("test")
    origins = origins[evenly_spaced(len(origins), MAX_WINDOWS)]
    mask = panel.mask.copy()
    mask[:, held] = False
    hidden = replace(panel, mask=mask, checked=True)
    places = [grown.info.series.index(panel.series[i]) for i in held]
    targets = panel.values[origins[:, None] + np.arange(12)][:, :, held]
    seen = panel.mask[origins[:, None] + np.arange(12)][:, :, held]

    def mae(forecasts: np.ndarray) -> float:
        return float(np.abs(forecasts - targets)[seen].mean())

    constant = np.broadcast_to(forecaster.trained.scaler.mean.mean(0), targets.shape)
    return [
        name,
        panel.channels[0],
        len(held),
        n,
        mae(grown.forecasts(hidden, origins)[:, :, places]),
        float((grown.added or {})["left_out"]),
        mae(constant),
        mae(grown.forecasts(panel, origins)[:, :, places]),
    ]


if __name__ == "__main__":
    main()
