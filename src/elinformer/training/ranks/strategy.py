"""Lightning strategy for a mesh of ranks, and functions that gather and shard the state of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import DDPStrategy

from elinformer.partition.ranks import Mesh, ShardedModule, clip_gradients, shard_module, sum_gradients
from elinformer.training.batches import shard_loader
from elinformer.training.ranks.random_numbers import seed_rank

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytorch_lightning as pl


@dataclass
class StopRequests:
    """Requests of signals to end a training, on one rank or on all.

    Attributes:
        interrupt: End training after the current step and keep the best weights (Ctrl-C).
        terminate: Exit after the current step with a checkpoint (SIGTERM).
    """

    interrupt: bool = False
    terminate: bool = False


class MeshStrategy(DDPStrategy):
    """Trains a `ForecastModule` on ranks that share windows, series or both; a single process finds the same weights.

    As Lightning's data-parallel strategy, it starts the other ranks itself or is started by torchrun. There are three
    differences: the loss is the mean over the targets of all ranks, groups of `series_parallel` ranks hold the series
    of a window together, and gradients are clipped by the norm of the whole gradient.

    Args:
        series_parallel: Number of ranks that share the series of a window; it divides the number of ranks.
        options: Options of `DDPStrategy`.

    Attributes:
        sharded: The module on its ranks.
        requests: Requests to this rank.
        agreed_requests: Requests to any rank before its last step; the same on all ranks.
    """

    def __init__(self, series_parallel: int = 1, **options: Any) -> None:
        self._precision = _GlobalNormClipping()
        super().__init__(precision_plugin=self._precision, **options)
        self.series_parallel = series_parallel
        self.sharded: ShardedModule | None = None
        self.requests, self.agreed_requests = StopRequests(), StopRequests()

    def setup(self, trainer: pl.Trainer) -> None:
        """Shard the module before its optimiser is created, and seed the random numbers of this rank."""
        module: Any = self.lightning_module
        module.mesh = Mesh.of_world(self.series_parallel, device=self.root_device)
        self.sharded = self._precision.sharded = shard_module(module, module.mesh, len(module.error_scale))
        module.exchanges = self.sharded.exchanges
        seed_rank(self.global_rank)
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """Keep the module unwrapped: `optimizer_step` sums the gradients of the ranks."""

    def optimizer_step(
        self,
        optimizer: torch.optim.Optimizer,
        closure: Callable[[], Any],
        model: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Sum the gradients of all ranks, then step."""

        def closure_with_sums() -> Any:
            loss = closure()
            self._sum_gradients()
            return loss

        return super().optimizer_step(optimizer, closure_with_sums, model, **kwargs)

    def process_dataloader(self, dataloader: Any) -> Any:
        """Return the same batches, with this rank's windows and series alone."""
        sharded = self._sharded()
        return shard_loader(dataloader, sharded.mesh, sharded.n_series)

    def _sum_gradients(self) -> None:
        """Sum the gradients and the stop requests of all ranks, so that all of them stop after the same step."""
        flags = [self.requests.interrupt, self.requests.terminate]
        n_requests = torch.tensor(flags, dtype=torch.float32, device=self.root_device)
        sum_gradients(self._sharded(), beside=[n_requests])
        self.agreed_requests = StopRequests(*(number > 0 for number in n_requests.tolist()))

    def _sharded(self) -> ShardedModule:
        if self.sharded is None:
            raise AssertionError("the module is sharded when training is set up")
        return self.sharded


class _GlobalNormClipping(Precision):
    """Clips gradients by their norm over all ranks."""

    sharded: ShardedModule | None = None

    def clip_grad_by_norm(self, optimizer: torch.optim.Optimizer, clip_val: float) -> None:  # noqa: ARG002
        """Clip the gradients of the module; they are those of the optimiser."""
        if self.sharded is not None:
            clip_gradients(self.sharded, float(clip_val))


def sharded_of(trainer: pl.Trainer) -> ShardedModule | None:
    """Return the sharded module of a trainer; None on a single rank."""
    return trainer.strategy.sharded if isinstance(trainer.strategy, MeshStrategy) else None


def mesh_of(trainer: pl.Trainer) -> Mesh:
    """Return the mesh of ranks of a trainer."""
    sharded = sharded_of(trainer)
    return Mesh() if sharded is None else sharded.mesh


def gather_state(trainer: pl.Trainer, state: Any) -> Any:
    """Return the state of a training with all series, from which any number of ranks can resume.

    All ranks must call this function.
    """
    sharded = sharded_of(trainer)
    return state if sharded is None else sharded.whole_state(state)


def shard_state(trainer: pl.Trainer, state: Any) -> Any:
    """Return this rank's shard of a state from `gather_state`."""
    sharded = sharded_of(trainer)
    return state if sharded is None else sharded.own_state(state)
