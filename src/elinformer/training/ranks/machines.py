"""Machines and devices of a training: the number of ranks, and how many of them share the series of a window."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator

    from elinformer.run_folder.folder import UnfinishedRun


LOST_RANK_MESSAGES = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "NCCL communicator was aborted",
)
"""Parts of PyTorch's error messages after another rank ended."""


@dataclass(frozen=True)
class Machines:
    """Devices of one or several machines; they do not change the result of training.

    Attributes:
        devices: Devices of each machine, one rank each; None = as many as torchrun started, or one.
        num_nodes: Number of machines; None = as many as torchrun started, or one.
        series_parallel: Number of ranks that share the series of a window. The others share the windows of a batch.
    """

    devices: int | None = None
    num_nodes: int | None = None
    series_parallel: int = 1

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "series_parallel"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"expected {name} of at least 1, got {value}")
        if self.n_ranks % self.series_parallel:
            raise InputError(
                f"expected series_parallel to divide the number of ranks, {self.n_ranks}, got {self.series_parallel}: "
                "each group of so many ranks holds all series once"
            )

    @property
    def ranks_per_machine(self) -> int:
        """Ranks of each machine."""
        return self.devices or int(os.environ.get("LOCAL_WORLD_SIZE", "1"))

    @property
    def n_machines(self) -> int:
        """Number of machines."""
        return self.num_nodes or int(os.environ.get("GROUP_WORLD_SIZE", "1"))

    @property
    def n_ranks(self) -> int:
        """Number of ranks on all machines."""
        return self.ranks_per_machine * self.n_machines

    def trainer_options(self) -> dict[str, Any]:
        """Return the options of Lightning's Trainer.

        Raises:
            InputError: torchrun started another number of ranks.
        """
        n_started = os.environ.get("TORCHELASTIC_RUN_ID") and int(os.environ["WORLD_SIZE"])
        if n_started and n_started != self.n_ranks:
            raise InputError(
                f"expected devices times num_nodes to be the {n_started} ranks that torchrun started, got "
                f"{self.ranks_per_machine} x {self.n_machines}: leave both out"
            )
        if self.n_ranks == 1:
            return {"devices": 1}
        from elinformer.training.ranks.strategy import MeshStrategy

        return {
            "devices": self.ranks_per_machine,
            "num_nodes": self.n_machines,
            "strategy": MeshStrategy(self.series_parallel),
            "use_distributed_sampler": False,
        }


@contextmanager
def explain_lost_rank(run: UnfinishedRun | None) -> Generator[None]:
    """Replace PyTorch's error about a closed socket by one sentence: another rank ended.

    Raises:
        InputError: In place of PyTorch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(message in str(error) for message in LOST_RANK_MESSAGES):
            raise
        advice = "" if run is None else f", then resume with {run.resume_command} on any number of ranks"
        raise InputError(
            f"expected all ranks to train to the end, but another rank ended, so this one ends too: read the error of "
            f"that rank{advice}"
        ) from error
