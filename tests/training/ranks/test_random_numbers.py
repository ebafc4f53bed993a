"""The random numbers of ranks in a checkpoint: each its own, or others where there are other ranks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elinformer.partition.ranks import Mesh
from elinformer.training.ranks.random_numbers import draw_apart, random_state, restore_random

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def of_two_ranks() -> tuple[dict[str, object], list[Tensor]]:
    """A state as two ranks that share series write it, and what they draw next."""
    states, drawn = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(torch.get_rng_state())
        drawn.append(torch.rand(3))
    return {"mesh": [1, 2], "cpu": torch.stack(states)}, drawn


def drawn_after(state: dict[str, object], mesh: Mesh) -> Tensor:
    restore_random(state, mesh, CPU)
    return torch.rand(3)


def test_one_rank_goes_on_with_its_own() -> None:
    state = random_state(Mesh(), CPU)
    expected = torch.rand(3)
    torch.rand(5)
    assert torch.equal(drawn_after(state, Mesh()), expected)


def test_ranks_of_the_same_mesh_go_on_with_their_own() -> None:
    state, drawn = of_two_ranks()
    for column, expected in enumerate(drawn):
        assert torch.equal(drawn_after(state, Mesh(column=column, n_columns=2)), expected)


@pytest.mark.parametrize("mesh", [Mesh(), Mesh(n_columns=3), Mesh(n_rows=2)])
def test_the_first_rank_of_another_mesh_goes_on_with_what_the_first_drew(mesh: Mesh) -> None:
    state, drawn = of_two_ranks()
    assert torch.equal(drawn_after(state, mesh), drawn[0])


def test_other_ranks_of_another_mesh_draw_apart_and_the_same_every_time() -> None:
    state, drawn = of_two_ranks()
    meshes = [Mesh(column=column, n_columns=3) for column in range(3)] * 2
    again = [tuple(drawn_after(state, mesh).tolist()) for mesh in meshes]
    assert again[:3] == again[3:]
    assert len({*again, tuple(drawn[1].tolist())}) == 4


def test_drawing_apart_leaves_the_first_rank_as_it_is() -> None:
    before = torch.get_rng_state()
    draw_apart(0)
    assert torch.equal(torch.get_rng_state(), before)
