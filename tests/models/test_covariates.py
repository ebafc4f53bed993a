"""Models that use covariates, and models that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.series_info import SeriesInfo
from elinformer.data.windows import SplitPanel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.models import Sizes, build_model
from elinformer.models.scaled import ScaledModel
from elinformer.partition import PartitionedForecast
from elinformer.training import TrainingConfig
from elinformer.training.covariate_effects import measure_covariate_effects

SIZES = Sizes(window=6, horizon=3, n_series=5, n_past=1, n_future=2, n_static=2)
NOISE = 0.2


def a_batch(*, shared: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 6, 5, 1, generator=generator)
    future = torch.randn(2, 9, 1 if shared else 5, 2, generator=generator)
    future[0, 8, 0, 0] = torch.nan
    past, static = torch.randn(2, 6, 5, 1, generator=generator), torch.randn(5, 2, generator=generator)
    return Batch(values, torch.ones_like(values, dtype=torch.bool), past=past, future=future, static=static)


def a_model(narrow: dict[str, int]) -> Any:
    """Return a scaled model whose covariates have an effect, as after training."""
    torch.manual_seed(0)
    model: Any = build_model("elinformer", SIZES, narrow)
    torch.nn.init.normal_(model.output.effect.weights.weight)
    torch.nn.init.normal_(model.effects)
    moments = {"past": ([1.0], [2.0]), "future": ([0.0, 1.0], [1.0, 2.0]), "static": ([0.0, 0.0], [1.0, 3.0])}
    return ScaledModel(model, np.ones((5, 1)), np.ones((5, 1)), covariates=moments).eval()


@pytest.mark.parametrize("shared", [True, False])
def test_partitions_have_the_covariates_of_their_series(narrow: dict[str, int], shared: bool) -> None:
    model, batch = a_model(narrow), a_batch(shared=shared)
    torch.testing.assert_close(PartitionedForecast(model, 2)(batch), model(batch), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["past", "future", "static"])
def test_every_role_changes_the_forecast_and_gaps_do_not_spread(narrow: dict[str, int], name: str) -> None:
    model, batch = a_model(narrow), a_batch()
    forecast = model(batch)
    assert torch.isfinite(forecast).all()
    assert not torch.allclose(model(batch._replace(**{name: getattr(batch, name) + 1})), forecast)


def test_covariates_of_training_cannot_be_left_out(narrow: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="future"):
        a_model(narrow)(a_batch()._replace(future=None))


@pytest.mark.parametrize("name", ["dlinear", "stid", "staeformer"])
def test_models_without_covariates_refuse_them_by_name(name: str) -> None:
    with pytest.raises(InputError, match=rf"future .*{name}"):
        build_model(name, Sizes(window=6, horizon=3, n_series=5, n_future=1))


def driven_panel(n_steps: int, order: np.ndarray | None = None) -> Panel:
    """Return series that depend on two covariates of the same step, each by its own weight, and on noise."""
    rng = np.random.default_rng(0)
    level, on = rng.normal(size=(n_steps, 4)), rng.random(n_steps) < 0.3
    weights = np.array([1.0, 2.0, -1.0, 0.5])
    values = 5 + weights * level + 2 * on[:, None] + NOISE * rng.normal(size=(n_steps, 4))
    order = np.arange(n_steps) if order is None else order
    future = {"level": level[order], "on": on[order]}
    return Panel.from_arrays(values, start="2024-01-01", freq="1h", future=future)


@pytest.mark.slow
def test_forecast_follows_covariates_that_decide_it() -> None:
    model = {"n_layers": 1, "window_width": 16, "series_width": 8, "calendar_width": 4, "covariate_width": 8}
    training = TrainingConfig(epochs=16)
    forecaster = Forecaster(12, 3, model=model, training=training).fit(driven_panel(900))
    permuted = driven_panel(900, np.random.default_rng(1).permutation(900))
    error = forecaster.backtest().scores().mae
    assert error < 1.1 * NOISE * (2 / np.pi) ** 0.5  # the mean absolute error of the best forecast
    assert forecaster.backtest(permuted).scores().mae > 5 * error


def measured_effects(panel: Panel, narrow: dict[str, int], **gaps: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the effects (N, F) that training starts with, as they are, and of a change by 1 in units of the data."""
    data = SplitPanel.of(replace(panel, **gaps), (0.6, 0.2, 0.2), Reach(12, 3, (24,)))
    info = SeriesInfo.of(panel, data.origins("train") - 1)
    scaler = data.scaler("series", by_window=True)
    sizes = Sizes(window=12, horizon=3, n_series=panel.n_series, n_lags=1, n_means=2, n_future=2)
    model: Any = build_model("elinformer", sizes, narrow)
    scaled = ScaledModel(model, scaler.mean, scaler.std, covariates=info.moments)
    measure_covariate_effects(scaled, data.windows("train", info.calendar))
    found = model.effects[:, 0].double().numpy()
    return found, found * scaler.std / np.array(info.moments["future"][1])


def test_training_starts_from_the_linear_effects_of_each_series(narrow: dict[str, int]) -> None:
    panel = driven_panel(400)
    mask = np.random.default_rng(2).random(panel.mask.shape) > 0.2
    _, by_one = measured_effects(
        panel, narrow, mask=mask, values=np.where(mask, panel.values, np.nan).astype(np.float32)
    )
    np.testing.assert_allclose(by_one, [[1, 2], [2, 2], [-1, 2], [0.5, 2]], atol=0.1)


def test_covariates_without_an_effect_start_without_one(narrow: dict[str, int]) -> None:
    found, _ = measured_effects(driven_panel(900, np.random.default_rng(1).permutation(900)), narrow)
    assert np.abs(found).max() < 0.05
