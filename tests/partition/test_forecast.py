"""Tests of forecasts in partitions of the series, against forecasts of all series at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from small_models import NARROW, small_module
from torch.testing import assert_close

from elinformer.batch import Batch
from elinformer.errors import InputError
from elinformer.models.scaled import ScaledModel
from elinformer.partition import PartitionedForecast, forecasting

if TYPE_CHECKING:
    from pathlib import Path

N, T, S = 23, 6, 3
DEEP = NARROW | {"n_layers": 3}


def make_model(name: str = "elinformer", n_series: int = N, **options: Any) -> ScaledModel:
    return small_module(name, n_series=n_series, **options).eval().scaled


def batch(n_series: int = N) -> Batch:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(2, T, n_series, 1, generator=generator)
    mask = torch.rand(values.shape, generator=generator) < 0.7
    mask[:, :, 3:6] = False
    calendar = torch.ones(2, T, 2, dtype=torch.int64)
    return Batch(values.masked_fill(~mask, torch.nan), mask, calendar)


@pytest.mark.parametrize("series_at_once", [1, 3, 7, 23, 100])
@pytest.mark.parametrize("patch_length", [0, 2])
def test_a_forecast_in_partitions_equals_that_of_all_series(series_at_once: int, patch_length: int) -> None:
    model = make_model(**DEEP, patch_length=patch_length)
    with torch.inference_mode():
        expected = model(batch())
    assert_close(PartitionedForecast(model, series_at_once)(batch()), expected, rtol=1e-6, atol=1e-6)


def test_the_sharpness_applies_in_partitions() -> None:
    model = make_model(**DEEP)
    unchanged = PartitionedForecast(model, 7)(batch())
    inner: Any = model.model
    inner.set_sharpness(0.3)
    with torch.inference_mode():
        expected = model(batch())
    assert_close(PartitionedForecast(model, 7)(batch()), expected, rtol=1e-6, atol=1e-6)
    assert (expected - unchanged).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("n_series", "patches", "tokens_at_once", "series_at_once"),
    [(23, 1, 6, None), (23, 1, 5, 5), (23, 2, 12, None), (23, 2, 11, 5), (30_000, 2, 14_000, 4096)],
)
def test_the_default_size_of_partitions_follows_from_memory_and_speed(
    n_series: int, patches: int, tokens_at_once: int, series_at_once: int | None
) -> None:
    model = make_model(n_series=n_series)
    chosen = forecasting(model, n_series, tokens=patches * n_series, tokens_at_once=tokens_at_once)
    assert (chosen.series_at_once if isinstance(chosen, PartitionedForecast) else None) == series_at_once


def test_tokens_can_be_stored_in_a_file(tmp_path: Path) -> None:
    model = make_model(**DEEP)
    in_memory = PartitionedForecast(model, 5)(batch())
    assert torch.equal(PartitionedForecast(model, 5, folder=tmp_path)(batch()), in_memory)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "options"), [("stid", {}), ("dlinear", {}), ("elinformer", {"attention": "none"})])
def test_models_without_attention_can_be_computed_in_partitions(name: str, options: dict[str, str]) -> None:
    model = make_model(name, **options)
    with torch.inference_mode():
        expected = model(batch())
    assert_close(PartitionedForecast(model, 4)(batch()), expected, rtol=1e-6, atol=1e-6)


def test_a_forecast_in_partitions_does_not_change_the_model() -> None:
    model = make_model(**DEEP)
    before = {name: (id(x), x.clone()) for name, x in [*model.named_parameters(), *model.named_buffers()]}
    PartitionedForecast(model, 4)(batch())
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert {name: id(x) for name, x in after.items()} == {name: number for name, (number, _) in before.items()}
    assert all(torch.equal(after[name], x) for name, (_, x) in before.items())
    with torch.inference_mode():
        assert model(batch()).shape == (2, S, N, 1, 1)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [("elinformer", {"attention": "softmax"}, "softmax_attention"), ("staeformer", {}, "does not declare")],
)
def test_models_that_need_all_series_at_once_are_refused(name: str, options: dict[str, str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        PartitionedForecast(make_model(name, **options), 4)
