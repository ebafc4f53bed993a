"""Lightning's strategy for a mesh of ranks, and how the rest of training reads its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import DDPStrategy

from elinformer.partition.ranks import Mesh, ShardedModule, clip_gradients, shard_module, sum_gradients
from elinformer.training.ranks.loaders import own_loader
from elinformer.training.ranks.random_numbers import draw_apart

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytorch_lightning as pl


@dataclass
class Wishes:
    """Requests of signals to a training, on one rank or on all.

    Attributes:
        stop: To end after the step in progress, with the best weights so far.
        leave: To exit after the step in progress, with a checkpoint.
    """

    stop: bool = False
    leave: bool = False


class MeshStrategy(DDPStrategy):
    """Trains a `ForecastModule` on ranks that share windows, series or both, to the weights of a single process.

    As Lightning's own for data-parallel training it starts the other ranks itself, or is started by torchrun. What
    differs: the loss is the mean over the targets of all ranks, `series_parallel` ranks at a time hold the series of
    a window, and the norm that gradients are clipped to is that of the whole gradient.

    Args:
        series_parallel: Ranks that share the series of a window; it divides their number.
        options: Of `DDPStrategy`.

    Attributes:
        sharded: The module on its ranks.
        wishes: Requests to this rank.
        agreed: Requests to any rank before its last step; the same on all.
    """

    def __init__(self, series_parallel: int = 1, **options: Any) -> None:
        self._precision = _WholeNorm()
        super().__init__(precision_plugin=self._precision, **options)
        self.series_parallel = series_parallel
        self.sharded: ShardedModule | None = None
        self.wishes, self.agreed = Wishes(), Wishes()

    def setup(self, trainer: pl.Trainer) -> None:
        """Shard the module, before its optimiser is made; every rank draws its own random numbers from here on."""
        module: Any = self.lightning_module
        module.mesh = Mesh.of_world(self.series_parallel, device=self.root_device)
        self.sharded = self._precision.sharded = shard_module(module, module.mesh, len(module.error_scale))
        module.exchanges = self.sharded.exchanges
        draw_apart(self.global_rank)
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """Leave the module as it is: gradients are added up before each step of the optimiser."""

    def optimizer_step(
        self,
        optimizer: torch.optim.Optimizer,
        closure: Callable[[], Any],
        model: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Step once the gradients are those of all ranks."""

        def with_sums() -> Any:
            result = closure()
            self._sum_gradients()
            return result

        return super().optimizer_step(optimizer, with_sums, model, **kwargs)

    def process_dataloader(self, dataloader: Any) -> Any:
        """The same batches, with this rank's windows and series alone."""
        sharded = self._sharded()
        return own_loader(dataloader, sharded.mesh, sharded.n_series)

    def _sum_gradients(self) -> None:
        """Beside them goes what is asked of a rank, so that all heed it after the same step."""
        asked = torch.tensor([self.wishes.stop, self.wishes.leave], dtype=torch.float32, device=self.root_device)
        sum_gradients(self._sharded(), beside=[asked])
        self.agreed = Wishes(*(ranks > 0 for ranks in asked.tolist()))

    def _sharded(self) -> ShardedModule:
        if self.sharded is None:
            raise AssertionError("the module is sharded when training is set up")
        return self.sharded


class _WholeNorm(Precision):
    """Clipping by the norm of the gradient of all ranks."""

    sharded: ShardedModule | None = None

    def clip_grad_by_norm(self, optimizer: torch.optim.Optimizer, clip_val: float) -> None:  # noqa: ARG002
        """Clip all gradients of the module, which are those of the optimiser."""
        if self.sharded is not None:
            clip_gradients(self.sharded, float(clip_val))


def sharded_of(trainer: pl.Trainer) -> ShardedModule | None:
    """Return the module of a trainer on its ranks; None on a single rank."""
    return trainer.strategy.sharded if isinstance(trainer.strategy, MeshStrategy) else None


def mesh_of(trainer: pl.Trainer) -> Mesh:
    """Return the ranks of a trainer."""
    sharded = sharded_of(trainer)
    return Mesh() if sharded is None else sharded.mesh


def whole_state(trainer: pl.Trainer, state: Any) -> Any:
    """Return the state of a training with all series, which any number of ranks can resume; all ranks must call it."""
    sharded = sharded_of(trainer)
    return state if sharded is None else sharded.whole_state(state)


def own_state(trainer: pl.Trainer, state: Any) -> Any:
    """Return this rank's part of a state that `whole_state` gave."""
    sharded = sharded_of(trainer)
    return state if sharded is None else sharded.own_state(state)
