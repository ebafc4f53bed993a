"""Average the weights over the last steps, and let validation choose among the averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

if TYPE_CHECKING:
    from torch import Tensor

SHORTEST = 9
"""The average of the first k steps is over about k / 9 of them, so that it has forgotten where weights began."""


class AveragedWeights(pl.Callback):
    """An exponential average of the parameters, which validation sees in their place; buffers stay as they are.

    While the learning rate is high, weights wander around a better point than any they are at; where it anneals, the
    average follows them.

    Args:
        steps: How many steps the average is over, once there were enough.

    Source: Polyak and Juditsky 1992; torch.optim.swa_utils.
    """

    def __init__(self, steps: float) -> None:
        self._longest = 1 - 1 / max(steps, 1)
        self._step = 0
        self._averages: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring averages from a checkpoint to where the weights are."""
        parameters = dict(pl_module.named_parameters())
        self._averages = {name: average.to(parameters[name].device) for name, average in self._averages.items()}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take in the weights after a step of the optimiser."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        parameters = {name: parameter.detach() for name, parameter in pl_module.named_parameters()}
        if not self._averages:
            self._averages = {name: parameter.clone() for name, parameter in parameters.items()}
            return
        decay = min(self._longest, self._step / (SHORTEST + self._step))
        averages = [self._averages[name] for name in parameters]
        get_ema_multi_avg_fn(decay)(averages, list(parameters.values()), self._step)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the averages into the module."""
        self._swap(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the weights back that training goes on with; callbacks before this one have seen the averages."""
        self._swap(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"step": self._step, "averages": self._averages}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the averages so far."""
        self._step, self._averages = state_dict["step"], state_dict["averages"]

    def _swap(self, module: pl.LightningModule) -> None:
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            for name, average in self._averages.items():
                held = parameters[name].clone()
                parameters[name].copy_(average)
                average.copy_(held)
