"""Training on a partition of the series at a time."""

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


def module(name: str = "elinformer", **options: Any) -> ForecastModule:
    made = small_module(name, n_series=N, **NARROW | {"series_width": 8} | options)
    for parameter in made.model.parameters():  # far from where it starts, so that attention matters
        torch.nn.init.normal_(parameter, std=0.3)
    return made.double()


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(2, T + S, N, 1, generator=generator, dtype=torch.float64)
    mask = torch.rand(values.shape, generator=generator) < 0.8
    mask[:, :, 3] = False
    calendar = torch.ones(2, T, 2, dtype=torch.int64)
    return Batch(values[:, :T], mask[:, :T], calendar, values[:, T:], mask[:, T:])


def without_dropout() -> ForecastModule:
    whole = module(dropout=0.0)
    whole.model.embedding.eval()  # pyright: ignore[reportAttributeAccessIssue] the calendar is never neutral
    return whole


def error_of(whole: ForecastModule) -> Callable[[Tensor, Batch], Tensor]:
    def error(outputs: Tensor, given: Batch) -> Tensor:
        assert given.target is not None
        assert given.target_mask is not None
        scale = whole.error_scale if given.series is None else whole.error_scale[given.series]
        return torch.where(given.target_mask, ((outputs[..., 0] - given.target) / scale) ** 2, 0).sum()

    return error


def whole_error(whole: ForecastModule) -> Tensor:
    return error_of(whole)(whole(batch()), batch())


def gradients(whole: ForecastModule, loss: Tensor) -> dict[str, Tensor]:
    whole.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in whole.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("series_at_once", [1, 7, 20, 40])
@pytest.mark.parametrize("sharpness", [1.0, 0.3])
def test_the_loss_of_all_parts_is_that_of_all_series(series_at_once: int, sharpness: float) -> None:
    whole = without_dropout()
    whole.model.set_sharpness(sharpness)  # pyright: ignore[reportCallIssue]
    error = error_of(whole)
    in_partitions = loss_in_partitions(whole.scaled, batch(), series_at_once, error)
    assert_close(in_partitions.detach(), whole_error(whole).detach(), rtol=1e-10, atol=0)


def test_one_part_has_the_gradient_of_all_series() -> None:
    whole = without_dropout()
    error = error_of(whole)
    expected = gradients(whole, whole_error(whole))
    for name, grad in gradients(whole, loss_in_partitions(whole.scaled, batch(), N, error)).items():
        assert_close(grad, expected[name], rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("sharpness", [1.0, 0.3])
def test_the_gradient_of_parts_is_that_of_all_series_on_average(sharpness: float) -> None:
    whole = without_dropout()
    whole.model.set_sharpness(sharpness)  # pyright: ignore[reportCallIssue]
    error = error_of(whole)
    expected = gradients(whole, whole_error(whole))
    draws = [gradients(whole, loss_in_partitions(whole.scaled, batch(), N // 2, error)) for _ in range(30)]
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
    whole = module(attention="softmax")
    with pytest.raises(InputError, match="softmax_attention"):
        loss_in_partitions(whole.scaled, batch(), 10, error_of(whole))


def test_parts_of_series_that_are_on_several_ranks_are_refused(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    with pytest.raises(InputError, match="series_at_once=2 and series_parallel=2"):
        make_forecaster(series_at_once=2).fit(hourly_panel, machines=Machines(devices=2, series_parallel=2))
