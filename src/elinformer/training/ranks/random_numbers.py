"""Random numbers of ranks: each rank draws its own, and a checkpoint holds the states of all."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng

if TYPE_CHECKING:
    from collections.abc import Generator

    from elinformer.partition.ranks import Mesh


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Seed PyTorch's random numbers; restore those of the caller at the end."""
    with isolate_rng():
        torch.manual_seed(seed)
        yield


def seed_rank(rank: int) -> None:
    """Give a rank its own random numbers, derived from those of the first rank, which keeps its own."""
    derived_seed = int(torch.randint(1 << 62, (1,), generator=torch.Generator().set_state(torch.get_rng_state())))
    if rank:
        torch.manual_seed(derived_seed + rank)


def random_state(mesh: Mesh, device: torch.device) -> dict[str, Any]:
    """Return the states of PyTorch's random numbers on the CPU and on `device`, one row a rank.

    All ranks must call this function.
    """
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    rows = {kind: mesh.across_all.rows(state[None], [1] * mesh.n_ranks) for kind, state in states.items()}
    return {"mesh": list(mesh.shape), **rows}


def restore_random_state(state: dict[str, Any], mesh: Mesh, device: torch.device) -> None:
    """Restore the random numbers of `random_state`, those of each rank.

    Ranks of a mesh of another shape derive theirs from the first rank. A device of another kind keeps its own state.
    """
    is_same_mesh = tuple(state["mesh"]) == mesh.shape
    rank = mesh.rank if is_same_mesh else 0
    torch.set_rng_state(state["cpu"][rank].clone())
    if device.type != "cpu" and device.type in state:
        torch.get_device_module(device).set_rng_state(state[device.type][rank].clone())
    if not is_same_mesh:
        seed_rank(mesh.rank)
