"""Slots of the year in the model: smooth, and neutral where training has not seen them."""

from __future__ import annotations

from typing import Any

import torch

from elinformer.batch import Batch
from elinformer.models import Sizes, build_model

SIZES = Sizes(window=6, horizon=3, n_series=5, n_slots=1, n_seasons=365)


def forecast(model: Any, season: int) -> torch.Tensor:
    values = torch.randn(1, 6, 5, 1, generator=torch.Generator().manual_seed(0))
    calendar = torch.tensor([1, 0, season]).expand(1, 9, 3)
    return model(Batch(values, torch.ones_like(values, dtype=torch.bool), calendar))


def test_the_day_of_the_year_takes_the_place_of_a_single_slot_and_a_neutral_one_adds_nothing(
    narrow: dict[str, int],
) -> None:
    torch.manual_seed(0)
    model: Any = build_model("elinformer", SIZES, narrow).eval()
    assert not hasattr(model.embedding, "slot")
    by_day: Any = build_model("elinformer", Sizes(6, 3, 5, n_slots=24), narrow)
    assert model.config.width == by_day.config.width
    first, second, later = (model.embedding.season(torch.tensor([day])) for day in (1, 2, 180))
    assert (first - second).norm() < 0.2 * (first - later).norm()
    assert not torch.allclose(forecast(model, 1), forecast(model, 180))
    neutral = forecast(model, 0)
    torch.nn.init.zeros_(model.embedding.season.map.weight)
    torch.testing.assert_close(forecast(model, 180), neutral)
