"""Which implementation of EALA runs: chosen by device, or asked for by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.ops import cpu, triton

if TYPE_CHECKING:
    from torch import Tensor

BACKENDS = ("reference", "torch", "cpu", "triton")
HALF = (torch.float16, torch.bfloat16)


def backend_for(query: Tensor, value: Tensor | None = None, *, backend: str = "auto") -> str:
    """The name of the backend that `eala_attention` runs for such a query (and value, if its width differs).

    "triton" are the GPU kernels, "cpu" is the compiled CPU kernel, "torch" plain PyTorch on any device, and
    "reference" the quadratic equations, which run only when asked for.

    Raises:
        ValueError: No such backend, or one asked for by name that cannot run.
    """
    value = query if value is None else value
    if backend == "auto":
        return _best(query, value)
    if backend not in BACKENDS:
        raise ValueError(f"expected backend to be one of auto, {', '.join(BACKENDS)}, got {backend!r}")
    if reason := _why_not(backend, query, value):
        raise ValueError(f'expected a backend that can run, got {backend!r}: {reason}; backend="auto" finds one')
    return backend


def _best(query: Tensor, value: Tensor) -> str:
    kernel = "cpu" if query.device.type == "cpu" else "triton"
    return "torch" if _why_not(kernel, query, value) else kernel


def _why_not(backend: str, query: Tensor, value: Tensor) -> str | None:
    if backend == "cpu":
        return cpu.why_not(query)
    if backend == "triton" and not triton.is_available(query.device):
        return f"no Triton, or no GPU that it compiles for, with tensors on {query.device}"
    if backend == "triton" and not triton.supports(query, value):
        return f"no kernel for {query.dtype} and head dims {query.shape[-1]} and {value.shape[-1]}"
    return None
