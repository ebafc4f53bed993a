"""A model of one number, on data where what is best can be told in the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from power_cuts import AtStep, PowerCutError, power_cut
from torch import Tensor, nn

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.data.scaling import Scaler
from elinformer.data.windows import Reach, WindowDataset
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule, TrainingConfig
from elinformer.training.fit import FitResult, fit

WINDOW, HORIZON = 4, 2


class Offset(nn.Module):
    """Forecasts one number everywhere, and calls `on_step(n)` in its n-th training step (from 1)."""

    def __init__(self, start: float = 0.0, on_step: Callable[[int], Any] = lambda step: None) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(start))
        self.on_step, self.step = on_step, 0

    def forward(self, batch: Batch) -> Tensor:
        if self.training:
            self.step += 1
            self.on_step(self.step)
        return self.offset.expand(len(batch.values), HORIZON, *batch.values.shape[2:], 1)


@dataclass
class Training:
    """What is trained on: 80 steps of 10 for training, then 40 of `validation`."""

    validation: float = 0.0
    observed: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)

    def windows(self) -> tuple[WindowDataset, WindowDataset]:
        values = np.concatenate([np.full((80, 3, 1), 10.0), np.full((40, 3, 1), self.validation)])
        mask = np.random.default_rng(0).random(values.shape) < self.observed
        panel = Panel.from_arrays(values, mask=mask)
        train, validation = np.arange(WINDOW, 80 - HORIZON + 1), np.arange(80, 120 - HORIZON + 1)
        return tuple(WindowDataset(panel, None, origins, Reach(WINDOW, HORIZON)) for origins in (train, validation))

    def module(self, model: nn.Module, kind: type[ForecastModule] = ForecastModule) -> ForecastModule:
        unit = Scaler(np.zeros((3, 1), np.float32), np.ones((3, 1), np.float32))
        defaults = {"epochs": 4, "batch_size": 16, "learning_rate": 0.1}
        return kind(model, unit, np.ones((3, 1)), TrainingConfig(**(defaults | self.options)))

    def run(self, module: ForecastModule, **options: Any) -> FitResult:
        return fit(module, *self.windows(), tokens_per_window=3, **options)


@pytest.fixture
def logged() -> Callable[[Path, str], list[float]]:
    """The numbers that a CSV log in a folder holds under a name."""

    def read(folder: Path, name: str) -> list[float]:
        return pd.read_csv(folder / "version_0" / "metrics.csv")[name].dropna().tolist()

    return read


@pytest.fixture
def offset() -> type[Offset]:
    return Offset


@pytest.fixture
def training() -> type[Training]:
    return Training


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> AtStep:
    """Call something at the n-th forward pass of training from now (from 1), or never."""
    forward = ForecastModule.training_step

    def set_up(at: int | None, call: Callable[[], Any] = power_cut) -> None:
        passes = iter(range(1, 1_000_000))

        def step(self: ForecastModule, *arguments: Any) -> Tensor:
            if next(passes) == at:
                call()
            return forward(self, *arguments)

        monkeypatch.setattr(ForecastModule, "training_step", step)

    return set_up


@pytest.fixture
def make(make_forecaster: Callable[..., Forecaster]) -> Callable[..., Forecaster]:
    """A forecaster that trains for 15 steps, in 3 epochs, and writes a checkpoint before each."""

    def make(**options: Any) -> Forecaster:
        return make_forecaster(**{"epochs": 3, "batch_size": 32, "checkpoint_minutes": 0} | options)

    return make


@pytest.fixture
def cut(make: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, at_step: AtStep) -> Path:
    """A run whose training was cut off in its ninth step, with checkpoints after the seventh and the eighth."""
    at_step(9, power_cut)
    with pytest.raises(PowerCutError):
        make().fit(hourly_panel, run=tmp_path / "run")
    at_step(None, power_cut)
    return tmp_path / "run"
