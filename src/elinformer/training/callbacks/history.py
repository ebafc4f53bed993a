"""Course of a training, epoch by epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.training.callbacks.progress import Clock

Epoch = dict[str, float | int | None]


class History(pl.Callback):
    """Records losses and time of every epoch.

    Args:
        clock: Clock of the training.

    Attributes:
        epochs: For every epoch its number `epoch`, the mean training loss `loss`, `validation_loss`, `validation_mae`
            and the `seconds` since the start. A value that is not finite is None.
    """

    def __init__(self, clock: Clock) -> None:
        self.epochs: list[Epoch] = []
        self._clock = clock
        self._total: Tensor | float = 0.0
        self._n_batches = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the loss of a batch; it stays on its device."""
        self._total = self._total + outputs["loss"].detach() * trainer.accumulate_grad_batches
        self._n_batches += 1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch."""
        metrics = trainer.callback_metrics
        if "validation_loss" not in metrics:
            return
        mean = float(self._total) / self._n_batches if self._n_batches else math.nan
        losses = {"loss": mean, **{name: float(metrics[name]) for name in ("validation_loss", "validation_mae")}}
        finite = {name: value if math.isfinite(value) else None for name, value in losses.items()}
        self.epochs.append({"epoch": trainer.current_epoch + 1, **finite, "seconds": round(self._clock.seconds, 2)})
        self._total, self._n_batches = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"epochs": list(self.epochs), "total": torch.as_tensor(self._total).cpu(), "n_batches": self._n_batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.epochs, self._n_batches = list(state_dict["epochs"]), state_dict["n_batches"]
        self._total = float(state_dict["total"])
