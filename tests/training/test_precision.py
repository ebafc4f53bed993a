"""Training with products in bfloat16: precision of each computation, and nearly the same result."""

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


def test_training_computes_products_in_bfloat16_and_validation_in_float32(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtypes: dict[bool, set[torch.dtype]] = {True: set(), False: set()}  # in training or not
    forward = nn.Linear.forward

    def recorded_forward(self: nn.Linear, x: Tensor) -> Tensor:
        out = forward(self, x)
        dtypes[self.training].add(out.dtype)
        return out

    monkeypatch.setattr(nn.Linear, "forward", recorded_forward)
    forecaster = make_forecaster(epochs=1, **MIXED).fit(hourly_panel)
    assert dtypes == {True: {torch.bfloat16}, False: {torch.float32}}
    assert {parameter.dtype for parameter in forecaster.trained.scaled.parameters()} == {torch.float32}


def test_mixed_precision_reaches_nearly_the_same_error(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    errors = {}
    for precision in ("32-true", "bf16-mixed"):
        forecaster = make_forecaster(epochs=5, precision=precision).fit(hourly_panel)
        errors[precision] = forecaster.backtest().scores().mae
    assert errors["bf16-mixed"] != errors["32-true"]
    assert errors["bf16-mixed"] == pytest.approx(errors["32-true"], rel=0.03)


def test_a_loaded_run_keeps_its_precision_and_its_forecasts(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path
) -> None:
    forecaster = make_forecaster(epochs=1, **MIXED).fit(hourly_panel)
    forecaster.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.training.precision == "bf16-mixed"
    assert loaded.predict(hourly_panel).equals(forecaster.predict(hourly_panel))


@pytest.mark.parametrize(("name", "series_at_once"), [*((name, 0) for name in MODELS), ("elinformer", 5)])
def test_gradients_in_mixed_precision_are_close_to_those_in_float32(name: str, series_at_once: int) -> None:
    module = small_module(name, n_series=12, **NARROW if name == "elinformer" else {})
    loss, gradient = loss_and_gradient(module, "32-true", series_at_once=series_at_once)
    mixed_loss, mixed_gradient = loss_and_gradient(module, "bf16-mixed", series_at_once=series_at_once)
    assert mixed_loss == pytest.approx(loss, rel=0.02)
    assert mixed_gradient.dtype == torch.float32
    assert 0 < (mixed_gradient - gradient).norm() < 0.1 * gradient.norm()


@pytest.mark.parametrize("series_at_once", [0, 5])
def test_every_parameter_has_a_gradient_and_attention_keeps_float32(
    series_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_LIBRARY", None)  # autocast applies to products of PyTorch, not of the kernel
    dtypes: list[torch.dtype] = []
    backward = eager.key_backward

    def recorded_backward(*arguments: Any) -> Any:
        dtypes.append((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
        return backward(*arguments)

    monkeypatch.setattr(eager, "key_backward", recorded_backward)
    module = small_module("elinformer", n_series=12, **NARROW)
    loss_and_gradient(module, "bf16-mixed", series_at_once=series_at_once)
    no_gradient = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert no_gradient == [name for name in no_gradient if "recall" in name or "in_proj_bias" in name]
    assert set(dtypes) == ({torch.float32} if series_at_once else set())


def test_the_autocast_of_another_trainer_stays_on() -> None:
    module = small_module("elinformer", n_series=12, **NARROW)
    dtypes: list[torch.dtype] = []
    linear = next(layer for layer in module.modules() if isinstance(layer, nn.Linear))
    linear.register_forward_hook(lambda *arguments: dtypes.append(arguments[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        loss_and_gradient(module, "32-true")
    assert dtypes == [torch.bfloat16]


def loss_and_gradient(module: ForecastModule, precision: str, **options: Any) -> tuple[float, Tensor]:
    """Return loss and gradient of one step; data and dropout are the same in every call."""
    module.config = replace(module.config, precision=precision, **options)  # pyright: ignore[reportArgumentType]
    module.log = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
    module.zero_grad()
    torch.manual_seed(0)
    values = torch.randn(4, 9, 12, 1)
    mask = torch.rand(values.shape) < 0.9
    calendar = torch.randint(1, 5, (4, 6, 2))
    target = 10 * values[:, 6:].sign()  # so far from the forecasts that no error changes its sign
    loss = module.train().training_step(Batch(values[:, :6], mask[:, :6], calendar, target, mask[:, 6:]), 0)
    loss.backward()
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return loss.item(), torch.cat(gradients)
