"""Which implementation of EALA runs: chosen by device, or asked for by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch

if TYPE_CHECKING:
    from torch import Tensor

BackendName = Literal["reference", "torch"]
HALF = (torch.float16, torch.bfloat16)


def backend_for(query: Tensor, *, backend: str = "auto") -> str:  # noqa: ARG001
    """The name of the backend that `eala_attention` runs for such tensors.

    "torch" is plain PyTorch on any device, "reference" the quadratic equations, which run only when asked for.

    Raises:
        ValueError: No such backend.
    """
    if backend == "auto":
        return "torch"
    if backend not in get_args(BackendName):
        raise ValueError(f"expected backend to be one of auto, {', '.join(get_args(BackendName))}, got {backend!r}")
    return backend
