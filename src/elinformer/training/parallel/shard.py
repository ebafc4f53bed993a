"""Give a model to the ranks of a mesh, each with its share of the series; models know nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elinformer.errors import InputError
from elinformer.nn import EntropyLinearAttention
from elinformer.ops.eala import eala_attention
from elinformer.ops.sharded import sharded_attention

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elinformer.training.parallel.exchange import Exchange, Traffic
    from elinformer.training.parallel.mesh import Mesh

PER_SERIES = ("series.weight", "mean", "std", "error_scale")
"""How names of parameters and buffers end that have one row a series."""


class ShardedOperator:
    """The operator of an attention layer whose keys are spread over ranks."""

    def __init__(self, ranks: Exchange) -> None:
        self.ranks = ranks

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """As `elinformer.ops.eala_attention`."""
        return sharded_attention(query, key, value, ranks=self.ranks, **options)


def parallelize(module: nn.Module, mesh: Mesh, n_series: int) -> list[str]:
    """Change a module in place so that it computes this rank's series, exchanging states with the others of its row.

    Every rank starts from the same module, with all series. Afterwards inputs and outputs hold the series
    `mesh.own_series(n_series)` alone, per-series parameters and buffers their rows, and attention is exact over all
    series.

    Args:
        module: A model, or a module around one.
        mesh: The ranks.
        n_series: How many series there are in all.

    Returns:
        Names of the parameters and buffers of which this rank holds its own rows; the rest is the same everywhere.

    Raises:
        InputError: Attention other than EALA, whose keys cannot be on several ranks, or fewer series than ranks.
    """
    own = mesh.own_series(n_series)
    if mesh.n_columns == 1:
        return []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.MultiheadAttention):
            _check_operator(name, layer)
            setattr(layer, "operator", ShardedOperator(mesh.across_series.counted_apart()))  # noqa: B010 no module
    names = per_series_names(module, n_series)
    for name in names:
        owner, _, last = name.rpartition(".")
        holder = module.get_submodule(owner)
        rows = getattr(holder, last).detach()[own].clone()
        setattr(holder, last, nn.Parameter(rows) if last in dict(holder.named_parameters(recurse=False)) else rows)
    return names


def _check_operator(name: str, layer: nn.MultiheadAttention) -> None:
    operator = layer.operator if isinstance(layer, EntropyLinearAttention) else nn.MultiheadAttention
    if operator is not eala_attention:
        raise InputError(
            f"expected EALA in {name} to spread series over ranks, got {getattr(operator, '__name__', operator)}: only "
            "its keys come down to a state, so use series_parallel=1"
        )


def per_series_names(module: nn.Module, n_series: int) -> list[str]:
    """Names of the parameters and buffers that have one row for each of `n_series` series."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return [
        name
        for name, x in tensors.items()
        if any(f".{name}".endswith(f".{end}") for end in PER_SERIES) and x.ndim and len(x) == n_series
    ]


def whole_state(state: Mapping[str, Tensor], names: list[str], mesh: Mesh, n_series: int) -> dict[str, Tensor] | None:
    """A state dict with all series, on the first rank; None on the others. All ranks must call it.

    Args:
        state: Of this rank.
        names: The entries that have one row a series.
        mesh: The ranks.
        n_series: How many series there are in all.
    """
    slices = [mesh.series_of(column, n_series) for column in range(mesh.n_columns)]
    sizes = [part.stop - part.start for part in slices]
    rows = {name: mesh.across_series.rows(state[name], sizes) for name in names if name in state and mesh.row == 0}
    if not mesh.is_first:
        return None
    return {name: torch.cat(rows[name] or []) if name in rows else x for name, x in state.items()}


def own_state(whole: Mapping[str, Tensor], names: list[str], mesh: Mesh, n_series: int) -> dict[str, Tensor]:
    """This rank's part of a state dict with all series."""
    own = mesh.own_series(n_series)
    return {name: x[own] if name in names else x for name, x in whole.items()}


def layer_traffic(module: nn.Module) -> dict[str, Traffic]:
    """What each attention layer handed in so far."""
    operators = {name: getattr(layer, "operator", None) for name, layer in module.named_modules()}
    return {name: op.ranks.traffic for name, op in operators.items() if isinstance(op, ShardedOperator)}
