"""Lightning's strategy for a mesh of ranks, and what the rest of training asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import DDPStrategy

from elinformer.training.parallel.gradients import clip_gradients, sum_gradients
from elinformer.training.parallel.loaders import own_loader
from elinformer.training.parallel.mesh import Mesh
from elinformer.training.parallel.shard import Spread, parallelize

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytorch_lightning as pl


class MeshStrategy(DDPStrategy):
    """Trains a `ForecastModule` on ranks that share windows, series or both, to the weights of a single process.

    As Lightning's own for data-parallel training it starts the other ranks itself, or is started by torchrun. What
    differs: the loss is the mean over the targets of all ranks, `series_parallel` ranks at a time hold the series of
    a window, and the norm that gradients are clipped to is that of the whole gradient.

    Args:
        series_parallel: Ranks that share the series of a window; it divides their number.
        options: Of `DDPStrategy`.
    """

    def __init__(self, series_parallel: int = 1, **options: Any) -> None:
        self._precision = _WholeNorm()
        super().__init__(precision_plugin=self._precision, **options)
        self.series_parallel = series_parallel
        self.spread: Spread | None = None
        self.stop_is_wanted = self.was_stopped = False

    def setup(self, trainer: pl.Trainer) -> None:
        """Spread the module, before its optimiser is made; every rank draws its own random numbers from here on."""
        module: Any = self.lightning_module
        module.mesh = Mesh.of_world(self.series_parallel, device=self.root_device)
        self.spread = self._precision.spread = parallelize(module, module.mesh, len(module.mean))
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
        spread = self._spread()
        return own_loader(dataloader, spread.mesh, spread.n_series)

    def _sum_gradients(self) -> None:
        """Beside them goes whether a rank was asked to stop, so that all do so after the same step."""
        stop = torch.full((1,), float(self.stop_is_wanted), device=self.root_device)
        sum_gradients(self._spread(), beside=[stop])
        if stop.item():
            self.was_stopped = True
            trainer: Any = self._spread().module.trainer
            trainer.should_stop = True

    def _spread(self) -> Spread:
        if self.spread is None:
            raise AssertionError("the module is spread when training is set up")
        return self.spread


class _WholeNorm(Precision):
    """Clips by the norm of the gradient of all ranks."""

    spread: Spread | None = None

    def clip_grad_by_norm(self, optimizer: torch.optim.Optimizer, clip_val: float) -> None:  # noqa: ARG002
        """Clip all gradients of the module, which are those of the optimiser."""
        if self.spread is not None:
            clip_gradients(self.spread, float(clip_val))


def draw_apart(rank: int) -> None:
    """Give a rank random numbers of its own, which follow from those of the first; the first goes on with its own."""
    following = int(torch.randint(1 << 62, (1,), generator=torch.Generator().set_state(torch.get_rng_state())))
    if rank:
        torch.manual_seed(following + rank)


def spread_of(trainer: pl.Trainer) -> Spread | None:
    """How the module of a trainer is spread; None on a single rank."""
    return trainer.strategy.spread if isinstance(trainer.strategy, MeshStrategy) else None


def whole_state(trainer: pl.Trainer, state: Any) -> Any:
    """The state of a training with all series, which any number of ranks can go on from; all ranks must call it."""
    spread = spread_of(trainer)
    return state if spread is None else spread.whole_state(state)


def own_state(trainer: pl.Trainer, state: Any) -> Any:
    """This rank's part of what `whole_state` gives."""
    spread = spread_of(trainer)
    return state if spread is None else spread.own_state(state)


def ask_to_stop(trainer: pl.Trainer) -> None:
    """End training after the step in progress, on all ranks after the same one."""
    if isinstance(trainer.strategy, MeshStrategy):
        trainer.strategy.stop_is_wanted = True
    else:
        trainer.should_stop = True


def was_stopped(trainer: pl.Trainer) -> bool:
    """Whether any rank was asked to stop."""
    return isinstance(trainer.strategy, MeshStrategy) and trainer.strategy.was_stopped
