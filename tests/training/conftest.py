"""Fixtures of trainings that are interrupted and resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from interruptions import CallAtStep, CrashError, crash
from torch import Tensor

from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule


@pytest.fixture
def read_csv_log() -> Callable[[Path, str], list[float]]:
    """Read the values of one name from the CSV log in a folder."""

    def read(folder: Path, name: str) -> list[float]:
        return pd.read_csv(folder / "version_0" / "metrics.csv")[name].dropna().tolist()

    return read


@pytest.fixture
def call_at_step(monkeypatch: pytest.MonkeyPatch) -> CallAtStep:
    """Call a function in the n-th forward pass of training from now (from 1), or never."""
    training_step = ForecastModule.training_step

    def set_up(call_number: int | None, function: Callable[[], Any] = crash) -> None:
        numbers = iter(range(1, 1_000_000))

        def step(self: ForecastModule, *arguments: Any) -> Tensor:
            if next(numbers) == call_number:
                function()
            return training_step(self, *arguments)

        monkeypatch.setattr(ForecastModule, "training_step", step)

    return set_up


@pytest.fixture(scope="session")
def new_forecaster(make_forecaster: Callable[..., Forecaster]) -> Callable[..., Forecaster]:
    """Create a forecaster that trains for 15 steps in 3 epochs, and writes a checkpoint before each step."""

    def new(**options: Any) -> Forecaster:
        return make_forecaster(**{"epochs": 3, "batch_size": 32, "checkpoint_minutes": 0} | options)

    return new


@pytest.fixture(scope="session")
def uninterrupted(new_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> Forecaster:
    """A forecaster of `new_forecaster` whose training was not interrupted; tests must not change it."""
    return new_forecaster().fit(hourly_panel)


@pytest.fixture
def crashed_run(
    new_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, call_at_step: CallAtStep
) -> Path:
    """A run whose training crashed in its ninth step, with checkpoints after the seventh and the eighth."""
    call_at_step(9, crash)
    with pytest.raises(CrashError):
        new_forecaster().fit(hourly_panel, run=tmp_path / "run")
    call_at_step(None, crash)
    return tmp_path / "run"
