"""Tests of the registry of models, of unknown names and options, and of a custom model."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest
import torch
from small_models import forecast_of
from torch import Tensor, nn

from elinformer.batch import Batch
from elinformer.errors import InputError
from elinformer.models import ATTENTIONS, MODELS, Sizes, build_model, register_model
from elinformer.models.registry import whole_options
from elinformer.models.scaled import ScaledModel

SIZES = Sizes(6, 4, 5, n_slots=24)


@dataclass(frozen=True)
class FlatConfig:
    """Smallest possible configuration."""

    horizon: int
    start: float = 0.0

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"expected start of 0 or more, got {self.start}")


class Flat(nn.Module):
    """Model that forecasts one learned number for all steps of all series."""

    def __init__(self, config: FlatConfig) -> None:
        super().__init__()
        self.horizon, self.level = config.horizon, nn.Parameter(torch.tensor(config.start))

    def forward(self, batch: Batch) -> Tensor:
        return self.level.expand(len(batch.values), self.horizon, *batch.values.shape[2:], 1)


class Mode(StrEnum):
    """Option that JSON returns as text."""

    FAST = "fast"


@dataclass(frozen=True)
class OddConfig:
    """Options that JSON can represent, and others."""

    horizon: int
    width: int = 8
    rate: float = 0.5
    name: str = "x"
    other: str | None = None
    limit: float = float("inf")
    mode: Mode = Mode.FAST
    sizes: tuple[int, ...] = (1, 2)
    many: list[int] = field(default_factory=list)
    made: int = field(init=False, default=3)


def test_a_run_stores_the_options_that_json_can_represent() -> None:
    register_model("odd", OddConfig)(Flat)
    try:
        assert whole_options("odd", {"sizes": [3]}) == {
            "width": 8,
            "rate": 0.5,
            "name": "x",
            "other": None,
            "sizes": [3],
        }
        with pytest.raises(InputError, match=r"expected model options out of width.*got made"):
            whole_options("odd", {"made": 4})
    finally:
        del MODELS["odd"]


@pytest.fixture
def flat() -> Generator[str]:
    """Register a model during a test, and return its name."""
    assert register_model("flat", FlatConfig)(Flat) is Flat
    yield "flat"
    del MODELS["flat"]


def test_a_custom_model_is_built_from_the_sizes_that_it_declares(flat: str) -> None:
    model = build_model(flat, SIZES, {"start": 2.0})
    forecast = forecast_of(model, torch.zeros(2, 6, 5, 3), torch.ones(2, 6, 5, 3, dtype=torch.bool))
    assert torch.equal(forecast, torch.full((2, 4, 5, 3), 2.0))


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected a model out of .*elinformer.*, got 'flat': docs/models.md"):
        build_model("flat", SIZES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"end": 1}, "expected model options out of start for flat, got end"),
        ({"horizon": 1}, "expected model options out of start for flat, got horizon"),
        ({"start": -1.0}, "expected start of 0 or more, got -1.0"),
    ],
)
def test_unknown_and_invalid_options_are_refused(flat: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_model(flat, SIZES, options)


def test_lags_are_refused_by_a_model_that_does_not_declare_them(flat: str) -> None:
    with pytest.raises(InputError, match=r"expected no lags for flat, .*, got 2"):
        build_model(flat, Sizes(6, 4, 5, n_lags=2))


def test_a_model_with_lags_has_to_know_the_means_of_seasons_before_them() -> None:
    @dataclass(frozen=True)
    class Lagged:
        window: int
        horizon: int
        n_series: int
        n_lags: int = 0

    register_model("lagged", Lagged)(lambda _: nn.Identity())
    try:
        with pytest.raises(InputError, match="expected n_means beside n_lags in the configuration of lagged"):
            build_model("lagged", Sizes(6, 4, 5, n_lags=2, n_means=1))
    finally:
        del MODELS["lagged"]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_models_with_different_attention_share_all_other_parameters(attention: str) -> None:
    eala, other = (a_model(attention=name) for name in ("eala", attention))
    shared = {key for key in eala.state_dict() if ".attention" not in key}
    assert shared == {key for key in other.state_dict() if ".attention" not in key}


def a_model(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_model("elinformer", SIZES, options)


def test_models_with_the_same_seed_have_equal_initial_weights() -> None:
    eala, other = (a_model(attention=name).state_dict() for name in ("eala", "taylor"))
    assert eala.keys() == other.keys()
    assert all(torch.equal(eala[key], other[key]) for key in eala)


def test_the_model_without_attention_has_all_other_parameters() -> None:
    with_attention, without = (dict(a_model(attention=name).named_parameters()) for name in ("eala", "none"))
    assert {key for key in with_attention if "attention" not in key} == set(without)


@pytest.mark.parametrize("name", ["past", "future", "static"])
def test_covariates_that_a_model_does_not_use_are_refused(name: str) -> None:
    values = torch.zeros(2, 6, 5, 1)
    covariates = torch.zeros(5, 1) if name == "static" else torch.zeros(2, 10, 5, 1)
    batch = Batch(values, values == 0, torch.zeros(2, 10, 2, dtype=torch.int64), **{name: covariates})
    scaled = ScaledModel(a_model(n_layers=1), torch.zeros(5, 1), torch.ones(5, 1))
    with pytest.raises(InputError, match=f"expected no {name} covariates for ELinFormer"):
        scaled(batch)


def test_several_outputs_are_refused_by_a_model_that_does_not_declare_them(flat: str) -> None:
    with pytest.raises(InputError, match="expected a loss of one output for flat"):
        build_model(flat, Sizes(6, 4, 5, n_outputs=3))
