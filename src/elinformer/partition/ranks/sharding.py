"""Modules on the ranks of a mesh, each with a shard of the series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from elinformer.ops.eala.partitioned import RankExchange
from elinformer.partition.chain import check_partitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from elinformer.partition.ranks.group import Traffic
    from elinformer.partition.ranks.mesh import Mesh


def shard_module(module: nn.Module, mesh: Mesh, n_series: int) -> ShardedModule:
    """Reduce a module, in place, to the shard of the series of this rank.

    Every rank starts from the weights of the first rank. Afterwards, inputs and outputs have only the series
    `mesh.own_series(n_series)`, and per-series parameters and buffers have only the rows of these. Attention is exact
    over all series if the blocks get the `exchanges`: see `elinformer.partition.run_chain`.

    Args:
        module: A model with `per_series` and `blocks`, or a module around such a model.
        mesh: The ranks.
        n_series: N, the number of series of all ranks.

    Raises:
        InputError: The model needs all series at once, or there are fewer series than ranks.
    """
    shard = mesh.own_series(n_series)
    mesh.across_all.copy_from_first([x.detach() for x in module.parameters()])
    if mesh.n_columns == 1:
        return ShardedModule(module, mesh, n_series)
    check_partitions(module)
    model: Any = module
    names = tuple(model.per_series)
    for name in names:
        _replace_rows(module, name, lambda x: x[shard].clone())
    exchanges = [RankExchange(mesh.across_series.with_new_count()) if block.attends else None for block in model.blocks]
    return ShardedModule(module, mesh, n_series, frozenset(names), exchanges)


@dataclass(frozen=True)
class ShardedModule:
    """Module on the ranks of a mesh.

    Attributes:
        module: The module of this rank.
        mesh: The ranks.
        n_series: N, the number of series of all ranks.
        names: Names of the sharded parameters and buffers. All others are equal on all ranks.
        exchanges: Access to the keys of the other ranks, one for each block; empty if every rank holds all series.
    """

    module: nn.Module
    mesh: Mesh
    n_series: int
    names: frozenset[str] = frozenset()
    exchanges: list[RankExchange | None] = field(default_factory=list)

    @property
    def gradients(self) -> tuple[list[Tensor], list[Tensor]]:
        """Gradients of the shared parameters, and of the sharded parameters."""
        gradients = [(name, p.grad) for name, p in self.module.named_parameters() if p.grad is not None]
        shared = [gradient for name, gradient in gradients if name not in self.names]
        return shared, [gradient for name, gradient in gradients if name in self.names]

    @property
    def traffic(self) -> list[Traffic]:
        """Count of the messages of every attention layer so far."""
        groups: list[Any] = [exchange.group for exchange in self.exchanges if exchange is not None]
        return [group.traffic for group in groups]

    def whole_state(self, state: Any) -> Any:
        """Gather the rows of all series in a tree of dicts. All ranks have to call it.

        The function replaces tensors below a key of `names`, for example in the state of an optimiser, if they have one
        row for each series of this rank.
        """
        shard = self.mesh.own_series(self.n_series)
        return self._map(state, shard.stop - shard.start, self._gather_rows)

    def own_state(self, state: Any) -> Any:
        """Return the shard of this rank of a tree that `whole_state` returned."""
        shard = self.mesh.own_series(self.n_series)
        return self._map(state, self.n_series, lambda x: x[shard].clone())

    def make_whole(self) -> None:
        """Undo `shard_module`: every rank holds all series again. All ranks have to call it."""
        for name in sorted(self.names):
            _replace_rows(self.module, name, self._gather_rows)
        self.exchanges.clear()

    def _gather_rows(self, x: Tensor) -> Tensor:
        shards = [self.mesh.series_of(column, self.n_series) for column in range(self.mesh.n_columns)]
        return self.mesh.across_series.rows(x, [shard.stop - shard.start for shard in shards])

    def _map(self, state: Any, n_rows: int, change: Callable[[Tensor], Tensor], *, below: bool = False) -> Any:
        if isinstance(state, dict):
            return {
                key: self._map(value, n_rows, change, below=below or key in self.names) for key, value in state.items()
            }
        has_rows = below and isinstance(state, Tensor) and state.ndim > 0 and len(state) == n_rows
        return change(state) if has_rows else state


def _replace_rows(module: nn.Module, name: str, change: Callable[[Tensor], Tensor]) -> None:
    """Replace the rows of a parameter or buffer."""
    path, _, attribute = name.rpartition(".")
    owner = module.get_submodule(path)
    old = getattr(owner, attribute)
    rows = change(old.detach())
    setattr(owner, attribute, nn.Parameter(rows, old.requires_grad) if isinstance(old, nn.Parameter) else rows)
