"""A LightningModule around any forecasting module: scaling, masked loss, optimiser, validation."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import pytorch_lightning as pl
import torch

from elinformer.evaluation import MetricSums
from elinformer.evaluation.in_parts import InParts
from elinformer.training.parallel.gradients import mean_over_ranks
from elinformer.training.parallel.mesh import Mesh
from elinformer.training.parts import loss_in_parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import numpy as np
    from torch import Tensor, nn

    from elinformer.data.scaling import Scaler
    from elinformer.data.windows import Batch
    from elinformer.training.config import TrainingConfig

WARM_UP = 0.3
"""Share of the one-cycle schedule in which the learning rate rises (PyTorch's default)."""


class ValidationErrors(NamedTuple):
    """Mean absolute errors over observed targets: in the data's units, and in the scale of training."""

    mae: float
    loss: float


class ForecastModule(pl.LightningModule):
    """Trains `model(values, mask, calendar)`, which works on scaled numbers, on batches in the data's units.

    Args:
        model: (B, T, N, C), (B, T, N, C), (B, T, 2) or None -> (B, S, N, C).
        scaler: Mean and standard deviation (N, C) of the training steps.
        error_scale: (N, C); the loss is the mean over observed targets of |error| / error_scale.
        config: How to train.

    Attributes:
        mesh: The ranks that train it together; alone unless a strategy says otherwise.
    """

    mean: Tensor
    std: Tensor
    error_scale: Tensor

    def __init__(self, model: nn.Module, scaler: Scaler, error_scale: np.ndarray, config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        for name, array in (("mean", scaler.mean), ("std", scaler.std), ("error_scale", error_scale)):
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32), persistent=False)
        self.mesh = Mesh()
        self.validation_sums: MetricSums | None = None

    @property
    def per_series(self) -> tuple[str, ...] | None:
        """Names of what has one row a series, where the model says so; see `elinformer.nn.per_series`."""
        named = getattr(self.model, "per_series", None)
        return None if named is None else ("mean", "std", "error_scale", *(f"model.{name}" for name in named))

    def forward(self, batch: Batch) -> Tensor:
        """The forecast (B, S, N, C) of a batch of windows, both in the data's units."""
        scaled = (batch.values - self.mean) / self.std
        return self.model(scaled, batch.mask, batch.calendar) * self.std + self.mean

    def training_step(self, batch: Batch, _: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Masked mean absolute error in the scale of training."""
        with self.mixed_precision():
            if self._is_in_parts(batch):
                error = loss_in_parts(self, batch, self.config.series_at_once, self._summed_error)
            else:
                error = self._summed_error(self, batch)
        loss = mean_over_ranks(error, batch.target_mask.sum(), self.mesh)
        self.log("loss", loss, batch_size=len(batch.values))
        return loss

    def mixed_precision(self) -> AbstractContextManager[object]:
        """Where products are in bfloat16, if the configuration says so; else as a Trainer of one's own has it.

        Nothing cast is kept for later: where PyTorch keeps it, what was cast without a gradient has none then either
        (https://github.com/pytorch/pytorch/issues/112583).
        """
        if self.config.precision == "32-true":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    def _summed_error(self, forecast: Callable[[Batch], Tensor], batch: Batch, own: Tensor | None = None) -> Tensor:
        scale = self.error_scale if own is None else self.error_scale[own]
        return torch.where(batch.target_mask, (forecast(batch) - batch.target).abs() / scale, 0).sum()

    def _is_in_parts(self, batch: Batch) -> bool:
        return 0 < self.config.series_at_once < batch.values.shape[2]

    def on_validation_epoch_start(self) -> None:
        """Start from no sums."""
        self.validation_sums = None

    def validation_step(self, batch: Batch, _: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Add the errors of a batch to the sums of this validation."""
        if self.validation_sums is None:
            self.validation_sums = MetricSums(*batch.target.shape[1:])
        forecast = InParts(self, self.config.series_at_once) if self._is_in_parts(batch) else self
        self.validation_sums.update(forecast(batch), batch.target, batch.target_mask)

    def on_validation_epoch_end(self) -> None:
        """Log the validation error: in the data's units for people, in the scale of training for choosing."""
        if self.validation_sums is not None:
            errors = self.validation_errors()
            self.log("validation_mae", errors.mae)
            self.log("validation_loss", errors.loss)

    def validation_errors(self) -> ValidationErrors:
        """Those of the windows of this validation, on all ranks; NaN before any."""
        sums = self.validation_sums
        if sums is None:
            return ValidationErrors(math.nan, math.nan)
        absolute = sums.absolute.sum(0)  # (N, C)
        scaled = absolute / self.error_scale.cpu().double()
        totals = self.mesh.across_all.sum(torch.stack((absolute.sum(), scaled.sum(), sums.count.sum().double())))
        return ValidationErrors(float(totals[0] / totals[2]), float(totals[1] / totals[2]))

    def configure_optimizers(self) -> Any:
        """AdamW; one cycle over the planned steps, or a constant rate after a warm-up with `patience`."""
        config = self.config
        optimizer = torch.optim.AdamW(self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        if config.patience:
            warm_up = max(1, min(500, int(WARM_UP * steps)))
            schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 25, total_iters=warm_up)
        else:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, config.learning_rate, total_steps=steps, pct_start=WARM_UP
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
