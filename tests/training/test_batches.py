"""The order of training windows: decided by seed and epoch alone, and whole from any step on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elinformer.data.panel import Panel
from elinformer.data.windows import Reach, WindowDataset
from elinformer.training.batches import ShuffledBatches, training_loader

SIZES = {"n_windows": st.integers(1, 100), "batch_size": st.integers(1, 40)}


def batches(
    n_windows: int, batch_size: int, parts: int = 1, *, seed: int = 0, epoch: int = 0, skip: int = 0
) -> ShuffledBatches:
    made = ShuffledBatches(n_windows, batch_size, parts, seed=seed)
    made.set_epoch(epoch)
    made.skip = skip
    return made


@given(**SIZES, parts=st.integers(1, 10), epoch=st.integers(0, 3))
def test_every_window_comes_once_and_no_part_is_larger_than_the_others_need(
    n_windows: int, batch_size: int, parts: int, epoch: int
) -> None:
    parts = min(parts, batch_size)
    made = list(batches(n_windows, batch_size, parts, epoch=epoch))
    assert sorted(window for batch in made for window in batch) == list(range(n_windows))
    assert max(map(len, made)) <= -(-batch_size // parts)
    assert len(made) == len(batches(n_windows, batch_size, parts))


@given(**SIZES, parts=st.integers(1, 10))
def test_parts_of_a_batch_are_the_windows_of_that_batch(n_windows: int, batch_size: int, parts: int) -> None:
    parts = min(parts, batch_size)
    made = list(batches(n_windows, batch_size, parts))
    whole = list(batches(n_windows, batch_size))
    for number, batch in enumerate(whole):
        assert [window for part in made[number * parts : (number + 1) * parts] for window in part] == batch


@given(**SIZES, parts=st.integers(1, 10), skip=st.integers(0, 5))
def test_what_is_done_of_an_epoch_is_left_out_of_that_epoch_alone(
    n_windows: int, batch_size: int, parts: int, skip: int
) -> None:
    parts = min(parts, batch_size)
    skip = min(skip, n_windows // batch_size)
    made, whole = batches(n_windows, batch_size, parts, skip=skip), list(batches(n_windows, batch_size, parts))
    assert list(made) == whole[skip * parts :]
    assert list(made) == whole


def test_another_epoch_and_another_seed_have_another_order() -> None:
    orders = [next(iter(batches(50, 50, seed=seed, epoch=epoch))) for seed, epoch in ((0, 0), (0, 1), (5, 0))]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize("seed", [0, (1 << 64) - 1])
def test_the_largest_seed_has_a_second_epoch(seed: int) -> None:
    assert sorted(next(iter(batches(5, 5, seed=seed, epoch=1)))) == [0, 1, 2, 3, 4]


def test_a_training_loader_gives_every_window_once_in_the_order_of_its_seed(hourly_panel: Panel) -> None:
    windows = WindowDataset(hourly_panel, None, np.arange(4, 60), Reach(4, 3))

    def targets(seed: int) -> list[torch.Tensor]:
        return [batch.target.nan_to_num(-1) for batch in training_loader(windows, batches(56, 10, seed=seed))]

    assert [len(target) for target in targets(1)] == [10, 10, 10, 10, 10, 6]
    first, again, other = (torch.cat(targets(seed)) for seed in (1, 1, 2))
    order = [window for batch in batches(56, 10, seed=1) for window in batch]
    assert sorted(order) == list(range(56)) != order
    assert first.equal(windows[order].target.nan_to_num(-1))
    assert first.equal(again)
    assert not first.equal(other)
