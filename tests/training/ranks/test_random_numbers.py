"""Random numbers in a checkpoint: each rank restores its own, or new ones on another mesh."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elinformer.partition.ranks import Mesh
from elinformer.training.ranks.random_numbers import random_state, restore_random_state, seed_rank

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def state_of_two_ranks() -> tuple[dict[str, object], list[Tensor]]:
    """Return the state of two ranks that share series, and the next numbers of each rank."""
    states, numbers = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(torch.get_rng_state())
        numbers.append(torch.rand(3))
    return {"mesh": [1, 2], "cpu": torch.stack(states)}, numbers


def next_numbers(state: dict[str, object], mesh: Mesh) -> Tensor:
    restore_random_state(state, mesh, CPU)
    return torch.rand(3)


def test_one_rank_restores_its_random_numbers() -> None:
    state = random_state(Mesh(), CPU)
    expected = torch.rand(3)
    torch.rand(5)
    assert torch.equal(next_numbers(state, Mesh()), expected)


def test_ranks_of_the_same_mesh_restore_their_random_numbers() -> None:
    state, numbers = state_of_two_ranks()
    for column, expected in enumerate(numbers):
        assert torch.equal(next_numbers(state, Mesh(column=column, n_columns=2)), expected)


@pytest.mark.parametrize("mesh", [Mesh(), Mesh(n_columns=3), Mesh(n_rows=2)])
def test_the_first_rank_of_another_mesh_restores_those_of_the_first_rank(mesh: Mesh) -> None:
    state, numbers = state_of_two_ranks()
    assert torch.equal(next_numbers(state, mesh), numbers[0])


def test_other_ranks_of_another_mesh_draw_different_but_reproducible_numbers() -> None:
    state, numbers = state_of_two_ranks()
    meshes = [Mesh(column=column, n_columns=3) for column in range(3)] * 2
    drawn = [tuple(next_numbers(state, mesh).tolist()) for mesh in meshes]
    assert drawn[:3] == drawn[3:]
    assert len({*drawn, tuple(numbers[1].tolist())}) == 4


def test_seeding_the_first_rank_does_not_change_its_random_numbers() -> None:
    before = torch.get_rng_state()
    seed_rank(0)
    assert torch.equal(torch.get_rng_state(), before)
