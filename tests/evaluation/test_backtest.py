"""Tests of the backtest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.windows import WindowDataset
from elinformer.evaluation import backtest


def last_value(batch: Batch) -> Tensor:
    return batch.values[:, -1:].nan_to_num(0).expand(-1, batch.target.shape[1], -1, -1)


@pytest.fixture
def windows(hourly_panel: Panel) -> WindowDataset:
    return WindowDataset(hourly_panel, None, np.arange(6, 238), Reach(6, 3))


def test_a_backtest_scores_every_window_once(windows: WindowDataset, hourly_panel: Panel) -> None:
    sums = backtest(last_value, windows, 50)
    origins = np.arange(6, 238)
    last = np.nan_to_num(hourly_panel.values[origins - 1])[:, None]
    targets = origins[:, None] + np.arange(3)
    errors = np.abs(last.astype(np.float64) - hourly_panel.values[targets])[hourly_panel.mask[targets]]
    assert sums.scores().mae == pytest.approx(errors.mean(), rel=1e-9)
    assert sums.scores().count == len(errors)
    assert sums.absolute.shape == (3, 4, 1)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_does_not_change_the_sums(windows: WindowDataset, batch_size: int) -> None:
    sums, expected = backtest(last_value, windows, batch_size), backtest(last_value, windows, 232)
    assert torch.equal(sums.count, expected.count)
    torch.testing.assert_close(sums.absolute, expected.absolute, rtol=1e-6, atol=0)


def test_a_backtest_computes_no_gradient(windows: WindowDataset) -> None:
    weight = torch.ones(1, requires_grad=True)

    def forecast(batch: Batch) -> Tensor:
        prediction = weight * last_value(batch)
        assert not prediction.requires_grad
        return prediction

    backtest(forecast, windows, 100)
