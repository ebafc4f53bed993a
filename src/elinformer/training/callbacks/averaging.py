"""Average the weights over the last steps; validation measures and chooses among the averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

if TYPE_CHECKING:
    from torch import Tensor

RAMP = 9
"""After k steps the average covers at most about k / 9 steps, so that the initial weights are forgotten."""


class AveragedWeights(pl.Callback):
    """Exponential average of the parameters, which replaces them during validation; buffers are not averaged.

    At a high learning rate, weights move around a point that is better than any of them. When the learning rate
    anneals, the average follows the weights.

    Args:
        steps: Number of steps that the average covers, once there were enough.

    Source: Polyak and Juditsky 1992; torch.optim.swa_utils.
    """

    def __init__(self, steps: float) -> None:
        self._max_decay = 1 - 1 / max(steps, 1)
        self._step = 0
        self._averages: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move averages of a checkpoint to the device of the weights."""
        parameters = dict(pl_module.named_parameters())
        self._averages = {name: average.to(parameters[name].device) for name, average in self._averages.items()}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the averages after each step of the optimiser."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        parameters = {name: parameter.detach() for name, parameter in pl_module.named_parameters()}
        if not self._averages:
            self._averages = {name: parameter.clone() for name, parameter in parameters.items()}
            return
        decay = min(self._max_decay, self._step / (RAMP + self._step))
        averages = [self._averages[name] for name in parameters]
        get_ema_multi_avg_fn(decay)(averages, list(parameters.values()), self._step)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the averages into the module."""
        self._swap(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the trained weights back; callbacks before this one have seen the averages."""
        self._swap(pl_module)

    def apply(self, module: pl.LightningModule) -> None:
        """Put the averages into the module for good."""
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            for name, average in self._averages.items():
                parameters[name].copy_(average)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"step": self._step, "averages": self._averages}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self._step, self._averages = state_dict["step"], state_dict["averages"]

    def _swap(self, module: pl.LightningModule) -> None:
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            for name, average in self._averages.items():
                trained = parameters[name].clone()
                parameters[name].copy_(average)
                average.copy_(trained)
