"""Sizes of stored weights, compared with those of a model while it is built."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.nn.modules.module import register_module_parameter_registration_hook

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from torch import Tensor, nn

SPARE = 16
"""Parameters that a model may make beyond those that are stored, for example because it ties some."""


@contextmanager
def refuse_other_sizes(weights: Mapping[str, Tensor]) -> Generator[None]:
    """Refuse a model that is built in this context if the weights cannot be its own.

    A parameter is checked when it is made, before it has values: a size of a damaged file takes neither memory nor
    time.

    Raises:
        RuntimeError: The model makes more parameters than are stored, or larger ones.
    """
    most, largest = len(weights) + SPARE, max((weight.numel() for weight in weights.values()), default=0)
    made = 0

    def check(module: nn.Module, _name: str, parameter: Any) -> None:
        nonlocal made
        made += parameter is not None
        if made > most or (parameter is not None and parameter.numel() > largest):
            raise RuntimeError(f"{type(module).__name__} needs more or larger weights than are stored")

    handle = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        handle.remove()
