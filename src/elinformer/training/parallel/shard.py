"""Give a model to the ranks of a mesh, each with its share of the series; models know nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elinformer.nn.per_series import check_parts, per_series_names, replace_operators, take_rows
from elinformer.ops.sharded import sharded_attention

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from elinformer.training.parallel.exchange import Exchange, Traffic
    from elinformer.training.parallel.mesh import Mesh


class ShardedOperator:
    """The operator of an attention layer whose keys are spread over ranks."""

    def __init__(self, ranks: Exchange) -> None:
        self.ranks = ranks

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """As `elinformer.ops.eala_attention`."""
        return sharded_attention(query, key, value, ranks=self.ranks, **options)


def parallelize(module: nn.Module, mesh: Mesh, n_series: int) -> tuple[str, ...]:
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
        InputError: A model whose series cannot be on several ranks, or fewer series than ranks.
    """
    own = mesh.own_series(n_series)
    if mesh.n_columns == 1:
        return ()
    check_parts(module)
    replace_operators(module, lambda _: ShardedOperator(mesh.across_series.counted_apart()))
    take_rows(module, own, copied=True)
    return per_series_names(module)


def whole_state(
    state: Mapping[str, Tensor], names: Collection[str], mesh: Mesh, n_series: int
) -> dict[str, Tensor] | None:
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


def own_state(whole: Mapping[str, Tensor], names: Collection[str], mesh: Mesh, n_series: int) -> dict[str, Tensor]:
    """This rank's part of a state dict with all series."""
    own = mesh.own_series(n_series)
    return {name: x[own] if name in names else x for name, x in whole.items()}


def layer_traffic(module: nn.Module) -> dict[str, Traffic]:
    """What each attention layer handed in so far."""
    operators = {name: getattr(layer, "operator", None) for name, layer in module.named_modules()}
    return {name: op.ranks.traffic for name, op in operators.items() if isinstance(op, ShardedOperator)}
