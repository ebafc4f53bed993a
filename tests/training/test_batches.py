"""Order of the training windows: decided by seed and epoch alone, and resumable at any step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.windows import WindowDataset
from elinformer.training.batches import ShuffledBatches, training_loader

SIZES = {"n_windows": st.integers(1, 100), "batch_size": st.integers(1, 40)}


def new_batches(
    n_windows: int, batch_size: int, micro_batches: int = 1, *, seed: int = 0, epoch: int = 0, n_skipped: int = 0
) -> ShuffledBatches:
    batches = ShuffledBatches(n_windows, batch_size, micro_batches, seed=seed)
    batches.set_epoch(epoch)
    batches.n_steps_to_skip = n_skipped
    return batches


@given(**SIZES, micro_batches=st.integers(1, 10), epoch=st.integers(0, 3))
def test_an_epoch_has_every_window_once_in_micro_batches_of_limited_size(
    n_windows: int, batch_size: int, micro_batches: int, epoch: int
) -> None:
    micro_batches = min(micro_batches, batch_size)
    epoch_batches = list(new_batches(n_windows, batch_size, micro_batches, epoch=epoch))
    assert sorted(window for batch in epoch_batches for window in batch) == list(range(n_windows))
    assert max(map(len, epoch_batches)) <= -(-batch_size // micro_batches)
    assert len(epoch_batches) == len(new_batches(n_windows, batch_size, micro_batches))


@given(**SIZES, micro_batches=st.integers(1, 10))
def test_micro_batches_of_a_step_hold_the_windows_of_its_batch(
    n_windows: int, batch_size: int, micro_batches: int
) -> None:
    micro_batches = min(micro_batches, batch_size)
    all_micro_batches = list(new_batches(n_windows, batch_size, micro_batches))
    for step, batch in enumerate(new_batches(n_windows, batch_size)):
        of_step = all_micro_batches[step * micro_batches : (step + 1) * micro_batches]
        assert [window for micro_batch in of_step for window in micro_batch] == batch


@given(**SIZES, micro_batches=st.integers(1, 10), n_skipped=st.integers(0, 5))
def test_completed_steps_are_skipped_in_one_epoch_only(
    n_windows: int, batch_size: int, micro_batches: int, n_skipped: int
) -> None:
    micro_batches = min(micro_batches, batch_size)
    n_skipped = min(n_skipped, n_windows // batch_size)
    whole_epoch = list(new_batches(n_windows, batch_size, micro_batches))
    batches = new_batches(n_windows, batch_size, micro_batches, n_skipped=n_skipped)
    assert list(batches) == whole_epoch[n_skipped * micro_batches :]
    assert list(batches) == whole_epoch


def test_the_order_depends_on_epoch_and_seed() -> None:
    orders = [next(iter(new_batches(50, 50, seed=seed, epoch=epoch))) for seed, epoch in ((0, 0), (0, 1), (5, 0))]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_an_epoch_can_be_a_part_of_an_endless_series_of_passes() -> None:
    batches = ShuffledBatches(10, 4, 2, seed=3, steps_per_epoch=3)
    drawn = []
    for epoch in range(5):
        batches.set_epoch(epoch)
        found = list(batches)
        assert [len(batch) for batch in found] == [2] * len(batches) == [2] * 6
        batches.n_steps_to_skip = 1
        assert list(batches) == found[2:]
        drawn += [window for batch in found for window in batch]
    passes = [drawn[i : i + 10] for i in range(0, 60, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0] != passes[1]


@pytest.mark.parametrize("seed", [0, (1 << 64) - 1])
def test_the_largest_seed_works_for_a_second_epoch(seed: int) -> None:
    assert sorted(next(iter(new_batches(5, 5, seed=seed, epoch=1)))) == [0, 1, 2, 3, 4]


def test_a_training_loader_yields_every_window_once_in_the_order_of_its_seed(hourly_panel: Panel) -> None:
    windows = WindowDataset(hourly_panel, None, np.arange(4, 60), Reach(4, 3))

    def targets(seed: int) -> list[torch.Tensor]:
        return [batch.target.nan_to_num(-1) for batch in training_loader(windows, new_batches(56, 10, seed=seed))]

    assert [len(target) for target in targets(1)] == [10, 10, 10, 10, 10, 6]
    first, same, other = (torch.cat(targets(seed)) for seed in (1, 1, 2))
    order = [window for batch in new_batches(56, 10, seed=1) for window in batch]
    assert sorted(order) == list(range(56)) != order
    assert first.equal(windows[order].target.nan_to_num(-1))
    assert first.equal(same)
    assert not first.equal(other)
