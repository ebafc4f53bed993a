"""Tests of training, scores and a stored run against golden files (`make golden` writes them again)."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scripts import load_script

from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster

GOLDEN = Path(__file__).parent / "golden"
RUN = "tiny_run"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(GOLDEN / "make_golden.py")


@pytest.fixture(scope="module")
def panel(script: ModuleType) -> Panel:
    return script.golden_panel()


@pytest.fixture(scope="module")
def retrained(script: ModuleType, panel: Panel) -> tuple[Forecaster, list[float]]:
    return script.train(panel)


def read(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def assert_close(document: Any, golden: Any, rel: float) -> None:
    """Assert equal keys, and numbers that agree up to the differences between machines."""
    if isinstance(golden, dict):
        assert document.keys() == golden.keys()
        for key in golden:
            assert_close(document[key], golden[key], rel)
    else:
        assert document == pytest.approx(golden, rel=rel)


def test_losses_of_twenty_training_steps_equal_the_golden_file(retrained: tuple[Forecaster, list[float]]) -> None:
    losses = read("loss_curve.json")
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(retrained[1], losses, rtol=2e-3)


def test_the_metrics_equal_the_golden_file(
    script: ModuleType, panel: Panel, retrained: tuple[Forecaster, list[float]]
) -> None:
    assert_close(script.scores(retrained[0], panel), read("metrics.json"), rel=5e-3)


def test_a_stored_run_loads_and_gives_the_stored_forecast() -> None:
    stored = read(f"{RUN}.json")
    history = Panel.from_arrays(
        np.array(stored["values"], np.float32),
        start=stored["start"],
        freq=stored["freq"],
        series=stored["series"],
        channels=stored["channels"],
    )
    frame = Forecaster.load(GOLDEN / RUN).predict(history)
    np.testing.assert_allclose(frame.drop(columns=["unique_id", "ds"]).to_numpy(), stored["forecast"], rtol=1e-4)


def test_a_stored_run_is_small() -> None:
    assert sum(path.stat().st_size for path in (GOLDEN / RUN).iterdir()) < 200_000
