"""LightningModule of a forecasting model: masked loss, optimiser, validation."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import pytorch_lightning as pl
import torch

from elinformer.evaluation import AbsoluteError, MetricSums, targets_of
from elinformer.models.scaled import ScaledModel
from elinformer.ops.inputs import own_precision
from elinformer.partition import PartitionedForecast, loss_in_partitions, run_chain
from elinformer.partition.ranks import Mesh
from elinformer.training.precision import is_mixed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from torch import Tensor, nn

    from elinformer.batch import Batch
    from elinformer.data.scaling import Scaler
    from elinformer.evaluation import Loss
    from elinformer.ops.eala.partitioned import Exchange
    from elinformer.training.config import TrainingConfig

WARM_UP = 0.3
"""Share of the steps in which the learning rate rises (PyTorch's default of the one-cycle schedule)."""


class ValidationErrors(NamedTuple):
    """Mean absolute error over observed targets in the units of the data, and the mean loss."""

    mae: float
    loss: float


class ForecastModule(pl.LightningModule):
    """Training of a model of scaled values on batches in the units of the data.

    Args:
        model: Model that maps a scaled batch to scaled outputs (B, S, N, C, K).
        scaler: Mean and standard deviation (N, C) of the training steps.
        error_scale: Units (N, C) of the loss.
        config: Options of training.
        loss: Meaning of the K outputs.
        covariates: Mean and standard deviation of the covariates, as in `ScaledModel`.

    Attributes:
        scaled: The model in the units of the data.
        mesh: Ranks that train the model together; a strategy sets it, one rank by default.
        exchanges: Access to the keys of other ranks, one a block; empty where this rank holds all series.
    """

    error_scale: Tensor

    def __init__(
        self,
        model: nn.Module,
        scaler: Scaler,
        error_scale: np.ndarray,
        config: TrainingConfig,
        loss: Loss | None = None,
        *,
        covariates: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.loss = AbsoluteError() if loss is None else loss
        self.scaled = ScaledModel(model, scaler.mean, scaler.std, self.loss.arrange, covariates=covariates)
        self.config = config
        self.register_buffer("error_scale", torch.tensor(error_scale, dtype=torch.float32), persistent=False)
        self.mesh = Mesh()
        self.exchanges: Sequence[Exchange | None] = ()
        self._validation: _ValidationSums | None = None

    @property
    def model(self) -> nn.Module:
        """Model of scaled values."""
        return self.scaled.model

    @property
    def per_series(self) -> tuple[str, ...] | None:
        """Names of parameters and buffers with one row a series; None if the model does not list its own."""
        names = self.scaled.per_series
        return None if names is None else ("error_scale", *(f"scaled.{name}" for name in names))

    @property
    def blocks(self) -> Any:
        """Blocks of the model."""
        return self.scaled.blocks

    def forward(self, batch: Batch) -> Tensor:
        """Return the outputs (B, S, N, C, K) for a batch of windows, both in the units of the data."""
        return run_chain(self.scaled, batch, self.exchanges) if self.exchanges else self.scaled(batch)

    def training_step(self, batch: Batch, _: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the mean loss over the observed targets of all ranks."""
        with self.mixed_precision():
            if self._is_partitioned(batch):
                total = loss_in_partitions(self.scaled, batch, self.config.series_at_once, self._total)
            else:
                total = self._total(self(batch), batch)
        loss = self.mesh.mean(total, targets_of(batch)[1].sum())
        self.log("loss", loss, batch_size=len(batch.values))
        return loss

    def mixed_precision(self) -> AbstractContextManager[object]:
        """Return a context that computes products in bfloat16 if `config` asks for it; otherwise change nothing.

        The cache of cast tensors is off: a tensor cast without a gradient would stay in it and never get a gradient
        (https://github.com/pytorch/pytorch/issues/112583).
        """
        if not is_mixed(self.config.precision, self.device.type):
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    def on_validation_epoch_start(self) -> None:
        """Reset the sums of the validation."""
        self._validation = None

    def validation_step(self, batch: Batch, _: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Add the errors of a batch to the sums of this validation."""
        forecast = PartitionedForecast(self.scaled, self.config.series_at_once) if self._is_partitioned(batch) else self
        if self._validation is None:
            self._validation = _ValidationSums(self.loss, *targets_of(batch)[0].shape[1:])
        self._validation.update(forecast(batch), batch)

    def on_validation_epoch_end(self) -> None:
        """Log the error in the units of the data, which users read, and the loss, which selects the weights."""
        if self._validation is not None:
            errors = self.validation_errors()
            self.log("validation_mae", errors.mae)
            self.log("validation_loss", errors.loss)

    def validation_errors(self) -> ValidationErrors:
        """Return the errors over the validation windows of all ranks; NaN before the first batch."""
        sums = self._validation
        if sums is None:
            return ValidationErrors(math.nan, math.nan)
        scaled = (sums.loss / self.error_scale.cpu().double()).sum()
        count = sums.errors.count.sum().double()
        totals = self.mesh.across_all.sum(torch.stack((sums.errors.absolute.sum(), scaled, count)))
        return ValidationErrors(float(totals[0] / totals[2]), float(totals[1] / totals[2]))

    def configure_optimizers(self) -> Any:
        """Create AdamW with a one-cycle schedule."""
        config = self.config
        rate, decay = config.learning_rate, config.weight_decay
        optimizer = torch.optim.AdamW(self.parameters(), rate, weight_decay=decay, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=WARM_UP)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _total(self, outputs: Tensor, batch: Batch) -> Tensor:
        scale = self.error_scale if batch.series is None else self.error_scale[batch.series]
        target, mask = targets_of(batch)
        with own_precision(self.device):
            return self.loss.total(outputs.to(target.dtype), target, mask, scale)

    def _is_partitioned(self, batch: Batch) -> bool:
        return 0 < self.config.series_at_once < batch.values.shape[2]


class _ValidationSums:
    """Sums over a validation: errors of the point forecast, and the loss of each series and channel."""

    def __init__(self, loss: Loss, horizon: int, n_series: int, n_channels: int) -> None:
        self._loss = loss
        self.errors = MetricSums(horizon, n_series, n_channels)
        self.loss = torch.zeros(n_series, n_channels, dtype=torch.float64)

    def update(self, outputs: Tensor, batch: Batch) -> None:
        """Add the outputs (B, S, N, C, K) of a batch."""
        target, mask = targets_of(batch)
        self.errors.update(self._loss.point(outputs), target, mask)
        self.loss += self._loss.by_series(outputs, target, mask)
