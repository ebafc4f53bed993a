"""Compare the time of a forecast with nine calibrated quantiles with that of a model of one output, in one process.

    python -m benchmarks.quantile_cost --series 8600

Both models have random weights, and the same window, lags and series. A pair is a forecast of each, the first one in
turn; the ratio is the median over the pairs, of CPU time, so that other programs matter little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks._common import environment, environment_text
from elinformer import Panel
from elinformer.data.reach import Reach, chronological_split, part_origins
from elinformer.data.scaling import Scaler
from elinformer.data.series_info import SeriesInfo
from elinformer.trained_model import TrainedModel, loss_for, new_model
from elinformer.training import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REACH, STEPS, SPLIT = Reach(24, 12, (24,)), 240, (0.6, 0.2, 0.2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=8600)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    values = np.random.default_rng(0).gamma(2, 5, (STEPS, options.series)).astype(np.float32)
    panel = Panel.from_arrays(values, start="2024-01-01", freq="1h")
    one, nine = (_trained(panel, loss) for loss in ("absolute", "quantiles"))
    forecasts = [lambda: one.next_steps(panel), lambda: nine.next_quantiles(panel)]
    print(environment_text(environment("cpu", options.threads)))
    ratios, seconds = _paired(forecasts, options.pairs)
    plain, quantiles = (statistics.median(each) for each in seconds)
    print(
        f"{options.series:,} series, {options.pairs} pairs: one output {plain:.2f} s, nine quantiles {quantiles:.2f} "
        f"s, ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def _trained(panel: Panel, loss_name: str) -> TrainedModel:
    """Return a calibrated model of random weights."""
    loss = loss_for("elinformer", loss_name)
    train_end = chronological_split(panel.n_steps, SPLIT).train[1]
    info = SeriesInfo.of(panel, part_origins(panel.n_steps, SPLIT, "train", REACH) - 1)
    config = {
        "forecaster": {"minimum": "auto", "split": SPLIT},
        "model": {"name": "elinformer", "options": {}},
        "training": {"tokens_at_once": TrainingConfig().tokens_at_once},
    }
    model = new_model("elinformer", {}, REACH, info, loss)
    trained = TrainedModel(model, Scaler.fit(panel.values, panel.mask), info, REACH, config, loss)
    origins = part_origins(panel.n_steps, SPLIT, "validation", REACH)[:2]
    return trained.calibrated(panel, origins, train_end)


def _paired(forecasts: Sequence[Callable[[], object]], n_pairs: int) -> tuple[list[float], list[list[float]]]:
    """Return the ratios of the pairs, second to first, and the CPU seconds of each forecast."""
    for forecast in forecasts:
        forecast()
    seconds: list[list[float]] = [[], []]
    for pair in range(n_pairs):
        for place in (0, 1) if pair % 2 == 0 else (1, 0):
            began = time.process_time()
            forecasts[place]()
            seconds[place].append(time.process_time() - began)
    return [nine / one for one, nine in zip(*seconds, strict=True)], seconds


if __name__ == "__main__":
    main()
