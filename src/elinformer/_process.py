"""Place of this process among those that were started together."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Tell if this process is the one that writes: the only one, or the first of those that were started.

    It is known before ranks meet, from the environment that torchrun, Slurm or Lightning set.
    """
    names = ("RANK",) if "RANK" in os.environ else ("SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
    return all(int(os.environ.get(name, "0")) == 0 for name in names)
