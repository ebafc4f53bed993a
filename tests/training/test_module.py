"""ForecastModule: scaled inputs, masked loss, micro-batches and validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interruptions import CrashError, crash
from offset_task import OffsetModel, OffsetTask
from torch import Tensor

import elinformer.models.elinformer
from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.scaling import Scaler
from elinformer.data.windows import WindowDataset
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule, TrainingConfig
from elinformer.training.fit import fit


def test_the_model_sees_scaled_values_and_the_forecast_is_in_the_units_of_the_data() -> None:
    mean, std = np.array([[1.0], [2.0]], np.float32), np.array([[10.0], [20.0]], np.float32)
    inputs: list[Tensor] = []

    class RecordInput(OffsetModel):
        def forward(self, batch: Batch) -> Tensor:
            inputs.append(batch.values)
            return super().forward(batch)

    module = ForecastModule(RecordInput(0.5), Scaler(mean, std), std, TrainingConfig()).eval()
    values = torch.tensor([11.0, 22.0])[None, None, :, None].expand(1, 4, 2, 1)
    forecast = module(Batch(values, torch.ones_like(values, dtype=torch.bool), None, values[:, :2], values[:, :2]))
    assert torch.equal(inputs[0], torch.ones(1, 4, 2, 1))
    assert forecast[0, :, :, 0, 0].tolist() == [[6.0, 12.0]] * 2


@pytest.mark.parametrize("loss_scale", ["channel", "series"])
def test_the_loss_is_the_scaled_error_of_observed_targets(
    loss_scale: str, two_channel_panel: Panel, read_csv_log: Any, tmp_path: Path
) -> None:
    scale = Scaler.fit(two_channel_panel.values, two_channel_panel.mask, per=loss_scale).std  # pyright: ignore[reportArgumentType]
    unit = Scaler(np.zeros_like(scale), np.ones_like(scale))
    config = TrainingConfig(epochs=1, batch_size=500, logger="csv", log_dir=str(tmp_path))
    origins = np.arange(4, 239)
    windows = WindowDataset(two_channel_panel, None, origins, Reach(4, 2))
    module = ForecastModule(OffsetModel(3.0), unit, scale, config)
    fit(module, windows, windows, tokens_per_window=4)
    rows = origins[:, None] + np.arange(2)
    errors = np.abs(3.0 - two_channel_panel.values[rows].astype(np.float64)) / scale
    mean = errors[two_channel_panel.mask[rows]].mean()
    assert read_csv_log(tmp_path, "loss")[0] == pytest.approx(mean, rel=1e-5)


def test_the_loss_scale_balances_channels_and_series_of_different_size(
    make_forecaster: Callable[..., Forecaster], two_channel_panel: Panel
) -> None:
    scales = {}
    for loss_scale in ("channel", "series"):
        forecaster = make_forecaster(epochs=1, loss_scale=loss_scale)
        scales[loss_scale] = forecaster.split_panel(two_channel_panel).error_scale(loss_scale)
    assert np.array_equal(scales["channel"], np.broadcast_to(scales["channel"][:1], (4, 2)))
    assert (scales["channel"][0, 1] / scales["channel"][0, 0]).item() == pytest.approx(100, rel=0.1)
    assert (scales["series"][3] / scales["series"][0]).tolist() == pytest.approx([10, 10], rel=0.2)


def test_validation_logs_the_scaled_and_the_unscaled_error(
    two_channel_panel: Panel, read_csv_log: Any, tmp_path: Path
) -> None:
    scale = np.array([[1.0, 50.0]] * 4, np.float32)
    unit = Scaler(np.zeros_like(scale), np.ones_like(scale))
    config = TrainingConfig(epochs=1, batch_size=50, learning_rate=1e-12, logger="csv", log_dir=str(tmp_path))
    origins = np.arange(4, 239)
    windows = WindowDataset(two_channel_panel, None, origins, Reach(4, 2))
    module = ForecastModule(OffsetModel(3.0), unit, scale, config)
    fit(module, windows, windows, tokens_per_window=4)
    rows = origins[:, None] + np.arange(2)
    mask, errors = two_channel_panel.mask[rows], np.abs(3.0 - two_channel_panel.values[rows].astype(np.float64))
    assert read_csv_log(tmp_path, "validation_mae")[0] == pytest.approx(errors[mask].mean(), rel=1e-5)
    assert read_csv_log(tmp_path, "validation_loss")[0] == pytest.approx((errors / scale)[mask].mean(), rel=1e-5)


def test_a_batch_without_observed_targets_has_a_zero_gradient() -> None:
    task = OffsetTask(options={"epochs": 1, "batch_size": 80})
    train, validation = task.windows()
    train.mask = np.zeros_like(train.mask)
    gradients: list[Tensor] = []

    class RecordGradient(ForecastModule):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            gradients.extend(p.grad.clone() for p in self.parameters() if p.grad is not None)

    fit(task.module(OffsetModel(1.0), RecordGradient), train, validation, tokens_per_window=3)
    assert [gradient.item() for gradient in gradients] == [0]


def test_gradients_of_micro_batches_sum_to_that_of_the_whole_batch(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elinformer.models.elinformer, "NEUTRAL_SHARE", 0.0)
    panel = Panel.from_arrays(np.nan_to_num(hourly_panel.values), start="2024-01-01", freq="1h")
    gradients: dict[int, list[Tensor]] = {}
    for tokens_at_once in (1000, 16, 4):
        forecaster = make_forecaster(
            epochs=1,
            batch_size=16,
            tokens_at_once=tokens_at_once,
            precision="32-true",
            gradient_clip=1e9,
            model={"dropout": 0.0},
        )
        gradients[tokens_at_once] = first_gradient(forecaster, panel)
    for tokens_at_once in (16, 4):
        for gradient, expected in zip(gradients[tokens_at_once], gradients[1000], strict=True):
            torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def first_gradient(forecaster: Forecaster, panel: Panel) -> list[Tensor]:
    """Return the gradient of the first step of `forecaster.fit(panel)`."""
    gradients: list[Tensor] = []

    def record(self: ForecastModule, optimizer: torch.optim.Optimizer) -> None:
        gradients.extend(p.grad.clone() for p in self.parameters() if p.grad is not None)
        crash()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForecastModule, "on_before_optimizer_step", record)
        with pytest.raises(CrashError):
            forecaster.fit(panel)
    return gradients


@given(batch_size=st.integers(1, 500), tokens=st.integers(1, 100_000), limit=st.integers(1, 100_000))
def test_micro_batches_hold_at_most_the_allowed_number_of_tokens(batch_size: int, tokens: int, limit: int) -> None:
    number = TrainingConfig(tokens_at_once=limit).micro_batches(batch_size, tokens)
    size = -(-batch_size // number)
    assert 1 <= number <= batch_size
    assert number * size >= batch_size
    assert size * tokens <= limit + tokens
    if batch_size * tokens <= limit:
        assert number == 1
