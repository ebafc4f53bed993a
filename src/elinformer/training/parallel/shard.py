"""Give a module to the ranks of a mesh, each with its share of the series; models know nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from elinformer.nn.operators import EalaAmongOthers
from elinformer.nn.per_series import check_parts, per_series_names, replace_operators, take_rows
from elinformer.ops.eala.partitioned import RankExchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from elinformer.nn.operators import EalaOperator
    from elinformer.training.parallel.exchange import Exchange, Traffic
    from elinformer.training.parallel.mesh import Mesh


class ShardedOperator(EalaAmongOthers):
    """The operator of an attention layer whose keys are spread over ranks."""

    def __init__(self, alone: EalaOperator, ranks: Exchange) -> None:
        super().__init__(alone)
        self.ranks = ranks

    def exchange(self) -> RankExchange:
        """The other ranks."""
        return RankExchange(self.ranks)


def parallelize(module: nn.Module, mesh: Mesh, n_series: int) -> Spread:
    """Change a module in place so that it computes this rank's series, exchanging states with the others of its row.

    Every rank starts from the weights of the first, with all series. Afterwards inputs and outputs hold the series
    `mesh.own_series(n_series)` alone, per-series parameters and buffers their rows, and attention is exact over all
    series.

    Args:
        module: A model, or a module around one.
        mesh: The ranks.
        n_series: How many series there are in all.

    Raises:
        InputError: A model whose series cannot be on several ranks, or fewer series than ranks.
    """
    own = mesh.own_series(n_series)
    mesh.across_all.copy_from_first([x.detach() for x in module.parameters()])
    if mesh.n_columns == 1:
        return Spread(module, mesh, n_series)
    check_parts(module)
    names = per_series_names(module)
    replace_operators(module, lambda alone: ShardedOperator(alone, mesh.across_series.counted_apart()))
    take_rows(module, own, copied=True)
    return Spread(module, mesh, n_series, frozenset(names))


@dataclass(frozen=True)
class Spread:
    """A module on the ranks of a mesh.

    Attributes:
        module: This rank's part.
        mesh: The ranks.
        n_series: How many series there are in all.
        names: Parameters and buffers of which this rank holds its own rows; the rest is the same everywhere.
    """

    module: nn.Module
    mesh: Mesh
    n_series: int
    names: frozenset[str] = frozenset()

    @property
    def gradients(self) -> tuple[list[Tensor], list[Tensor]]:
        """Gradients of what is the same everywhere, and of this rank's rows; of those that have one."""
        named = [(name, p.grad) for name, p in self.module.named_parameters() if p.grad is not None]
        own = [grad for name, grad in named if name in self.names]
        return [grad for name, grad in named if name not in self.names], own

    def whole_state(self, state: Any) -> Any:
        """A tree of dicts with all rows, where a dict has one of `names` as key; all ranks must call it.

        Below such a key, in the state of an optimiser for one, a tensor with as many rows as this rank has series
        holds those of its series.
        """
        own = self.mesh.own_series(self.n_series)
        return self._mapped(state, own.stop - own.start, self._all_rows)

    def own_state(self, state: Any) -> Any:
        """This rank's part of what `whole_state` gives."""
        own = self.mesh.own_series(self.n_series)
        return self._mapped(state, self.n_series, lambda x: x[own].clone())

    def make_whole(self) -> None:
        """Undo `parallelize`: every rank has all series again, and exchanges nothing."""
        for name in sorted(self.names):
            place, _, last = name.rpartition(".")
            holder = self.module.get_submodule(place)
            part = getattr(holder, last)
            rows = self._all_rows(part.detach())
            setattr(holder, last, nn.Parameter(rows, part.requires_grad) if isinstance(part, nn.Parameter) else rows)
        if self.mesh.n_columns > 1:
            replace_operators(self.module, lambda sharded: sharded.alone)

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


def layer_traffic(module: nn.Module) -> dict[str, Traffic]:
    """What each attention layer handed in so far."""
    operators = {name: getattr(layer, "operator", None) for name, layer in module.named_modules()}
    return {name: op.ranks.traffic for name, op in operators.items() if isinstance(op, ShardedOperator)}
