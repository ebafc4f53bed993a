"""The measured attentions, their arguments, and the least possible work."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch

from elinformer.ops import backend_for
from elinformer.ops.baselines.performer import orthogonal_projection
from elinformer.ops.registry import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PLAIN = "eala, plain PyTorch"
RANK = 64  # Linformer's mixtures, Nystromformer's landmarks


class Shape(NamedTuple):
    """Batch, heads, length, head dim."""

    B: int
    H: int
    N: int
    E: int

    @property
    def numbers(self) -> int:
        """Count of numbers in one tensor of this shape."""
        return self.B * self.H * self.N * self.E

    def __str__(self) -> str:
        return f"({self.B}, {self.H}, {self.N:,}, {self.E})"


def names() -> list[str]:
    """Names of all variants; EALA in plain PyTorch is one of its own beside the automatic backend."""
    first, *rest = OPERATORS
    return [first, PLAIN, *rest]


def variant(name: str, shape: Shape, device: str, dtype: torch.dtype) -> Callable[..., Tensor]:
    """Make a function of query, key and value; learned tensors are drawn here and get no gradient."""
    if name == PLAIN:
        return partial(OPERATORS["eala"].call, backend="torch")
    call = OPERATORS[name].call
    if name == "performer":
        drawn = orthogonal_projection(max(1, int(shape.E * math.log(shape.E))), shape.E)
        return partial(call, projection=drawn.to(device, dtype))
    if name == "linformer":
        tensors = {n: torch.randn(RANK, shape.N, device=device, dtype=dtype) for n in OPERATORS[name].given}
        return partial(call, **tensors)
    if name == "focused":
        return partial(call, kernel=torch.randn(shape.E, 5, device=device, dtype=dtype))
    return call


def chosen_backend(shape: Shape, device: str, dtype: torch.dtype) -> str:
    """Backend that `auto` chooses for EALA."""
    return backend_for(torch.empty(1, 1, min(shape.N, 1024), shape.E, device=device, dtype=dtype))


def order(name: str) -> int:
    """Exponent of the length in the time."""
    return 2 if name == "softmax" else 1


def least_bytes(shape: Shape, dtype: torch.dtype, *, backward: bool) -> int:
    """Bytes to read q, k, v and write the output; backward also reads these and a gradient and writes three."""
    return (11 if backward else 4) * shape.numbers * dtype.itemsize


def least_operations(shape: Shape, *, backward: bool) -> int:
    """Operations to build the state and to apply it: two products, and four more for the backward pass."""
    return (12 if backward else 4) * shape.numbers * shape.E
