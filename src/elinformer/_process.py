"""Rank of this process among the processes that were started together."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Return True if this process is the only one or has rank 0. This process writes files and messages.

    The rank comes from the environment variables of torchrun, Slurm or Lightning. torch.distributed need not run yet.
    """
    names = ("RANK",) if "RANK" in os.environ else ("SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
    return all(int(os.environ.get(name, "0")) == 0 for name in names)
