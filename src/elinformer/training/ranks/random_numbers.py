"""The random numbers of ranks: each draws its own, and a checkpoint has those of all."""

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
    """Draw PyTorch's random numbers from a seed; those of the caller stay as they are."""
    with isolate_rng():
        torch.manual_seed(seed)
        yield


def draw_apart(rank: int) -> None:
    """Give a rank random numbers of its own, which follow from those of the first; the first goes on with its own."""
    following = int(torch.randint(1 << 62, (1,), generator=torch.Generator().set_state(torch.get_rng_state())))
    if rank:
        torch.manual_seed(following + rank)


def random_state(mesh: Mesh, device: torch.device) -> dict[str, Any]:
    """The states of PyTorch's random numbers, on the CPU and on `device`, with a row a rank; all ranks must call it."""
    own = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        own[device.type] = torch.get_device_module(device).get_rng_state()
    rows = {kind: mesh.across_all.rows(state[None], [1] * mesh.n_ranks) for kind, state in own.items()}
    return {"mesh": list(mesh.shape), **rows}


def restore_random(state: dict[str, Any], mesh: Mesh, device: torch.device) -> None:
    """Go on with the random numbers of `random_state`, each rank with its own.

    Ranks of another mesh draw numbers that follow from those of the first; another kind of device begins its own.
    """
    is_same = tuple(state["mesh"]) == mesh.shape
    rank = mesh.rank if is_same else 0
    torch.set_rng_state(state["cpu"][rank].clone())
    if device.type != "cpu" and device.type in state:
        torch.get_device_module(device).set_rng_state(state[device.type][rank].clone())
    if not is_same:
        draw_apart(mesh.rank)
