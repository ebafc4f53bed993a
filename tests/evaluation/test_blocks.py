"""Tests of sums of errors by blocks of time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import mean_before
from torch import Tensor

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach, window_origins
from elinformer.data.windows import WindowDataset
from elinformer.evaluation import BlockSums, Naive, backtest, blocks_of, score_naive

STEPS = (100, 240)
REACH = Reach(6, 3)
ORIGINS = window_origins(STEPS, REACH)


def zero(batch: Batch) -> Tensor:
    return torch.zeros_like(batch.target)


def block_sums(panel: Panel, scale: float = 1.0) -> BlockSums:
    return BlockSums(blocks_of(panel, STEPS, 3), np.full((panel.n_series, panel.n_channels), scale))


@pytest.mark.parametrize("batch_size", [1, 50, 1000])
def test_the_sums_over_the_blocks_of_a_backtest_equal_its_sums(two_channel_panel: Panel, batch_size: int) -> None:
    blocks = block_sums(two_channel_panel)
    windows = WindowDataset(two_channel_panel, None, ORIGINS, REACH)
    sums = backtest(zero, windows, batch_size, blocks=blocks)
    torch.testing.assert_close(blocks.absolute.sum(0), sums.absolute.sum((0, 1)))
    torch.testing.assert_close(blocks.count.sum(0), sums.count.sum((0, 1)).double())


def test_the_sums_over_the_blocks_of_a_naive_forecast_equal_its_sums(two_channel_panel: Panel) -> None:
    blocks = block_sums(two_channel_panel)
    sums = score_naive(
        Naive("yesterday", 24), two_channel_panel, ORIGINS, 3, mean_before(two_channel_panel, 100), blocks=blocks
    )
    torch.testing.assert_close(blocks.absolute.sum(0), sums.absolute.sum((0, 1)))


def test_an_error_is_counted_on_the_day_of_its_target(hourly_panel: Panel) -> None:
    blocks = block_sums(hourly_panel)
    assert blocks.blocks.kind == "day"
    assert blocks.blocks.labels[0] == "2024-01-05"  # step 100 is at 04:00 of the fifth day
    target = torch.ones(1, 3, 4, 1)
    mask = torch.ones_like(target, dtype=torch.bool)
    blocks.update(torch.zeros_like(target), target, mask, torch.tensor([118]))  # 22:00, 23:00, and 00:00
    assert blocks.absolute[:3, 0].tolist() == [8.0, 4.0, 0.0]


def test_a_range_of_few_days_has_blocks_of_a_quarter_of_a_day(hourly_panel: Panel) -> None:
    blocks = blocks_of(hourly_panel, (200, 240), 3)
    assert blocks.kind == "quarter of a day"
    assert blocks.labels[:3] == ("2024-01-09T06", "2024-01-09T12", "2024-01-09T18")
    assert blocks.number[:5].tolist() == [0, 0, 0, 0, 1]  # 08:00 to 11:00, then noon


def test_without_times_blocks_are_runs_of_steps_no_shorter_than_the_horizon(hourly_panel: Panel) -> None:
    panel = replace(hourly_panel, timestamps=np.arange(240), freq=None)
    assert blocks_of(panel, (0, 240), 3).kind == "12 steps"
    assert blocks_of(panel, (0, 240), 60).kind == "60 steps"
    assert len(blocks_of(panel, (0, 240), 60).labels) == 4


def test_the_scaled_error_is_the_mean_over_channels_of_errors_over_their_scale(two_channel_panel: Panel) -> None:
    blocks = BlockSums(blocks_of(two_channel_panel, STEPS, 3), np.tile([2.0, 200.0], (4, 1)))
    target = torch.tensor([4.0, 100.0]).expand(1, 3, 4, 2)
    blocks.update(torch.zeros_like(target), target, torch.ones_like(target, dtype=torch.bool), torch.tensor([100]))
    assert blocks.scaled_error() == pytest.approx((4 / 2 + 100 / 200) / 2)


def test_targets_that_are_not_observed_do_not_count(two_channel_panel: Panel) -> None:
    blocks = block_sums(two_channel_panel)
    target = torch.full((1, 3, 4, 2), torch.nan)
    target[..., 0] = 3.0
    blocks.update(torch.zeros_like(target), target, target.isfinite(), torch.tensor([100]))
    assert blocks.scaled_error() == 3.0
    assert blocks.count.sum(0).tolist() == [12.0, 0.0]
