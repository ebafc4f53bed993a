"""A model of one number, and data for which the best number is obvious."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.scaling import Scaler
from elinformer.data.windows import WindowDataset
from elinformer.training import FitResult, ForecastModule, TrainingConfig
from elinformer.training.fit import fit

WINDOW, HORIZON = 4, 2


class OffsetModel(nn.Module):
    """Forecasts one number everywhere, and calls `on_step(n)` in the n-th training step (from 1)."""

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
class OffsetTask:
    """A series of 80 training steps of value 10, then 40 validation steps of value `validation`."""

    validation: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)

    def windows(self) -> tuple[WindowDataset, WindowDataset]:
        values = np.concatenate([np.full((80, 3, 1), 10.0), np.full((40, 3, 1), self.validation)])
        panel = Panel.from_arrays(values)
        train, validation = np.arange(WINDOW, 80 - HORIZON + 1), np.arange(80, 120 - HORIZON + 1)
        return tuple(WindowDataset(panel, None, origins, Reach(WINDOW, HORIZON)) for origins in (train, validation))

    def module(self, model: nn.Module, module_class: type[ForecastModule] = ForecastModule) -> ForecastModule:
        unit = Scaler(np.zeros((3, 1), np.float32), np.ones((3, 1), np.float32))
        defaults = {"epochs": 4, "batch_size": 16, "learning_rate": 0.1}
        return module_class(model, unit, np.ones((3, 1)), TrainingConfig(**(defaults | self.options)))

    def fit(self, model: nn.Module, module_class: type[ForecastModule] = ForecastModule, **options: Any) -> FitResult:
        return self.fit_module(self.module(model, module_class), **options)

    def fit_module(self, module: ForecastModule, **options: Any) -> FitResult:
        return fit(module, *self.windows(), tokens_per_window=3, **options)
