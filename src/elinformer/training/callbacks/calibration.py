"""How sharp the attention of a trained model should be: training always wants it sharper than validation does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch

from elinformer.training.ranks.strategy import mesh_of

if TYPE_CHECKING:
    from elinformer.training.callbacks.best_weights import BestWeights
    from elinformer.training.callbacks.stopping import Stopping
    from elinformer.training.module import ForecastModule

STEPS = 10
"""In how many steps sharpness goes from 1, what was trained, to 0, the mean over all series."""
ROUNDING = 1e-6
"""A loss that is lower by a smaller share than this is not lower."""


@runtime_checkable
class Calibrated(Protocol):
    """A model whose attention may be flattened once it is trained."""

    @property
    def calibrates(self) -> bool:
        """Whether it should be."""
        ...

    def set_sharpness(self, sharpness: float) -> None:
        """Keep so much, 0 to 1, of what attention tells more than the mean does."""
        ...


class Calibration(pl.Callback):
    """Flattens the attention of the best weights, a step at a time, as long as the validation loss falls.

    One number for the whole model, so that there is little to fit to the validation part. As with the temperature of a
    trained classifier (Guo et al. 2017, arXiv 1706.04599), weights stay as they are.

    SIGTERM does not end it: a few validations later the run is finished.

    Args:
        best: The best weights and their validation loss.
        stopping: Says whether Ctrl-C came, in training or since: then whoever sent it does not wait for this.

    Attributes:
        sharpness: What was chosen.
        interrupted: Whether Ctrl-C came, on any rank.
    """

    def __init__(self, best: BestWeights, stopping: Stopping) -> None:
        self._best, self._stopping = best, stopping
        self.sharpness, self.interrupted = 1.0, False

    def on_train_end(self, trainer: pl.Trainer, pl_module: ForecastModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Choose, on the device and the ranks of training; all of these come to the same."""
        model, lowest = _calibrated(pl_module), self._best.loss
        if model is None or not self._best.epoch:
            return
        self._best.restore(pl_module)
        pl_module.eval()
        for step in range(STEPS - 1, -1, -1):
            if self._is_interrupted(trainer):
                break
            model.set_sharpness(step / STEPS)
            loss = _validation_loss(trainer, pl_module)
            if not loss < (1 - ROUNDING) * lowest:
                break
            self.sharpness, lowest = step / STEPS, loss

    def apply(self, module: ForecastModule) -> None:
        """Set what was chosen."""
        if (model := _calibrated(module)) is not None:
            model.set_sharpness(self.sharpness)

    def _is_interrupted(self, trainer: pl.Trainer) -> bool:
        here = torch.tensor([float(self._stopping.was_interrupted(trainer))])
        self.interrupted = bool(mesh_of(trainer).across_all.sum(here) > 0)
        return self.interrupted


def _calibrated(module: ForecastModule) -> Calibrated | None:
    model = module.model
    return model if isinstance(model, Calibrated) and model.calibrates else None


def _validation_loss(trainer: pl.Trainer, module: ForecastModule) -> float:
    loaders: Any = trainer.val_dataloaders
    module.on_validation_epoch_start()
    with torch.inference_mode():
        for number, batch in enumerate(loaders):
            module.validation_step(trainer.strategy.batch_to_device(batch, dataloader_idx=0), number)
    return module.validation_errors().loss
