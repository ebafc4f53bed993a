"""Training with products in bfloat16: what is in half precision, what is not, and that it learns the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import NARROW, small_module
from torch import Tensor, nn

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.models import MODELS
from elinformer.ops.eala import cpu, eager
from elinformer.training import ForecastModule

MIXED: dict[str, Any] = {"precision": "bf16-mixed"}


def test_products_of_training_are_in_bfloat16_and_those_of_validation_and_forecasts_in_float32(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    forward = nn.Linear.forward

    def watched(self: nn.Linear, x: Tensor) -> Tensor:
        out = forward(self, x)
        seen[self.training].add(out.dtype)
        return out

    monkeypatch.setattr(nn.Linear, "forward", watched)
    forecaster = make_forecaster(epochs=1, **MIXED).fit(hourly_panel)
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert {parameter.dtype for parameter in forecaster.trained.scaled.parameters()} == {torch.float32}


def test_what_is_learned_is_nearly_the_same(make_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> None:
    errors = {}
    for precision in ("32-true", "bf16-mixed"):
        forecaster = make_forecaster(epochs=5, precision=precision).fit(hourly_panel)
        errors[precision] = forecaster.backtest().scores().mae
    assert errors["bf16-mixed"] != errors["32-true"]
    assert errors["bf16-mixed"] == pytest.approx(errors["32-true"], rel=0.03)


def test_a_run_knows_its_precision_and_forecasts_the_same_when_loaded(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path
) -> None:
    forecaster = make_forecaster(epochs=1, **MIXED).fit(hourly_panel)
    forecaster.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.training.precision == "bf16-mixed"
    assert loaded.predict(hourly_panel).equals(forecaster.predict(hourly_panel))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_gradient_in_mixed_precision_close_to_that_in_float32(name: str) -> None:
    module = small_module(name, n_series=12, **NARROW if name == "elinformer" else {})
    whole, mixed = (loss_and_gradient(module, precision) for precision in ("32-true", "bf16-mixed"))
    assert mixed[0] == pytest.approx(whole[0], rel=0.02)
    assert mixed[1].dtype == torch.float32
    assert 0 < (mixed[1] - whole[1]).norm() < 0.1 * whole[1].norm()


def test_parts_of_the_series_learn_in_mixed_precision_too() -> None:
    module = small_module("elinformer", n_series=12, **NARROW)
    whole, mixed = (loss_and_gradient(module, precision, series_at_once=5) for precision in ("32-true", "bf16-mixed"))
    assert mixed[0] == pytest.approx(whole[0], rel=0.02)
    assert 0 < (mixed[1] - whole[1]).norm() < 0.1 * whole[1].norm()


@pytest.mark.parametrize("series_at_once", [0, 5])
def test_every_parameter_learns_and_gradients_of_attention_are_in_its_own_precision(
    series_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_LIBRARY", None)  # plain PyTorch, whose products autocast would reach
    seen: list[torch.dtype] = []
    backward = eager.key_backward

    def watched(*arguments: Any) -> Any:
        seen.append((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
        return backward(*arguments)

    monkeypatch.setattr(eager, "key_backward", watched)
    module = small_module("elinformer", n_series=12, **NARROW)
    loss_and_gradient(module, "bf16-mixed", series_at_once=series_at_once)
    without = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == [name for name in without if "recall" in name or "in_proj_bias" in name]
    assert set(seen) == ({torch.float32} if series_at_once else set())


def test_the_autocast_of_a_trainer_of_ones_own_is_left_on() -> None:
    module = small_module("elinformer", n_series=12, **NARROW)
    seen: list[torch.dtype] = []
    linear = next(layer for layer in module.modules() if isinstance(layer, nn.Linear))
    linear.register_forward_hook(lambda *found: seen.append(found[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        loss_and_gradient(module, "32-true")
    assert seen == [torch.bfloat16]


def loss_and_gradient(module: ForecastModule, precision: str, **options: Any) -> tuple[float, Tensor]:
    """Of the same step, with the same dropout."""
    module.config = replace(module.config, precision=precision, **options)  # pyright: ignore[reportArgumentType]
    module.log = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
    module.zero_grad()
    torch.manual_seed(0)
    values = torch.randn(4, 9, 12, 1)
    mask = torch.rand(values.shape) < 0.9
    calendar = torch.randint(1, 5, (4, 6, 2))
    target = 10 * values[:, 6:].sign()  # far off, where the gradient of an absolute error does not jump
    loss = module.train().training_step(Batch(values[:, :6], mask[:, :6], calendar, target, mask[:, 6:]), 0)
    loss.backward()
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return loss.item(), torch.cat(gradients)
