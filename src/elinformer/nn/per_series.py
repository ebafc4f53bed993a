"""Modules that can be given a part of their series: in chunks, or on several ranks.

Such a module has an attribute `per_series`, the names of its parameters and buffers with one row a series, and its
series meet nowhere but in attention layers. With EALA in these, the keys of a part come down to a state, so that the
parts together compute what the whole does. It may have another, `chain`: the name of a ModuleList of blocks with one
attention layer each, where what one block returns goes into the next and nowhere else.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from torch import nn

from elinformer.errors import InputError
from elinformer.nn.attention import EntropyLinearAttention
from elinformer.nn.operators import EalaOperator

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Attend = Callable[..., Tensor]


def why_whole(module: nn.Module) -> str | None:
    """Why a module needs all series at once; None where it can be given a part of them."""
    if getattr(module, "per_series", None) is None:
        model = type(getattr(module, "model", module)).__name__
        return f"{model} does not say which of its parameters belong to series (`per_series`)"
    for name, layer in _attention_layers(module):
        operator = layer.operator if isinstance(layer, EntropyLinearAttention) else nn.MultiheadAttention
        if not isinstance(operator, EalaOperator):
            called = getattr(operator, "__name__", type(operator).__name__)
            return f"{name} is {called}, and the keys of EALA alone come down to a state"
    return None


def check_parts(module: nn.Module) -> None:
    """Refuse a module that needs all series at once.

    Raises:
        InputError: It does.
    """
    if reason := why_whole(module):
        raise InputError(f"expected a model whose series can be computed in parts, but {reason}")


def view_of(module: nn.Module) -> nn.Module:
    """A module of the same tensors, which can be given other tensors and operators without changing `module`."""
    view = copy.copy(module)
    for table in ("_parameters", "_buffers"):
        vars(view)[table] = dict(vars(module)[table])
    vars(view)["_modules"] = {name: child and view_of(child) for name, child in vars(module)["_modules"].items()}
    return view


def take_rows(module: nn.Module, own: slice | Tensor, *, source: nn.Module | None = None, copied: bool = False) -> None:
    """Keep the rows of the series `own` alone, of what has one row a series.

    Args:
        module: What is changed.
        own: Which series: a slice, or their numbers in any order.
        source: Where all rows are; the module itself by default.
        copied: Whether the rows are copied, so that the others can be forgotten.
    """
    for name in per_series_names(module):
        place, _, last = name.rpartition(".")
        holder = module.get_submodule(place)
        whole = getattr((source or module).get_submodule(place), last)
        rows = whole.detach()[own].clone() if copied else whole.detach()[own]
        setattr(holder, last, nn.Parameter(rows, whole.requires_grad) if isinstance(whole, nn.Parameter) else rows)


def per_series_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the parameters and buffers that have one row a series."""
    return tuple(getattr(module, "per_series", ()))


def chained_blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks of a model, or of a module around one, that says they are a chain; none elsewhere."""
    model = getattr(module, "model", module)
    chain = getattr(model, "chain", None)
    return [] if chain is None else list(model.get_submodule(chain).children())


def replace_operators(module: nn.Module, new: Callable[[Any], Attend]) -> None:
    """Give every attention layer `new(operator)` in place of the operator it has."""
    for _, layer in _attention_layers(module):
        # Not a module, so not by attribute: `nn.Module` types those as tensors and modules.
        vars(layer)["operator"] = new(layer.operator)


def _attention_layers(module: nn.Module) -> list[tuple[str, nn.MultiheadAttention]]:
    return [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.MultiheadAttention)]
