"""Start from simple forecasts, and the blend with them after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from elinformer import Forecaster, Panel
from elinformer.data.reach import Reach, window_origins
from elinformer.data.windows import WindowDataset
from elinformer.evaluation import AbsoluteError
from elinformer.models import ELinFormer, ELinFormerConfig
from elinformer.models.scaled import ScaledModel
from elinformer.training.blend import blend_with_simple_forecasts
from elinformer.training.start import start_from_simple_forecast

if TYPE_CHECKING:
    from collections.abc import Callable

REACH = Reach(12, 6, lags=(24, 48))


def task(values: np.ndarray, narrow: dict[str, Any]) -> tuple[ScaledModel, WindowDataset]:
    """Return an untrained model of a panel in its units, and all windows of the panel."""
    panel = Panel.from_arrays(values, start="2024-01-01", freq="1h")
    torch.manual_seed(0)
    model = ELinFormer(ELinFormerConfig(12, 6, n_series=values.shape[1], n_lags=2, n_means=REACH.n_means, **narrow))
    mean, std = (np.nan_to_num(x)[:, None] for x in (np.nanmean(values, 0), np.nanstd(values, 0)))
    windows = WindowDataset(panel, None, window_origins((48, len(values)), REACH), REACH)
    return ScaledModel(model, mean, std).eval(), windows


def mae(scaled: ScaledModel, windows: WindowDataset) -> list[float]:
    """Return the error of every series."""
    batch = windows[list(range(len(windows)))]
    with torch.inference_mode():
        error = (scaled(batch).squeeze(-1) - batch.target).abs()
    return torch.where(batch.target_mask, error, 0).sum((0, 1, 3)).div(batch.target_mask.sum((0, 1, 3))).tolist()


def seasonal(n_steps: int = 400) -> np.ndarray:
    """Return two daily rhythms with noise, and a gap of some hours in each."""
    rng = np.random.default_rng(0)
    values = np.sin(2 * np.pi * np.arange(n_steps) / 24)[:, None] * [3, 50] + rng.normal(size=(n_steps, 2)) * [0.3, 5]
    values[100:107, 0] = np.nan
    return values


def test_a_start_is_better_than_the_last_value_and_near_the_mean_of_the_lags(narrow: dict[str, Any]) -> None:
    scaled, windows = task(seasonal(), narrow)
    before = mae(scaled, windows)
    start_from_simple_forecast(scaled, windows)
    after = mae(scaled, windows)
    assert max(b / a for a, b in zip(before, after, strict=True)) < 0.4
    weights = scaled.model.output.earlier.bias.detach().view(6, 4)
    assert weights[:, :2].sum(1).tolist() == pytest.approx([0.9] * 6, abs=0.15)


def test_a_start_from_a_random_walk_is_the_last_value(narrow: dict[str, Any]) -> None:
    walk = np.random.default_rng(3).normal(size=(2000, 3)).cumsum(0)
    scaled, windows = task(walk, narrow)
    start_from_simple_forecast(scaled, windows)
    weights = scaled.model.output.earlier.bias.detach().view(6, 4)
    assert weights[:, 2].tolist() == pytest.approx([1.0] * 6, abs=0.15)


def test_a_model_that_is_worse_than_a_lag_is_replaced_by_it_and_a_good_one_stays(narrow: dict[str, Any]) -> None:
    scaled, windows = task(seasonal(), narrow)
    start_from_simple_forecast(scaled, windows)
    good = mae(scaled, windows)
    blend_with_simple_forecasts(scaled, windows, AbsoluteError(), 50_000)
    assert all(b <= 1.02 * a for a, b in zip(good, mae(scaled, windows), strict=True))
    with torch.no_grad():
        scaled.model.output.change.bias.fill_(50.0)
    blend_with_simple_forecasts(scaled, windows, AbsoluteError(), 50_000)
    assert scaled.model.output.trust.max() == 0
    assert all(b <= 1.25 * a for a, b in zip(good, mae(scaled, windows), strict=True))


def test_simple_forecasts_that_err_alike_are_averaged(narrow: dict[str, Any]) -> None:
    scaled, windows = task(np.random.default_rng(3).normal(size=(2000, 2)), narrow)
    blend_with_simple_forecasts(scaled, windows, AbsoluteError(), 50_000)
    drift, recent, of_day, lag_48, lag_24, last, mean = scaled.model.output.simple.mean((0, 1, 2)).tolist()
    assert lag_48 == pytest.approx(lag_24, rel=0.1)
    assert min(lag_48, last) > 0.02
    assert min(of_day, mean) > 2 * max(lag_48, last)  # its mean error is that of a single value over the root of two
    assert max(drift, recent) < lag_48  # noise goes nowhere


def test_a_series_that_repeats_itself_is_forecast_by_its_lag_beside_others_that_do_not(narrow: dict[str, Any]) -> None:
    values = np.random.default_rng(3).normal(size=(600, 4)).cumsum(0)
    values[:, 0] = np.sin(2 * np.pi * np.arange(600) / 24)
    scaled, windows = task(values, narrow)
    blend_with_simple_forecasts(scaled, windows, AbsoluteError(), 50_000)
    simple = scaled.model.output.simple[:, :, 0]
    assert (simple[0, :, 1:5].sum(-1) > 0.999).all()
    assert (simple[1:, :2, [0, 1, 5]].sum(-1) > 0.8).all()  # all near the last value


def test_a_trend_is_forecast_by_the_drift_and_a_season_that_grows_by_its_recent_mean(narrow: dict[str, Any]) -> None:
    steps, noise = np.arange(600)[:, None], np.random.default_rng(3).normal(size=(600, 2))
    walk = (noise + 1).cumsum(0)  # half a step too little errs by less than no step
    growing = 10 * np.sin(2 * np.pi * steps / 24) * [1, 0] + (0.5 * noise).cumsum(0)
    scaled, windows = task(np.concatenate((walk, growing), 1), narrow)
    blend_with_simple_forecasts(scaled, windows, AbsoluteError(), 50_000)
    simple = scaled.model.output.simple[:, :, 0].mean(1)
    assert (simple[:2, 0] > 2 * simple[:2, 5]).all()
    assert int(simple[2].argmax()) == 1


def test_the_blend_is_of_each_part_of_the_horizon(narrow: dict[str, Any]) -> None:
    scaled, windows = task(np.random.default_rng(3).normal(size=(600, 2)).cumsum(0), narrow)
    with torch.no_grad():
        scaled.model.output.change.bias[4:] = 50.0  # wrong at the last steps alone
    blend_with_simple_forecasts(scaled, windows, AbsoluteError(), 50_000)
    trust = scaled.model.output.trust[:, :, 0]
    assert trust[:, :4].max() > 0
    assert (trust[:, 4:] == 0).all()
    assert (scaled.model.output.simple[..., [0, 1, 5]].sum(-1) > 0.8).all()  # all near the last value
    torch.testing.assert_close(scaled.model.output.simple.sum(-1), torch.ones(2, 6, 1))


def test_a_blend_is_saved_and_partitions_have_the_same(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Any
) -> None:
    forecaster = make_forecaster(epochs=1).fit(hourly_panel)
    with torch.no_grad():
        forecaster.trained.model.output.trust.copy_(torch.rand(4, 3, 1))
    expected = forecaster.predict()["elinformer"]
    forecaster.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.predict(hourly_panel)["elinformer"].equals(expected)
    np.testing.assert_allclose(loaded.predict(hourly_panel, series_at_once=2)["elinformer"], expected, rtol=1e-4)


def test_training_from_trained_weights_keeps_their_head(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    first = make_forecaster(epochs=2, learning_rate=1e-2).fit(hourly_panel).trained
    again = make_forecaster(epochs=1, learning_rate=1e-12).fit(hourly_panel, start=first).trained
    torch.testing.assert_close(again.model.output.earlier.bias, first.model.output.earlier.bias, atol=1e-6, rtol=0)
