"""Where training runs: how many ranks on how many machines, and what they share."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL communicator was aborted")
"""What PyTorch's errors say where a rank is gone."""


@dataclass(frozen=True)
class Machines:
    """Devices of one or several machines; nothing of it changes what is trained.

    Attributes:
        devices: Devices of each machine, one rank each; None = as many as torchrun started, or one.
        num_nodes: Machines; None = as many as torchrun knows, or one.
        series_parallel: Ranks that share the series of a window. The others share the windows of a batch.
    """

    devices: int | None = None
    num_nodes: int | None = None
    series_parallel: int = 1

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "series_parallel"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"expected {name} of at least 1, got {value}")
        if self.world % self.series_parallel:
            raise InputError(
                f"expected series_parallel to divide the number of ranks, {self.world}, got {self.series_parallel}: "
                "each group of so many ranks holds all series once"
            )

    @property
    def ranks_each(self) -> int:
        """Ranks of a machine."""
        return self.devices or int(os.environ.get("LOCAL_WORLD_SIZE", "1"))

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.num_nodes or int(os.environ.get("GROUP_WORLD_SIZE", "1"))

    @property
    def world(self) -> int:
        """Ranks in all."""
        return self.ranks_each * self.nodes

    def trainer_options(self) -> dict[str, Any]:
        """What Lightning's Trainer has to be told.

        Raises:
            InputError: torchrun started another number of ranks.
        """
        started = os.environ.get("TORCHELASTIC_RUN_ID") and int(os.environ["WORLD_SIZE"])
        if started and started != self.world:
            raise InputError(
                f"expected devices times num_nodes to be the {started} ranks that torchrun started, got "
                f"{self.ranks_each} x {self.nodes}: leave them out"
            )
        if self.world == 1:
            return {"devices": 1}
        from elinformer.training.ranks.strategy import MeshStrategy

        return {
            "devices": self.ranks_each,
            "num_nodes": self.nodes,
            "strategy": MeshStrategy(self.series_parallel),
            "use_distributed_sampler": False,
        }


@contextmanager
def lost_ranks_named(run: Path | None) -> Generator[None]:
    """Say in one sentence that another rank ended, which PyTorch does in the words of its sockets.

    Raises:
        InputError: In the place of PyTorch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error) for word in LOST):
            raise
        then = "" if run is None else f", and go on with `elinformer train --resume {run}`, on any number of ranks"
        raise InputError(
            f"expected all ranks to train to the end, but another one ended, so this one does too: see what that one "
            f"said{then}"
        ) from error
