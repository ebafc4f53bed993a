"""The attentions that are measured, what they are called with, and the least work there is."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch

from elinformer.ops import backend_for
from elinformer.ops.baselines import orthogonal_projection
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
        """In one tensor of this shape."""
        return self.B * self.H * self.N * self.E

    def __str__(self) -> str:
        return f"({self.B}, {self.H}, {self.N:,}, {self.E})"


def names() -> list[str]:
    """Of all variants; EALA in plain PyTorch has its own where another backend may be the automatic one."""
    first, *rest = OPERATORS
    return [first, PLAIN, *rest]


def variant(name: str, shape: Shape, device: str, dtype: torch.dtype) -> Callable[..., Tensor]:
    """A function of query, key and value; learned tensors are drawn here and get no gradient."""
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
    """What EALA's `auto` comes to."""
    return backend_for(torch.empty(1, 1, min(shape.N, 1024), shape.E, device=device, dtype=dtype))


def order(name: str) -> int:
    """How time grows with the length."""
    return 2 if name == "softmax" else 1


def least_bytes(shape: Shape, dtype: torch.dtype, *, backward: bool) -> int:
    """Query, key, value read and output written; then these and its gradient read again, three gradients written."""
    return (11 if backward else 4) * shape.numbers * dtype.itemsize


def least_operations(shape: Shape, *, backward: bool) -> int:
    """Multiplications and additions of building the state and applying it: two products, and four to go back."""
    return (12 if backward else 4) * shape.numbers * shape.E
