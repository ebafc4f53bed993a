"""ForecastModule: scaling, the masked loss, micro-batches, validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import elinformer.models.elinformer
from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.data.scaling import Scaler
from elinformer.data.windows import Reach, WindowDataset
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule, TrainingConfig
from elinformer.training.fit import fit


def test_the_model_sees_scaled_numbers_and_the_forecast_is_in_the_units_of_the_data(offset: Any) -> None:
    mean, std = np.array([[1.0], [2.0]], np.float32), np.array([[10.0], [20.0]], np.float32)
    seen: list[Tensor] = []

    class Spy(offset):
        def forward(self, batch: Batch) -> Tensor:
            seen.append(batch.values)
            return super().forward(batch)

    module = ForecastModule(Spy(0.5), Scaler(mean, std), std, TrainingConfig()).eval()
    values = torch.tensor([11.0, 22.0])[None, None, :, None].expand(1, 4, 2, 1)
    forecast = module(Batch(values, torch.ones_like(values, dtype=torch.bool), None, values[:, :2], values[:, :2]))
    assert torch.equal(seen[0], torch.ones(1, 4, 2, 1))
    assert forecast[0, :, :, 0, 0].tolist() == [[6.0, 12.0]] * 2


@pytest.mark.parametrize("loss_scale", ["channel", "series"])
def test_the_loss_is_the_masked_error_in_the_scale_of_training(
    loss_scale: str, two_channel_panel: Panel, offset: Any, logged: Any, tmp_path: Path
) -> None:
    scale = Scaler.fit(two_channel_panel.values, two_channel_panel.mask, per=loss_scale).std  # pyright: ignore[reportArgumentType]
    unit = Scaler(np.zeros_like(scale), np.ones_like(scale))
    config = TrainingConfig(epochs=1, batch_size=500, logger="csv", log_dir=str(tmp_path))
    origins = np.arange(4, 239)
    windows = WindowDataset(two_channel_panel, None, origins, Reach(4, 2))
    module = ForecastModule(offset(3.0), unit, scale, config)
    fit(module, windows, windows, tokens_per_window=4)
    rows = origins[:, None] + np.arange(2)
    errors = np.abs(3.0 - two_channel_panel.values[rows].astype(np.float64)) / scale
    mean = errors[two_channel_panel.mask[rows]].mean()
    assert logged(tmp_path, "loss")[0] == pytest.approx(mean, rel=1e-5)


def test_a_channel_of_large_numbers_does_not_drown_the_others(
    make_forecaster: Callable[..., Forecaster], two_channel_panel: Panel
) -> None:
    scales = {}
    for loss_scale in ("channel", "series"):
        forecaster = make_forecaster(epochs=1, loss_scale=loss_scale)
        scales[loss_scale] = forecaster.split_panel(two_channel_panel).error_scale(loss_scale)
    assert np.array_equal(scales["channel"], np.broadcast_to(scales["channel"][:1], (4, 2)))
    assert (scales["channel"][0, 1] / scales["channel"][0, 0]).item() == pytest.approx(100, rel=0.1)
    assert (scales["series"][3] / scales["series"][0]).tolist() == pytest.approx([10, 10], rel=0.2)


def test_validation_chooses_by_the_scaled_error_and_shows_the_plain_one(
    two_channel_panel: Panel, offset: Any, logged: Any, tmp_path: Path
) -> None:
    scale = np.array([[1.0, 50.0]] * 4, np.float32)
    unit = Scaler(np.zeros_like(scale), np.ones_like(scale))
    config = TrainingConfig(epochs=1, batch_size=50, learning_rate=1e-12, logger="csv", log_dir=str(tmp_path))
    origins = np.arange(4, 239)
    windows = WindowDataset(two_channel_panel, None, origins, Reach(4, 2))
    module = ForecastModule(offset(3.0), unit, scale, config)
    fit(module, windows, windows, tokens_per_window=4)
    rows = origins[:, None] + np.arange(2)
    seen, errors = two_channel_panel.mask[rows], np.abs(3.0 - two_channel_panel.values[rows].astype(np.float64))
    assert logged(tmp_path, "validation_mae")[0] == pytest.approx(errors[seen].mean(), rel=1e-5)
    assert logged(tmp_path, "validation_loss")[0] == pytest.approx((errors / scale)[seen].mean(), rel=1e-5)


def test_unobserved_targets_give_no_gradient_even_where_nothing_was_observed(training: Any, offset: Any) -> None:
    run = training(observed=1.0, options={"epochs": 1, "batch_size": 80})
    train, validation = run.windows()
    train.mask = np.zeros_like(train.mask)
    gradients: list[Tensor] = []

    class Watched(ForecastModule):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            gradients.extend(p.grad.clone() for p in self.parameters() if p.grad is not None)

    fit(run.module(offset(1.0), Watched), train, validation, tokens_per_window=3)
    assert [gradient.item() for gradient in gradients] == [0]


def test_micro_batches_add_up_to_the_gradient_of_the_whole_batch(
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
            gradient_clip=1e9,
            model={"dropout": 0.0},
        )
        gradients[tokens_at_once] = first_gradient(forecaster, panel)
    for parts in (16, 4):
        for gradient, whole in zip(gradients[parts], gradients[1000], strict=True):
            torch.testing.assert_close(gradient, whole, rtol=1e-4, atol=1e-6)


def first_gradient(forecaster: Forecaster, panel: Panel) -> list[Tensor]:
    """The gradient of the first step of `forecaster.fit(panel)`."""
    gradients: list[list[Tensor]] = []

    def keep(self: ForecastModule, optimizer: torch.optim.Optimizer) -> None:
        gradients.append([p.grad.clone() for p in self.parameters() if p.grad is not None])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForecastModule, "on_before_optimizer_step", keep)
        forecaster.fit(panel)
    return gradients[0]


@given(batch_size=st.integers(1, 500), tokens=st.integers(1, 100_000), limit=st.integers(1, 100_000))
def test_no_more_tokens_than_allowed_are_held_at_once(batch_size: int, tokens: int, limit: int) -> None:
    parts = TrainingConfig(batch_size=batch_size, tokens_at_once=limit).micro_batches(tokens)
    size = -(-batch_size // parts)
    assert 1 <= parts <= batch_size
    assert parts * size >= batch_size
    assert size * tokens <= limit + tokens
    if batch_size * tokens <= limit:
        assert parts == 1
