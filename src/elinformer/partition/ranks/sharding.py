"""Modules on the ranks of a mesh, each with its shard of the series."""

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
    """Leave this rank's series alone in a module, in place, and give it an exchange with the ranks of its row.

    Every rank starts from the weights of the first, with all series. Afterwards inputs and outputs hold the series
    `mesh.own_series(n_series)` alone, and per-series parameters and buffers their rows. Attention is exact over all
    series where the blocks are given `exchanges`: see `elinformer.partition.run_chain`.

    Args:
        module: A model with `per_series` and `blocks`, or a module around one.
        mesh: The ranks.
        n_series: Number of series in all.

    Raises:
        InputError: A model whose series cannot be on several ranks, or fewer series than ranks.
    """
    own = mesh.own_series(n_series)
    mesh.across_all.copy_from_first([x.detach() for x in module.parameters()])
    if mesh.n_columns == 1:
        return ShardedModule(module, mesh, n_series)
    check_partitions(module)
    whole: Any = module
    names = tuple(whole.per_series)
    for name in names:
        _replace_rows(module, name, lambda x: x[own].clone())
    exchanges = [RankExchange(mesh.across_series.counted_apart()) if block.attends else None for block in whole.blocks]
    return ShardedModule(module, mesh, n_series, frozenset(names), exchanges)


@dataclass(frozen=True)
class ShardedModule:
    """A module on the ranks of a mesh.

    Attributes:
        module: This rank's part.
        mesh: The ranks.
        n_series: Number of series in all.
        names: Parameters and buffers of which this rank holds its own rows; the rest is the same everywhere.
        exchanges: Access to the keys of the other ranks, one a block; empty where every rank holds all series.
    """

    module: nn.Module
    mesh: Mesh
    n_series: int
    names: frozenset[str] = frozenset()
    exchanges: list[RankExchange | None] = field(default_factory=list)

    @property
    def gradients(self) -> tuple[list[Tensor], list[Tensor]]:
        """Gradients of what is the same everywhere, and of this rank's rows; of parameters that have one."""
        named = [(name, p.grad) for name, p in self.module.named_parameters() if p.grad is not None]
        own = [grad for name, grad in named if name in self.names]
        return [grad for name, grad in named if name not in self.names], own

    @property
    def traffic(self) -> list[Traffic]:
        """Messages and bytes of every attention layer so far."""
        groups: list[Any] = [exchange.group for exchange in self.exchanges if exchange is not None]
        return [group.traffic for group in groups]

    def whole_state(self, state: Any) -> Any:
        """Return a tree of dicts with all rows, where a dict has one of `names` as key; all ranks must call it.

        Below such a key, in the state of an optimiser for example, a tensor with as many rows as this rank has series
        holds those of its series.
        """
        own = self.mesh.own_series(self.n_series)
        return self._mapped(state, own.stop - own.start, self._all_rows)

    def own_state(self, state: Any) -> Any:
        """Return this rank's part of a tree that `whole_state` gave."""
        own = self.mesh.own_series(self.n_series)
        return self._mapped(state, self.n_series, lambda x: x[own].clone())

    def make_whole(self) -> None:
        """Undo `shard_module`: every rank holds all series again. All ranks must call it."""
        for name in sorted(self.names):
            _replace_rows(self.module, name, self._all_rows)
        self.exchanges.clear()

    def _all_rows(self, x: Tensor) -> Tensor:
        slices = [self.mesh.series_of(column, self.n_series) for column in range(self.mesh.n_columns)]
        return self.mesh.across_series.rows(x, [part.stop - part.start for part in slices])

    def _mapped(self, state: Any, n_rows: int, change: Callable[[Tensor], Tensor], *, below: bool = False) -> Any:
        if isinstance(state, dict):
            return {
                key: self._mapped(value, n_rows, change, below=below or key in self.names)
                for key, value in state.items()
            }
        has_rows = below and isinstance(state, Tensor) and state.ndim > 0 and len(state) == n_rows
        return change(state) if has_rows else state


def _replace_rows(module: nn.Module, name: str, change: Callable[[Tensor], Tensor]) -> None:
    """Put other rows into a parameter or buffer."""
    place, _, last = name.rpartition(".")
    holder = module.get_submodule(place)
    before = getattr(holder, last)
    rows = change(before.detach())
    setattr(holder, last, nn.Parameter(rows, before.requires_grad) if isinstance(before, nn.Parameter) else rows)
