"""Tests of training in partitions of the series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from small_models import NARROW, small_module
from torch.testing import assert_close

from elinformer.batch import Batch
from elinformer.errors import InputError
from elinformer.partition import loss_in_partitions
from elinformer.training import ForecastModule
from elinformer.training.ranks.machines import Machines

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster

N, T, S = 40, 6, 3


def make_module(name: str = "elinformer", **options: Any) -> ForecastModule:
    module = small_module(name, n_series=N, **NARROW | {"series_width": 8} | options)
    for parameter in module.model.parameters():  # far from the initial weights, so that attention matters
        torch.nn.init.normal_(parameter, std=0.3)
    return module.double()


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(2, T + S, N, 1, generator=generator, dtype=torch.float64)
    mask = torch.rand(values.shape, generator=generator) < 0.8
    mask[:, :, 3] = False
    calendar = torch.ones(2, T, 2, dtype=torch.int64)
    return Batch(values[:, :T], mask[:, :T], calendar, values[:, T:], mask[:, T:])


def without_dropout() -> ForecastModule:
    module = make_module(dropout=0.0)
    module.model.embedding.eval()  # pyright: ignore[reportAttributeAccessIssue] the calendar is never neutral
    return module


def make_error(module: ForecastModule) -> Callable[[Tensor, Batch], Tensor]:
    def error(outputs: Tensor, partition: Batch) -> Tensor:
        assert partition.target is not None
        assert partition.target_mask is not None
        scale = module.error_scale if partition.series is None else module.error_scale[partition.series]
        return torch.where(partition.target_mask, ((outputs[..., 0] - partition.target) / scale) ** 2, 0).sum()

    return error


def error_of_all_series(module: ForecastModule) -> Tensor:
    return make_error(module)(module(batch()), batch())


def gradients(module: ForecastModule, loss: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("series_at_once", [1, 7, 20, 40])
@pytest.mark.parametrize("sharpness", [1.0, 0.3])
def test_the_loss_in_partitions_equals_that_of_all_series(series_at_once: int, sharpness: float) -> None:
    module = without_dropout()
    module.model.set_sharpness(sharpness)  # pyright: ignore[reportCallIssue]
    error = make_error(module)
    in_partitions = loss_in_partitions(module.scaled, batch(), series_at_once, error)
    assert_close(in_partitions.detach(), error_of_all_series(module).detach(), rtol=1e-10, atol=0)


def test_the_gradient_of_a_single_partition_equals_that_of_all_series() -> None:
    module = without_dropout()
    error = make_error(module)
    expected = gradients(module, error_of_all_series(module))
    for name, grad in gradients(module, loss_in_partitions(module.scaled, batch(), N, error)).items():
        assert_close(grad, expected[name], rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("sharpness", [1.0, 0.3])
def test_the_mean_gradient_in_partitions_equals_that_of_all_series(sharpness: float) -> None:
    module = without_dropout()
    module.model.set_sharpness(sharpness)  # pyright: ignore[reportCallIssue]
    error = make_error(module)
    expected = gradients(module, error_of_all_series(module))
    draws = [gradients(module, loss_in_partitions(module.scaled, batch(), N // 2, error)) for _ in range(30)]
    for name, exact in expected.items():
        mean = torch.stack([draw[name] for draw in draws]).mean(0)
        assert (mean - exact).norm() < 0.1 * exact.norm() + 1e-9, name


def test_a_forecaster_trains_in_partitions(make_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> None:
    maes = [
        make_forecaster(series_at_once=at_once, epochs=4).fit(hourly_panel).backtest().scores().mae
        for at_once in (0, 2)
    ]
    assert maes[1] < 1.2 * maes[0]


def test_a_model_that_needs_all_series_is_refused() -> None:
    module = make_module(attention="softmax")
    with pytest.raises(InputError, match="softmax_attention"):
        loss_in_partitions(module.scaled, batch(), 10, make_error(module))


def test_partitions_of_series_on_several_ranks_are_refused(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    with pytest.raises(InputError, match="series_at_once=2 and series_parallel=2"):
        make_forecaster(series_at_once=2).fit(hourly_panel, machines=Machines(devices=2, series_parallel=2))
