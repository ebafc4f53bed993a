"""Tests of ELinFormer beyond the contract of all models."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp
from small_models import NARROW, forecast_of
from torch import Tensor

from elinformer.batch import Batch
from elinformer.models import ELinFormer, ELinFormerConfig
from elinformer.models.elinformer import FEEDFORWARD_ROWS, NEUTRAL_SHARE, periodic_features
from elinformer.models.inputs import drift_of, earlier_values, forward_fill, training_mean
from elinformer.models.scaled import ScaledModel
from elinformer.nn import EalaOperator

B, T, S, N, SLOTS = 3, 6, 4, 5, 24

SMALL = ELinFormerConfig(window=T, horizon=S, n_series=N, n_slots=SLOTS, **NARROW)

VARIANTS = {
    "one channel": SMALL,
    "three channels": replace(SMALL, n_channels=3),
    "patches": replace(SMALL, patch_length=2),
    "patches of one step and two channels": replace(SMALL, patch_length=1, n_channels=2),
    "no calendar": replace(SMALL, n_slots=0),
    "one step to one step": replace(SMALL, window=1, horizon=1),
    "one series": replace(SMALL, n_series=1),
}


@pytest.fixture(params=list(VARIANTS.values()), ids=list(VARIANTS))
def config(request: pytest.FixtureRequest) -> ELinFormerConfig:
    return request.param


def a_model(config: ELinFormerConfig, *, seed: int = 0) -> ELinFormer:
    torch.manual_seed(seed)
    return ELinFormer(config).eval()


def a_batch(config: ELinFormerConfig, *, batch: int = B, seed: int = 1) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return a batch with NaN where the mask is False. Every series has an observation."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, config.window, config.n_series, config.n_channels)
    mask = torch.rand(shape, generator=generator) < 0.7
    mask[:, 0] = True
    values = torch.randn(shape, generator=generator).masked_fill(~mask, float("nan"))
    slots = torch.randint(config.n_slots + 1, (batch, config.window, 1), generator=generator)
    days = torch.randint(8, (batch, config.window, 1), generator=generator)
    return values, mask, torch.cat([slots, days], -1) if config.n_slots else None


def test_a_missing_value_differs_from_zero(config: ELinFormerConfig) -> None:
    model, (values, mask, calendar) = a_model(config), a_batch(config)
    mask[0, 0] = False
    zeros = torch.where(mask, values, 0.0)
    assert not torch.allclose(
        forecast_of(model, zeros, mask, calendar)[0], forecast_of(model, zeros, torch.ones_like(mask), calendar)[0]
    )


def test_values_under_the_mask_have_no_gradient(config: ELinFormerConfig) -> None:
    model, (values, mask, calendar) = a_model(config), a_batch(config)
    values.requires_grad_()
    forecast_of(model, values, mask, calendar).sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    assert (values.grad[~mask] == 0).all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_every_series_depends_on_every_other() -> None:
    model, (values, mask, calendar) = a_model(SMALL), a_batch(SMALL)
    other = values.clone()
    other[:, :, 0] += 1
    difference = (forecast_of(model, other, mask, calendar) - forecast_of(model, values, mask, calendar)).abs()
    assert (difference.amax((1, 3)) > 1e-6).all()


@pytest.mark.parametrize("patch_length", [0, 2])
def test_a_series_without_observations_is_no_key_and_gets_a_forecast(patch_length: int) -> None:
    config = replace(SMALL, patch_length=patch_length)
    model, (values, mask, calendar) = a_model(config), a_batch(config)
    mask[:, :, 2] = False
    forecast = forecast_of(model, values, mask, calendar)
    assert forecast.isfinite().all()
    with torch.no_grad():
        model.embedding.series.weight[2] += 10  # other series would see this change
    changed = forecast_of(model, values, mask, calendar)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(changed[:, :, others], forecast[:, :, others])
    assert not torch.allclose(changed[:, :, 2], forecast[:, :, 2])


def test_a_series_with_one_observation_is_a_key() -> None:
    model, (values, mask, calendar) = a_model(SMALL), a_batch(SMALL)
    mask[:, :, 2] = False
    mask[:, -1, 2], values[:, -1, 2] = True, 1.0
    forecast = forecast_of(model, values, mask, calendar)
    with torch.no_grad():
        model.embedding.series.weight[2] += 10
    assert not torch.allclose(forecast_of(model, values, mask, calendar)[:, :, 0], forecast[:, :, 0])


def test_every_parameter_gets_a_nonzero_gradient(config: ELinFormerConfig) -> None:
    model, batch = a_model(config), a_batch(config, batch=8)
    (forecast_of(model, *batch) ** 2).sum().backward()
    without_gradient = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without_gradient == []


@given(hnp.arrays(bool, (2, T, 3, 2)))
def test_gaps_are_filled_with_the_last_observed_value(observed: np.ndarray) -> None:
    mask = torch.from_numpy(observed)
    values = torch.arange(1.0, 1 + mask.numel()).reshape(mask.shape).masked_fill(~mask, float("nan"))
    filled = forward_fill(values, mask)
    for b, t, n, c in np.ndindex(*mask.shape):
        observed_values = values[b, : t + 1, n, c][mask[b, : t + 1, n, c]]
        assert filled[b, t, n, c] == (observed_values[-1] if len(observed_values) else 0)


def test_a_new_model_repeats_the_last_value_and_can_start_from_other_weights(config: ELinFormerConfig) -> None:
    model, (values, mask, calendar) = a_model(config), a_batch(config)
    last = forward_fill(values, mask)[:, -1:]
    with torch.no_grad():
        model.output.change.weight.zero_()
        model.output.earlier.weight.zero_()
    expected = last.expand(-1, config.horizon, -1, -1)
    torch.testing.assert_close(forecast_of(model, values, mask, calendar), expected)
    weights = torch.arange(config.horizon, dtype=torch.float32)[:, None]
    model.start_from(torch.cat((weights, torch.zeros_like(weights)), dim=1))
    torch.testing.assert_close(forecast_of(model, values, mask, calendar), expected * weights[:, :, None])


def test_a_gap_in_a_lag_is_filled_by_the_other_lags_and_then_by_the_last_value() -> None:
    lags = torch.tensor(
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
    )  # three lags, longest first, of three steps
    seen = torch.tensor([[True, False, False], [False, False, False], [True, True, False]])
    values = torch.cat((lags.flatten(), torch.tensor([10.0, 11.0])))[None, :, None, None]
    mask = torch.cat((seen.flatten(), torch.tensor([True, False])))[None, :, None, None]
    found = earlier_values(values, mask, torch.full((1, 1, 1, 1), 5.0), n_lags=3, horizon=3)[0, :, :, 0, 0]
    assert found.tolist() == [[1, 8, 10], [1, 8, 10], [7, 8, 10], [10, 10, 10], [5, 5, 5]]


def test_a_drift_goes_on_with_half_of_the_slope_between_the_observed_values() -> None:
    values = torch.tensor([[9.0, 2.0, 9.0, 8.0, 9.0], [9.0, 9.0, 9.0, 3.0, 9.0], [9.0] * 5]).T[None, :, :, None]
    mask = torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 1, 0], [0] * 5], dtype=torch.bool).T[None, :, :, None]
    drift = drift_of(values, mask, horizon=2)[0, :, :, 0]
    assert drift.tolist() == [[9.5, 3.0, 0.0], [11.0, 3.0, 0.0]]  # a slope of 3 a step, then of nothing


def test_the_mean_of_training_is_zero_in_the_units_of_training() -> None:
    values = torch.tensor([3.0, 5.0, 7.0])[None, :, None, None]
    batch = Batch(values, torch.ones_like(values, dtype=torch.bool))
    scaled = ScaledModel(a_model(replace(SMALL, n_series=1, window=3)), np.array([[10.0]]), np.array([[2.0]]))
    inputs = scaled.scale(batch)
    change = inputs.values[0, 1, 0, 0] - inputs.values[0, 0, 0, 0]  # of 2 in the units of the data
    assert float(training_mean(inputs) - inputs.values[0, 1, 0, 0]) == pytest.approx(float(change) * (10 - 5) / 2)
    assert training_mean(batch).tolist() == [[[[0.0]]]]


def test_earlier_values_are_added_to_the_first_output_alone() -> None:
    config = replace(SMALL, n_outputs=3)
    model, (values, mask, calendar) = a_model(config), a_batch(config)
    outputs = model(Batch(values, mask, calendar))
    with torch.no_grad():
        model.output.earlier.bias.add_(1)
    changed = model(Batch(values, mask, calendar)) - outputs
    assert (changed[..., 0].abs() > 0.1).all()
    torch.testing.assert_close(changed[..., 1:], torch.zeros_like(changed[..., 1:]), atol=1e-6, rtol=0)


def test_every_horizon_step_repeats_its_own_step_of_a_lag() -> None:
    config = replace(SMALL, n_lags=2)
    model = a_model(config)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(B, 2 * S + T, N, config.n_channels, generator=generator)
    mask = torch.ones_like(values, dtype=torch.bool)
    calendar = torch.ones(B, 2 * S + T, 2, dtype=torch.int64)
    with torch.no_grad():
        for parameter in model.output.parameters():
            parameter.zero_()
        model.output.earlier.bias.view(S, config.n_channels, 4)[..., 1] = 1
    torch.testing.assert_close(forecast_of(model, values, mask, calendar), values[:, S : 2 * S])


def test_tokens_do_not_depend_on_the_lags() -> None:
    config = replace(SMALL, n_lags=1)
    model = a_model(config)
    values = torch.randn(B, S + T, N, config.n_channels, generator=torch.Generator().manual_seed(0))
    batch = Batch(values, torch.ones_like(values, dtype=torch.bool), torch.ones(B, S + T, 2, dtype=torch.int64))
    other = values.clone()
    other[:, :S] += 1
    assert torch.equal(model.embed(batch)[0], model.embed(batch._replace(values=other))[0])


@pytest.mark.parametrize(("n_slots", "width"), [(24, 8), (7, 5), (1, 4), (288, 1)])
def test_initial_slots_are_periodic(n_slots: int, width: int) -> None:
    features = periodic_features(n_slots, width)
    assert features.shape == (1 + n_slots, width)
    assert not features[0].any()
    if width % 2 == 0 and n_slots > width:
        steps = (features[1:] - features[1:].roll(1, 0)).norm(dim=1)
        torch.testing.assert_close(steps, steps[:1].expand_as(steps))


def test_only_the_slot_and_the_day_of_the_last_step_matter() -> None:
    model, (values, mask, calendar) = a_model(SMALL), a_batch(SMALL)
    assert calendar is not None
    forecast = forecast_of(model, values, mask, calendar)
    earlier, slot, day = (calendar.clone() for _ in range(3))
    earlier[:, :-1] = 0
    slot[:, -1, 0] = (slot[:, -1, 0] + 1) % (SLOTS + 1)
    day[:, -1, 1] = (day[:, -1, 1] + 1) % 8
    assert torch.equal(forecast_of(model, values, mask, earlier), forecast)
    assert not torch.allclose(forecast_of(model, values, mask, slot), forecast)
    assert not torch.allclose(forecast_of(model, values, mask, day), forecast)


def test_the_calendar_is_dropped_in_a_share_of_the_training_windows() -> None:
    model = a_model(SMALL).train()
    moment = torch.ones(200_000, 2, dtype=torch.long)
    dropped = model.embedding._drop_calendar(moment) == 0
    assert dropped.float().mean(0).tolist() == pytest.approx([NEUTRAL_SHARE] * 2, abs=0.002)
    assert dropped.all(1).float().mean().item() == pytest.approx(NEUTRAL_SHARE**2, abs=0.0005)
    assert torch.equal(model.eval().embedding._drop_calendar(moment), moment)


@pytest.mark.parametrize(
    ("changes", "features", "positive_heads"),
    [
        ({}, "identity", 4),
        ({"n_heads": 1}, "identity", 0),
        ({"n_heads": 3}, "identity", 1),
    ],
)
def test_half_of_the_heads_are_positive_heads(changes: dict[str, Any], features: str, positive_heads: int) -> None:
    for block in ELinFormer(ELinFormerConfig(window=6, horizon=3, n_series=4, **changes)).blocks:
        attention: Any = block.attention
        assert (attention.operator, attention.positive_heads) == (EalaOperator(features), positive_heads)


@pytest.mark.parametrize("attention", ["softmax", "elu", "mean"])
def test_other_attentions_have_no_positive_heads(attention: str) -> None:
    for block in ELinFormer(ELinFormerConfig(window=6, horizon=3, n_series=4, attention=attention)).blocks:
        layer: Any = block.attention
        assert layer.positive_heads == 0


@pytest.mark.parametrize("attention", ["eala", "none"])
def test_tokens_in_groups_of_rows_equal_all_tokens_at_once(attention: str) -> None:
    config = replace(SMALL, n_series=FEEDFORWARD_ROWS // 2 + 7, attention=attention)
    model = a_model(config)
    batch = a_batch(config)
    expected = forecast_of(model, *batch).detach()
    inputs_and_copies: list[tuple[Tensor, Tensor]] = []
    model.blocks[0].register_forward_pre_hook(
        lambda _, inputs: inputs_and_copies.append((inputs[0], inputs[0].clone()))
    )
    with torch.no_grad():
        torch.testing.assert_close(forecast_of(model, *batch), expected)
    assert torch.equal(*inputs_and_copies[0]), "a block does not change its input"


def test_dropout_is_active_only_in_training(config: ELinFormerConfig) -> None:
    model, batch = a_model(replace(config, dropout=0.5)), a_batch(config)
    assert torch.equal(forecast_of(model, *batch), forecast_of(model, *batch))
    assert not torch.equal(forecast_of(model.train(), *batch), forecast_of(model, *batch))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 0}, "expected window of at least 1, got 0"),
        ({"horizon": 0}, "expected horizon of at least 1"),
        ({"n_series": 0}, "expected n_series of at least 1"),
        ({"n_channels": 0}, "expected n_channels of at least 1"),
        ({"n_layers": 0}, "expected n_layers of at least 1"),
        ({"n_heads": 0}, "expected n_heads of at least 1"),
        ({"n_slots": -1}, "expected n_slots of at least 0"),
        ({"series_width": -4}, "expected series_width of at least 1"),
        ({"dropout": 1.0}, "expected dropout to be a share below 1"),
        ({"patch_length": 4}, "expected patch_length to divide window=6, got 4"),
        ({"n_heads": 3}, r"expected n_heads to divide the width 20 \(embeddings joined\), got 3"),
        ({"n_layers": 2.5}, "expected n_layers to be a whole number, got 2.5"),
        ({"n_heads": "2"}, "expected n_heads to be a whole number, got '2'"),
        ({"dropout": True}, "expected dropout to be a number, got True"),
        ({"attention": "hard"}, r"expected attention out of eala, softmax, .*, mean, none, got 'hard'"),
        ({"attention": 1}, "expected attention to be text, got 1"),
        ({"dropout": float("nan")}, "expected dropout of at least 0, got nan"),
    ],
)
def test_invalid_sizes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_initial_weights_of_the_window_are_large_and_those_of_days_small() -> None:
    torch.manual_seed(0)
    embedding = ELinFormer(ELinFormerConfig(12, 12, 500, n_slots=24)).embedding
    bound = 3 * embedding.window.in_features**-0.5  # three times that of PyTorch
    assert 0.9 * bound < embedding.window.weight.abs().max() <= bound
    assert embedding.day.rows.std().item() == pytest.approx(0.1, rel=0.2)
    assert embedding.series.rows.std().item() == pytest.approx(1, rel=0.05)


def test_a_configuration_is_frozen_and_computes_its_width() -> None:
    assert (SMALL.width, replace(SMALL, n_slots=0).width) == (20, 12)
    assert (SMALL.n_patches, replace(SMALL, patch_length=2).n_patches) == (1, 3)
    with pytest.raises(FrozenInstanceError):
        SMALL.window = 3  # pyright: ignore[reportAttributeAccessIssue]
