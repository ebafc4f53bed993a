"""Tests of metrics from sums and counts under the mask, against numpy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from elinformer.evaluation import MetricSums, Scores
from elinformer.evaluation.metrics import MAPE_FLOOR

values = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)


@st.composite
def forecasts(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Return prediction, target and mask (B, S, N, C)."""
    shape = draw(hnp.array_shapes(min_dims=4, max_dims=4, max_side=4))
    prediction, target = (draw(hnp.arrays(np.float32, shape, elements=values)) for _ in range(2))
    mask = draw(hnp.arrays(bool, shape))
    target = np.where(mask, target, np.float32(np.nan))
    return torch.from_numpy(prediction), torch.from_numpy(target), torch.from_numpy(mask)


def summed(prediction: Tensor, target: Tensor, mask: Tensor, *, batch: int | None = None) -> MetricSums:
    sums = MetricSums(*target.shape[1:])
    for tensors in zip(*(x.split(batch or len(x)) for x in (prediction, target, mask)), strict=True):
        sums.update(*tensors)
    return sums


def numpy_scores(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> Scores:
    """Return the scores by their definition, from the observed values."""
    p, t = prediction[mask].astype(np.float64), target[mask].astype(np.float64)
    nonzero = np.abs(t) > MAPE_FLOOR
    nan = math.nan
    return Scores(
        mae=np.abs(p - t).mean() if len(t) else nan,
        rmse=np.sqrt(((p - t) ** 2).mean()) if len(t) else nan,
        mape=100 * (np.abs(p - t)[nonzero] / np.abs(t[nonzero])).mean() if nonzero.any() else nan,
        count=len(t),
    )


def assert_same(scores: Scores, expected: Scores) -> None:
    assert scores.count == expected.count
    np.testing.assert_allclose(
        [scores.mae, scores.rmse, scores.mape], [expected.mae, expected.rmse, expected.mape], rtol=1e-9
    )


@given(forecasts())
def test_scores_equal_those_of_numpy(forecast: tuple[Tensor, Tensor, Tensor]) -> None:
    sums, arrays = summed(*forecast), [x.numpy() for x in forecast]
    assert_same(sums.scores(), numpy_scores(*arrays))
    for step in range(arrays[0].shape[1]):
        assert_same(sums.scores(step=step), numpy_scores(*(x[:, step] for x in arrays)))
    for channel in range(arrays[0].shape[3]):
        assert_same(sums.scores(channel=channel), numpy_scores(*(x[..., channel] for x in arrays)))
    assert_same(sums.scores(series=[0]), numpy_scores(*(x[:, :, [0]] for x in arrays)))
    assert_same(sums.scores(step=0, series=[0], channel=0), numpy_scores(*(x[:, :1, :1, :1] for x in arrays)))


@given(forecast=forecasts(), batch=st.integers(1, 5))
def test_the_batch_size_changes_sums_only_by_rounding(forecast: tuple[Tensor, Tensor, Tensor], batch: int) -> None:
    at_once, in_batches = summed(*forecast), summed(*forecast, batch=batch)
    for name in ("count", "count_nonzero"):
        assert torch.equal(getattr(at_once, name), getattr(in_batches, name))
    for name in ("absolute", "squared", "relative"):
        torch.testing.assert_close(getattr(in_batches, name), getattr(at_once, name), rtol=1e-6, atol=0)


def test_a_million_errors_are_summed_without_rounding_errors() -> None:
    target = torch.full((1000, 1, 1000, 1), 1e6)
    prediction = target + torch.linspace(0, 1, 1000)[None, None, :, None]
    expected = (prediction.double() - target.double()).abs().mean().item()
    mask = torch.ones_like(target, dtype=torch.bool)
    for batch in (1, 37, 1000):
        assert summed(prediction, target, mask, batch=batch).scores().mae == pytest.approx(expected, rel=1e-12)


def test_a_nan_prediction_counts_only_for_an_observed_target() -> None:
    target = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    mask = torch.tensor([True, False, True]).reshape(1, 3, 1, 1)
    prediction = target + 1
    prediction[0, 1] = math.nan
    assert summed(prediction, target, mask).scores().mae == 1
    prediction[0, 2] = math.nan
    sums = summed(prediction, target, mask)
    assert all(math.isnan(x) for x in (sums.scores().mae, sums.scores().rmse, sums.scores().mape))
    assert sums.scores().count == 2
    assert sums.scores(step=0).mae == 1
    assert math.isnan(sums.scores(step=2).mae)


def test_scores_without_observations_are_nan_and_null_in_json() -> None:
    sums = MetricSums(2, 1, 1)
    scores = sums.scores()
    assert all(math.isnan(x) for x in (scores.mae, scores.rmse, scores.mape))
    assert scores.to_dict() == {"mae": None, "rmse": None, "mape": None, "count": 0}
    assert sums.mae_by_series().isnan().all()
    json.dumps(sums.report(["value"]), allow_nan=False)


@pytest.mark.parametrize(
    ("targets", "mape"), [([0.0, 2.0], 50.0), ([5e-5, 2.0], 50.0), ([-4.0, 2.0], 37.5), ([0.0, 0.0], None)]
)
def test_targets_of_zero_count_for_mae_and_not_for_mape(targets: list[float], mape: float | None) -> None:
    target = torch.tensor(targets).reshape(1, 2, 1, 1)
    scores = summed(target + 1, target, torch.ones_like(target, dtype=torch.bool)).scores()
    assert scores.mae == pytest.approx(1)
    assert scores.to_dict()["mape"] == (None if mape is None else pytest.approx(mape))


def test_the_mean_error_of_a_series_is_computed_over_its_own_targets() -> None:
    target = torch.zeros(4, 2, 3, 1)
    prediction = torch.tensor([1.0, 2.0, 3.0])[None, None, :, None].expand_as(target)
    mask = torch.ones_like(target, dtype=torch.bool)
    mask[1:, :, 0], mask[:, :, 2] = False, False
    by_series = summed(prediction, target, mask).mae_by_series()
    assert by_series[:2, 0].tolist() == [1, 2]
    assert by_series[2, 0].isnan()


def test_a_report_has_every_step_from_one_on_and_every_channel() -> None:
    target = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    sums = summed(target + 1, target, torch.ones_like(target, dtype=torch.bool))
    report = json.loads(json.dumps(sums.report(["flow", "speed"])))
    assert set(report) == {"mae", "rmse", "mape", "count", "by_horizon", "by_channel"}
    assert list(report["by_horizon"]) == ["1", "2", "3"]
    assert list(report["by_channel"]) == ["flow", "speed"]
    assert set(report["by_channel"]["flow"]) == set(report["by_horizon"]["1"]) == {"mae", "rmse", "mape", "count"}
    assert report["by_horizon"]["2"]["mape"] == sums.scores(step=1).mape
    assert (report["count"], report["by_horizon"]["1"]["count"], report["by_channel"]["speed"]["count"]) == (60, 20, 30)
