"""Which implementation of EALA runs: chosen by device, or asked for by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.ops import cpu

if TYPE_CHECKING:
    from torch import Tensor

BACKENDS = ("reference", "torch", "cpu")
HALF = (torch.float16, torch.bfloat16)


def backend_for(query: Tensor, *, backend: str = "auto") -> str:
    """The name of the backend that `eala_attention` runs for such a query.

    "cpu" is the compiled kernel, "torch" plain PyTorch on any device, and "reference" the quadratic equations,
    which run only when asked for.

    Raises:
        ValueError: No such backend, or one asked for by name that cannot run.
    """
    if backend == "auto":
        return "torch" if cpu.why_not(query) else "cpu"
    if backend not in BACKENDS:
        raise ValueError(f"expected backend to be one of auto, {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "cpu" and (reason := cpu.why_not(query)):
        raise ValueError(f"expected a backend that can run, got backend='cpu': {reason}")
    return backend
