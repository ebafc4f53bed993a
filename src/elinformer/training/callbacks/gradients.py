"""Correct the gradients before a step: skip steps that are not finite, and rescale the last step of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch.nn.utils import get_total_norm

if TYPE_CHECKING:
    from torch import Tensor

MAX_SKIPPED_IN_A_ROW = 20
"""Training has diverged after so many steps in a row without a finite loss and gradient."""


class SkipNonFiniteSteps(pl.Callback):
    """Skips steps whose loss or gradient is not finite, and ends training after too many of them in a row.

    The schedule of the learning rate continues as planned.

    Attributes:
        n_skipped: Number of skipped steps.
        n_in_a_row: Number of steps skipped since the last finite one.
    """

    def __init__(self) -> None:
        self.n_skipped, self.n_in_a_row = 0, 0
        self._losses_are_finite: Tensor | None = None

    @property
    def has_diverged(self) -> bool:
        """True if this callback ended training."""
        return self.n_in_a_row >= MAX_SKIPPED_IN_A_ROW

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Check the loss of a micro-batch and keep the answer on its device: reading it would make a GPU wait."""
        is_finite = loss.detach().isfinite().all()
        self._losses_are_finite = is_finite if self._losses_are_finite is None else self._losses_are_finite & is_finite

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Remove all gradients if one is not finite: an optimiser does not change parameters without a gradient."""
        is_finite = self._losses_are_finite is None or bool(self._losses_are_finite)
        self._losses_are_finite = None
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        is_finite = is_finite and bool(get_total_norm(gradients).isfinite())  # clipping divides by the same norm
        if trainer.strategy.reduce_boolean_decision(is_finite):
            self.n_in_a_row = 0
            return
        optimizer.zero_grad(set_to_none=True)
        self.n_skipped, self.n_in_a_row = self.n_skipped + 1, self.n_in_a_row + 1
        trainer.should_stop = trainer.should_stop or self.has_diverged

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"n_skipped": self.n_skipped, "n_in_a_row": self.n_in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.n_skipped, self.n_in_a_row = state_dict["n_skipped"], state_dict["n_in_a_row"]


class RescaleLastStep(pl.Callback):
    """Rescales the gradient of the last step of an epoch if it has fewer micro-batches than other steps.

    Lightning divides the loss of every micro-batch by the usual number of micro-batches.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Make the gradient that of the mean over the micro-batches of this step."""
        usual_number = trainer.accumulate_grad_batches
        number = trainer.fit_loop.batch_idx % usual_number + 1
        if number < usual_number:
            for parameter in pl_module.parameters():
                if parameter.grad is not None:
                    parameter.grad *= usual_number / number
