"""Which point forecast adds up to the total of sparse series: the median, the mean of the quantiles, or of scenarios?

    python -m research.totals ../shared/data

Trains on 100 days of the trips from 18 stations of `bay_bikes`, and forecasts windows of the test part.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from elinformer import Forecaster, Panel
from elinformer.data.address import load_panel
from elinformer.data.windows import WindowDataset
from elinformer.intervals import scenarios

STEPS, STATIONS, STRIDE = slice(3000, 5400), 18, 5
EVERY = 8
"""Windows between those whose scenarios are drawn."""


def main() -> None:
    """Train, and print the bias and the error of totals and of single values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of bay_bikes.npz")
    panel = sparse_panel(load_panel(str(parser.parse_args().data / "bay_bikes.npz")))
    print(f"{panel!r}, {np.mean(panel.values[panel.mask] == 0):.0%} zeros")
    forecaster = Forecaster(window=24, horizon=24, lags=[24, 168], model={"n_layers": 1}, training={"epochs": 4})
    forecaster.fit(panel)
    trained, split = forecaster.trained, forecaster.split_panel(panel)
    windows = WindowDataset(panel, trained.info.calendar, split.origins("test")[::STRIDE], trained.reach)
    quantiles, forecast = np.array(trained.loss.quantiles), trained.quantiles()
    edges = np.concatenate([[0], (quantiles[1:] + quantiles[:-1]) / 2, [1]])
    weights = np.diff(edges)  # of a quantile in the mean: the share of the distribution that is nearest to it
    if trained.calibration is None:
        raise AssertionError("a fitted forecaster is calibrated")
    ranks = trained.calibration.ranks.numpy()
    errors, totals = [], []
    for i in range(len(windows)):
        batch = windows[[i]]
        with torch.inference_mode():
            outputs = forecast(batch)[0].cpu().numpy()  # (S, N, C, K)
        target = batch.target[0].numpy() if batch.target is not None else np.empty(0)
        points = outputs[..., len(quantiles) // 2], outputs @ weights
        errors.append([point - target for point in points])
        if i % EVERY == 0:
            paths = np.maximum(scenarios(outputs, trained.loss.quantiles, ranks, 100, 0), 0)
            totals.append([target.sum(), *(point.sum() for point in points), paths.sum((1, 2, 3)).mean()])
    report(np.array(errors), np.array(totals))


def sparse_panel(panel: Panel) -> Panel:
    """Return every fourth station by its share of zeros, trips taken only."""
    zeros = (np.where(panel.mask, panel.values, np.nan)[:, :, 0] == 0).sum(0) / panel.mask[:, :, 0].sum(0)
    chosen = np.argsort(zeros)[::4][:STATIONS]
    return Panel.from_arrays(panel.values[STEPS][:, chosen, :1], timestamps=panel.timestamps[STEPS], freq=panel.freq)


def report(errors: np.ndarray, totals: np.ndarray) -> None:
    """Print errors (n, 2, S, N, C), and totals (m, 4) of what happened and of the forecasts."""
    for name, error in zip(("median", "mean of the quantiles"), errors.swapaxes(0, 1), strict=True):
        print(f"{name}: RMSE {np.sqrt(np.nanmean(error**2)):.3f}, MAE {np.nanmean(np.abs(error)):.3f}")
    actual, forecasts = totals[:, :1], totals[:, 1:]
    for i, name in enumerate(("median", "mean of the quantiles", "mean of 100 scenarios")):
        bias = forecasts[:, i].sum() / actual.sum() - 1
        error = np.abs(forecasts[:, i] / actual[:, 0] - 1).mean()
        print(
            f"{name}: bias of the total {bias:+.1%}, error of the total of a window {error:.1%} ({len(totals)} windows)"
        )


if __name__ == "__main__":
    main()
