"""Tests of the contract of all registered models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_models import NARROW, forecast_of
from torch import Tensor, nn

from elinformer.batch import Batch
from elinformer.models import ATTENTIONS, MODELS, ELinFormer, Sizes, build_model
from elinformer.ops.registry import OPERATORS

B, T, S, N, SLOTS = 3, 6, 4, 11, 24
"""N differs from all other sizes, so that the shape shows which parameters belong to series."""

VARIANTS = {"patches": {**NARROW, "patch_length": 1}}
"""Variants of "elinformer"."""

OPTIONS: dict[str, dict[str, Any]] = (
    {name: {**NARROW, "attention": name} for name in ATTENTIONS}
    | VARIANTS
    | {
        "dlinear": {"trend_length": 3},
        "stid": {"window_width": 8, "series_width": 4, "calendar_width": 4},
        "staeformer": {"adaptive_width": 8, "n_layers": 1, "feedforward_width": 16},
    }
)
SIZES = {
    "one channel": Sizes(T, S, N, n_slots=SLOTS),
    "three channels": Sizes(T, S, N, n_channels=3, n_slots=SLOTS),
    "no calendar": Sizes(T, S, N),
    "one step to one step of one series": Sizes(1, 1, 1, n_slots=SLOTS),
}
NAMES = tuple(OPTIONS)
"""Registered models, with the attentions and variants of "elinformer" instead of its name."""

Inputs = tuple[Tensor, Tensor, Tensor | None]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=list(SIZES.values()), ids=list(SIZES))
def sizes(request: pytest.FixtureRequest) -> Sizes:
    return request.param


def a_model(name: str, sizes: Sizes = SIZES["one channel"], *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("elinformer" if name in {*ATTENTIONS, *VARIANTS} else name, sizes, OPTIONS[name]).eval()


def a_batch(sizes: Sizes = SIZES["one channel"], *, batch: int = B) -> Inputs:
    """Return a batch with NaN where the mask is False."""
    generator = torch.Generator().manual_seed(1)
    shape = (batch, sizes.window, sizes.n_series, sizes.n_channels)
    mask = torch.rand(shape, generator=generator) < 0.7
    values = torch.randn(shape, generator=generator).masked_fill(~mask, float("nan"))
    slots = torch.randint(sizes.n_slots + 1, (batch, sizes.window, 1), generator=generator)
    days = torch.randint(8, (batch, sizes.window, 1), generator=generator)
    return values, mask, torch.cat([slots, days], -1) if sizes.n_slots else None


def test_all_registered_models_are_tested() -> None:
    ours = {name for name, entry in MODELS.items() if entry.build.__module__.startswith("elinformer.")}
    registered = {name for name in ours if ":" not in name}  # classes that other tests name as module:class
    assert registered == {"elinformer", *OPTIONS} - {*ATTENTIONS, *VARIANTS}


def test_the_forecast_has_all_steps_series_and_channels(name: str, sizes: Sizes) -> None:
    forecast = forecast_of(a_model(name, sizes), *a_batch(sizes))
    assert forecast.shape == (B, sizes.horizon, sizes.n_series, sizes.n_channels)
    assert forecast.dtype == torch.float32
    assert forecast.isfinite().all()


def test_every_parameter_gets_a_finite_gradient(name: str, sizes: Sizes) -> None:
    model = a_model(name, sizes).train()
    forecast_of(model, *a_batch(sizes)).square().sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


def test_a_loaded_state_dict_gives_the_same_forecast(name: str, sizes: Sizes) -> None:
    model, other, batch = a_model(name, sizes), a_model(name, sizes, seed=1), a_batch(sizes)
    assert not torch.equal(forecast_of(other, *batch), forecast_of(model, *batch))
    other.load_state_dict(model.state_dict())
    assert torch.equal(forecast_of(other, *batch), forecast_of(model, *batch))


def test_a_forecast_does_not_depend_on_the_other_windows_of_its_batch(name: str) -> None:
    model, (values, mask, calendar) = a_model(name), a_batch()
    assert calendar is not None
    together = forecast_of(model, values, mask, calendar)
    for i in range(B):
        torch.testing.assert_close(forecast_of(model, values[[i]], mask[[i]], calendar[[i]])[0], together[i])


def test_the_same_seed_makes_the_same_model_and_the_same_forecast(name: str) -> None:
    batch = a_batch()
    assert torch.equal(forecast_of(a_model(name), *batch), forecast_of(a_model(name), *batch))


@pytest.mark.parametrize("filling", [0.0, 1e30, float("inf"), float("-inf")])
def test_values_under_the_mask_do_not_change_the_forecast(filling: float, name: str) -> None:
    model, (values, mask, calendar) = a_model(name), a_batch()
    filled = torch.where(mask, values, filling)
    assert torch.equal(forecast_of(model, values, mask, calendar), forecast_of(model, filled, mask, calendar))


@pytest.mark.parametrize("missing", [slice(2, 3), slice(None)], ids=["one series", "all series"])
def test_series_without_observations_get_finite_forecasts_and_gradients(missing: slice, name: str) -> None:
    model, (values, mask, calendar) = a_model(name), a_batch()
    mask[:, :, missing] = False
    forecast = forecast_of(model, values, mask, calendar)
    forecast.sum().backward()
    assert forecast.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_neutral_slots_and_days_get_a_finite_forecast(name: str) -> None:
    values, mask, calendar = a_batch()
    assert calendar is not None
    assert forecast_of(a_model(name), values, mask, torch.zeros_like(calendar)).isfinite().all()


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in OPERATORS or not OPERATORS[name].order_dependent]
)
@pytest.mark.parametrize(
    "sizes", [SIZES["one channel"], SIZES["three channels"]], ids=["one channel", "three channels"]
)
def test_permuted_series_with_permuted_parameters_permute_the_forecast(name: str, sizes: Sizes) -> None:
    order = torch.tensor([3, 0, 10, 1, 7, 2, 9, 4, 8, 6, 5])
    model, (values, mask, calendar) = a_model(name, sizes), a_batch(sizes)
    forecast = forecast_of(model, values, mask, calendar)
    with torch.no_grad():
        for parameter in model.parameters():
            for axis in (axis for axis, size in enumerate(parameter.shape) if size == N):
                parameter.copy_(parameter.index_select(axis, order))
    permuted = forecast_of(model, values[:, :, order], mask[:, :, order], calendar)
    torch.testing.assert_close(permuted, forecast[:, :, order])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dlinear"])
def test_series_with_the_same_values_get_different_forecasts(name: str) -> None:
    model, (values, mask, calendar) = a_model(name), a_batch()
    values[:, :, 1], mask[:, :, 1] = values[:, :, 0], mask[:, :, 0]
    forecast = forecast_of(model, values, mask, calendar)
    assert not torch.allclose(forecast[:, :, 0], forecast[:, :, 1])


WITHOUT_ATTENTION = ("dlinear", "stid", "none")


def test_series_depend_on_each_other_only_in_models_with_attention(name: str) -> None:
    model, (values, mask, calendar) = a_model(name), a_batch()
    mask[:, -1, 0] = True
    values[:, -1, 0] = 0.0
    other = values.clone()
    other[:, -1, 0] += 1
    change = (
        (forecast_of(model, other, mask, calendar) - forecast_of(model, values, mask, calendar)).abs().amax((0, 1, 3))
    )  # (N,)
    assert change[0] > 1e-6
    assert (change[1:].amax() > 1e-6) == (name not in WITHOUT_ATTENTION)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dlinear"])
def test_a_missing_calendar_is_refused(name: str) -> None:
    values, mask, _ = a_batch()
    with pytest.raises(ValueError, match=r"expected a calendar \(B, T \+ S, 3\) for a model of 24 slots, got none"):
        forecast_of(a_model(name), values, mask)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dlinear"])
def test_the_calendar_changes_the_forecast(name: str) -> None:
    model, (values, mask, calendar) = a_model(name), a_batch()
    assert calendar is not None
    later = calendar.clone()
    later[..., 0] = calendar[..., 0] % SLOTS + 1
    assert not torch.allclose(forecast_of(model, values, mask, later), forecast_of(model, values, mask, calendar))


def test_models_compute_in_float64(name: str) -> None:
    values, mask, calendar = a_batch()
    assert forecast_of(a_model(name).double(), values.double(), mask, calendar).dtype == torch.float64


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].build is not ELinFormer])
def test_a_published_model_refuses_lags(name: str) -> None:
    with pytest.raises(ValueError, match=f"expected no lags for {name}"):
        build_model(name, replace(SIZES["one channel"], n_lags=1))


def test_several_outputs_are_in_the_last_dimension(name: str, sizes: Sizes) -> None:
    outputs = a_model(name, replace(sizes, n_outputs=3))(Batch(*a_batch(sizes)))
    assert outputs.shape == (B, sizes.horizon, sizes.n_series, sizes.n_channels, 3)
    assert outputs.isfinite().all()


def test_forward_equals_the_chain_of_embed_blocks_and_head(name: str) -> None:
    model: Any = a_model(name)
    batch = Batch(*a_batch())
    if not hasattr(model, "blocks"):
        pytest.skip(f"{name} is not a chain of embed, blocks and head")
    x, key_mask = model.embed(batch)
    for block in model.blocks:
        x = block(x, key_mask)
    assert torch.equal(model.head(x, batch), model(batch))
