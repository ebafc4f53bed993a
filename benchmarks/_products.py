"""Record the matrix products of a call of a model, and run them again alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Callable

Product = tuple[torch.Size, torch.Size]

PRODUCTS = {
    torch.ops.aten.mm.default: (0, 1),
    torch.ops.aten.bmm.default: (0, 1),
    torch.ops.aten.addmm.default: (1, 2),
    torch.ops.aten.baddbmm.default: (1, 2),
}
"""Positions of the arguments that are multiplied."""


class ProductRecorder(TorchDispatchMode):
    """Recorder of the shapes of all matrix products, including those inside EALA's fused operator."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in PRODUCTS:
            left, right = (args[i].shape for i in PRODUCTS[func])
            self.products.append((left, right))
        elif "elinformer::eala" in func.name():
            self.products += _attention_products(args[0].shape, args[1].shape, backward="backward" in func.name())
        return func(*args, **(kwargs or {}))


def _attention_products(query: torch.Size, key: torch.Size, *, backward: bool) -> list[Product]:
    """Keys times values and queries times the state; their gradients are two products each."""
    *heads, n_queries, width = query
    sets, n_keys = torch.Size(heads).numel(), key[-2]
    build = torch.Size((sets, width, n_keys)), torch.Size((sets, n_keys, width))
    apply = torch.Size((sets, n_queries, width)), torch.Size((sets, width, width))
    build_back = torch.Size((sets, width, n_queries)), torch.Size((sets, n_queries, width))
    apply_keys = torch.Size((sets, n_keys, width)), torch.Size((sets, width, width))
    return [build_back, apply, apply_keys, apply_keys] if backward else [build, apply]


def recorded(call: Callable[[], object]) -> list[Product]:
    """Record the products of a call, in order; inference mode would hide those of linear layers."""
    with ProductRecorder() as recorder:
        call()
    return recorder.products


def replay(products: list[Product]) -> Callable[[], object]:
    """Make a function that runs such products again, on random numbers."""
    pairs = [tuple(torch.randn(shape) for shape in product) for product in products]

    def replay() -> None:
        for left, right in pairs:
            torch.matmul(left, right)

    return replay
