"""Lightning's strategy for a mesh of ranks, and what the rest of training asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import DDPStrategy

from elinformer.training.parallel.gradients import clip_gradients, sum_gradients
from elinformer.training.parallel.loaders import own_loader
from elinformer.training.parallel.mesh import Mesh
from elinformer.training.parallel.random_numbers import draw_apart
from elinformer.training.parallel.shard import Spread, parallelize

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytorch_lightning as pl


@dataclass
class Wishes:
    """What signals ask of a training, of one rank or of all.

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
        spread: How the module is spread.
        wishes: What is asked of this rank.
        agreed: What was asked of any rank before its last step; the same on all.
    """

    def __init__(self, series_parallel: int = 1, **options: Any) -> None:
        self._precision = _WholeNorm()
        super().__init__(precision_plugin=self._precision, **options)
        self.series_parallel = series_parallel
        self.spread: Spread | None = None
        self.wishes, self.agreed = Wishes(), Wishes()

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
        """Beside them goes what is asked of a rank, so that all heed it after the same step."""
        asked = torch.tensor([self.wishes.stop, self.wishes.leave], dtype=torch.float32, device=self.root_device)
        sum_gradients(self._spread(), beside=[asked])
        self.agreed = Wishes(*(ranks > 0 for ranks in asked.tolist()))

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


def spread_of(trainer: pl.Trainer) -> Spread | None:
    """How the module of a trainer is spread; None on a single rank."""
    return trainer.strategy.spread if isinstance(trainer.strategy, MeshStrategy) else None


def mesh_of(trainer: pl.Trainer) -> Mesh:
    """The ranks of a trainer."""
    spread = spread_of(trainer)
    return Mesh() if spread is None else spread.mesh


def whole_state(trainer: pl.Trainer, state: Any) -> Any:
    """The state of a training with all series, which any number of ranks can go on from; all ranks must call it."""
    spread = spread_of(trainer)
    return state if spread is None else spread.whole_state(state)


def own_state(trainer: pl.Trainer, state: Any) -> Any:
    """This rank's part of what `whole_state` gives."""
    spread = spread_of(trainer)
    return state if spread is None else spread.own_state(state)
