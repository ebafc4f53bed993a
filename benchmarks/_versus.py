"""Run training steps and forecasts of one checkout, each when the parent process asks for it.

The module runs as `python -m benchmarks._versus CASE N_STEPS` with the checkout on PYTHONPATH. It uses names alone
that every checkout has. It reads a line before every measurement and answers with a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console

import elinformer
from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable

HORIZON, BATCH, WARM_UP = 12, 16, 4
OBSERVED = 0.95


class Case(NamedTuple):
    """Sizes of a panel.

    Attributes:
        series: N.
        window: T.
        freq: Step, which gives the number of slots a day.
    """

    series: int
    window: int
    freq: str


CASES = {
    "80 series, 108 slots": Case(80, 12, "800s"),
    "207 series, 288 slots": Case(207, 12, "5min"),
    "900 series, window 24": Case(900, 24, "30min"),
}


class TimedSteps(pl.Callback):
    """Callback that times every training step: forward, backward, clipping and AdamW, without the loading of data."""

    def __init__(self) -> None:
        self.number = 0

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        """Wait for the parent and start the clock."""
        if self.number >= WARM_UP:
            sys.stdin.readline()
        self._began = clocks()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Answer with the seconds."""
        if self.number >= WARM_UP:
            answer((clocks() - self._began).tolist())
        self.number += 1


def clocks() -> np.ndarray:
    """Seconds of the clock on the wall, and of the CPU in this process."""
    return np.array([time.perf_counter(), time.process_time()])


def answer(found: object) -> None:
    """Write a line of JSON for the parent."""
    print(json.dumps(found), flush=True)


def timed(run: Callable[[], object], n_times: int) -> None:
    """Answer with the seconds of a call, so many times."""
    for number in range(WARM_UP + n_times):
        if number >= WARM_UP:
            sys.stdin.readline()
        began = clocks()
        run()
        if number >= WARM_UP:
            answer((clocks() - began).tolist())


def main() -> None:
    """Train for a few steps, then score a batch of windows, then forecast the next window."""
    case, n_steps = CASES[sys.argv[1]], int(sys.argv[2])
    torch.set_num_threads(1)
    answer(elinformer.__file__)
    train = (WARM_UP + n_steps) * BATCH + case.window + HORIZON - 1  # an epoch of so many batches
    parts = np.array([train, HORIZON + 3, HORIZON + BATCH - 1])
    rng = np.random.default_rng(0)
    values = rng.standard_normal((parts.sum(), case.series), dtype=np.float32)
    values[rng.random(values.shape) > OBSERVED] = np.nan
    panel = Panel.from_arrays(values, start="2024-01-01", freq=case.freq)
    training = TrainingConfig(epochs=1, batch_size=BATCH, device="cpu")
    forecaster = Forecaster(case.window, HORIZON, split=tuple(parts / parts.sum()), training=training)
    forecaster.fit(panel, console=Console(quiet=True), callbacks=[TimedSteps()])
    timed(lambda: forecaster.backtest(panel), n_steps)
    timed(lambda: forecaster.predict(panel), n_steps)


if __name__ == "__main__":
    main()
