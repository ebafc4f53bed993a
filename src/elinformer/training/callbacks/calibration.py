"""Choose the sharpness of attention on the validation windows; training alone makes it too sharp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch

from elinformer.training.ranks.strategy import mesh_of

if TYPE_CHECKING:
    from elinformer.training.callbacks.best_weights import BestWeights
    from elinformer.training.callbacks.signals import StopOnSignal
    from elinformer.training.module import ForecastModule

N_STEPS = 10
"""Steps from sharpness 1, as trained, to 0, the mean over all series."""
MIN_IMPROVEMENT = 1e-6
"""Smallest relative decrease of the loss that counts."""


@runtime_checkable
class CalibratedModel(Protocol):
    """Model whose attention may be flattened after training."""

    @property
    def calibrates(self) -> bool:
        """True if the attention should be flattened."""
        ...

    def set_sharpness(self, sharpness: float) -> None:
        """Set the share, 0 to 1, that is kept of the difference between attention and the mean."""
        ...


class Calibration(pl.Callback):
    """Flattens the attention of the best weights step by step, as long as the validation loss falls.

    The whole model has one sharpness, so that it can hardly overfit the validation windows. As in temperature scaling
    of a trained classifier (Guo et al. 2017, arXiv 1706.04599), the weights stay as they are.

    Ctrl-C ends the calibration. SIGTERM does not: the run is finished a few validations later.

    Args:
        best: Best weights and their validation loss.
        stopping: Callback that knows if Ctrl-C was pressed.

    Attributes:
        sharpness: Chosen sharpness.
        interrupted: True if Ctrl-C was pressed, on any rank.
    """

    def __init__(self, best: BestWeights, stopping: StopOnSignal) -> None:
        self._best, self._stopping = best, stopping
        self.sharpness, self.interrupted = 1.0, False

    def on_train_end(self, trainer: pl.Trainer, pl_module: ForecastModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Choose the sharpness on the device and the ranks of training; all ranks choose the same."""
        model, lowest_loss = _calibrated_model(pl_module), self._best.loss
        if model is None or not self._best.epoch:
            return
        self._best.restore(pl_module)
        pl_module.eval()
        for step in range(N_STEPS - 1, -1, -1):
            if self._is_interrupted(trainer):
                break
            model.set_sharpness(step / N_STEPS)
            loss = _validation_loss(trainer, pl_module)
            if not loss < (1 - MIN_IMPROVEMENT) * lowest_loss:
                break
            self.sharpness, lowest_loss = step / N_STEPS, loss

    def apply(self, module: ForecastModule) -> None:
        """Set the chosen sharpness."""
        if (model := _calibrated_model(module)) is not None:
            model.set_sharpness(self.sharpness)

    def _is_interrupted(self, trainer: pl.Trainer) -> bool:
        on_this_rank = torch.tensor([float(self._stopping.was_interrupted(trainer))])
        self.interrupted = bool(mesh_of(trainer).across_all.sum(on_this_rank) > 0)
        return self.interrupted


def _calibrated_model(module: ForecastModule) -> CalibratedModel | None:
    model = module.model
    return model if isinstance(model, CalibratedModel) and model.calibrates else None


def _validation_loss(trainer: pl.Trainer, module: ForecastModule) -> float:
    loaders: Any = trainer.val_dataloaders
    module.on_validation_epoch_start()
    with torch.inference_mode():
        for number, batch in enumerate(loaders):
            module.validation_step(trainer.strategy.batch_to_device(batch, dataloader_idx=0), number)
    return module.validation_errors().loss
