"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from small_models import NARROW

if TYPE_CHECKING:
    from collections.abc import Callable

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster

# Set before torch is imported. The tensors of tests are small, and spinning threads slow each other down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Background processes of a shell ignore Ctrl-C, and the processes that tests start would inherit this.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("elinformer", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("elinformer")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets beside the repository, or skip the test if it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real data sets in {SHARED_DATA.parent.name}/{SHARED_DATA.name}, which are absent")
    return SHARED_DATA


@pytest.fixture(scope="session")
def narrow() -> dict[str, int]:
    """Return the options of a model that trains in a fraction of a second."""
    return NARROW | {"n_layers": 1}


@pytest.fixture(scope="session")
def hourly_panel() -> Panel:
    """Return 240 hours of 4 daily rhythms of different size, with noise. A tenth of the values is missing."""
    return _daily_panel(n_channels=1)


@pytest.fixture(scope="session")
def two_channel_panel() -> Panel:
    """Return `hourly_panel` with a second channel that is a hundred times as large."""
    return _daily_panel(n_channels=2)


@pytest.fixture(scope="session")
def make_forecaster(narrow: dict[str, int]) -> Callable[..., Forecaster]:
    """Return a function that makes a narrow forecaster with window 6 and horizon 3; keywords are training options."""
    from elinformer.forecaster import Forecaster
    from elinformer.training import TrainingConfig

    def make(*, model: dict[str, Any] | None = None, **training: Any) -> Forecaster:
        options: dict[str, Any] = {"epochs": 2, "refit": False} | training
        return Forecaster(6, 3, lags=(), model=narrow | (model or {}), training=TrainingConfig(**options))

    return make


@pytest.fixture(scope="session")
def trained(make_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> Forecaster:
    """Return a forecaster that was trained on `hourly_panel` for two epochs. Tests must not change it."""
    return make_forecaster().fit(hourly_panel)


def _daily_panel(n_channels: int) -> Panel:
    from elinformer.data.panel import Panel

    rng = np.random.default_rng(0)
    size = np.array([1.0, 2.0, 5.0, 10.0])[:, None] * 100.0 ** np.arange(n_channels)  # (N, C)
    wave = np.sin(2 * np.pi * np.arange(240) / 24)[:, None, None]
    values = size * (3 + wave + 0.1 * rng.normal(size=(240, 4, n_channels)))
    return Panel.from_arrays(
        values,
        mask=rng.random(values.shape) < 0.9,
        start="2024-01-01",
        freq="1h",
        series=["a", "b", "c", "d"],
        channels=["flow", "speed"][:n_channels],
        name="hourly",
    )
