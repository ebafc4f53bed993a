"""What flattening earns is measured at the sharpness that a run was saved with and at 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from benchmarks.flattening import flattening_table, measured

from elinformer.data.scaling import error_scale
from elinformer.nn import set_sharpness

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster


def saved(forecaster: Forecaster, panel: Panel, folder: Path) -> Path:
    panel.save(folder / "d")
    forecaster.save(folder / "elinformer" / "seed-0", source={"data": str(folder / "d")})
    return folder / "elinformer" / "seed-0"


def scaled_sum(forecaster: Forecaster, panel: Panel) -> float:
    scale = error_scale(panel, forecaster.parts(panel).train[1], forecaster.training.loss_scale)
    return float((forecaster.backtest(panel).absolute / torch.from_numpy(scale)).sum())


def test_errors_are_those_of_a_backtest_at_either_sharpness(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path
) -> None:
    forecaster = make_forecaster(epochs=1).fit(hourly_panel)
    set_sharpness(forecaster.module.model, 0.5)
    row = measured(saved(forecaster, hourly_panel, tmp_path))
    assert row is not None
    assert row["sharpness"] == 0.5
    assert row["model"] == "elinformer"
    chosen = scaled_sum(forecaster, hourly_panel)
    set_sharpness(forecaster.module.model, 1)
    trained = scaled_sum(forecaster, hourly_panel)
    assert chosen != trained
    assert row["as chosen"]["test"] / row["as trained"]["test"] == pytest.approx(chosen / trained, rel=1e-9)


def test_a_model_that_is_not_calibrated_is_left_out(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path
) -> None:
    forecaster = make_forecaster(epochs=1, model={"calibrated": False}).fit(hourly_panel)
    assert measured(saved(forecaster, hourly_panel, tmp_path)) is None


def test_a_line_has_the_seeds_of_a_model_and_the_change_of_their_mean() -> None:
    same = {"data": "d", "model": "m", "as trained": {"validation": 1.0, "test": 2.0}}
    rows = [
        same | {"seed": 1, "sharpness": 0.8, "as chosen": {"validation": 0.5, "test": 3}},
        same | {"seed": 0, "sharpness": 1.0, "as chosen": {"validation": 1.4, "test": 2}},
    ]
    assert flattening_table(rows).splitlines()[-1] == "| d | m | 1, 0.8 | -5.0 % | +25.0 % |"
