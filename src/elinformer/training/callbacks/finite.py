"""Steps that would spoil the weights are left out, and the last step of an epoch counts in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch.nn.utils import get_total_norm

if TYPE_CHECKING:
    from torch import Tensor

IN_A_ROW = 20
"""So many steps without a finite loss and gradient are no accident."""


class FiniteSteps(pl.Callback):
    """Leaves out steps whose loss or gradient is not finite, and ends training where they persist.

    The schedule of the learning rate goes on as planned.

    Attributes:
        skipped: Steps left out so far.
        in_a_row: How many of them were the last ones.
    """

    def __init__(self) -> None:
        self.skipped, self.in_a_row = 0, 0
        self._losses_are_finite: Tensor | None = None

    @property
    def persists(self) -> bool:
        """Whether training was ended."""
        return self.in_a_row >= IN_A_ROW

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Note the loss of a micro-batch, on its device: asking for the answer would make a GPU wait."""
        finite = loss.detach().isfinite().all()
        self._losses_are_finite = finite if self._losses_are_finite is None else self._losses_are_finite & finite

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Take the gradients away where one is not finite: an optimiser leaves parameters without one alone."""
        finite = self._losses_are_finite is None or bool(self._losses_are_finite)
        self._losses_are_finite = None
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        finite = finite and bool(get_total_norm(gradients).isfinite())  # the norm that clipping divides by
        if trainer.strategy.reduce_boolean_decision(finite):
            self.in_a_row = 0
            return
        optimizer.zero_grad(set_to_none=True)
        self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        trainer.should_stop = trainer.should_stop or self.persists

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]


class WholeLastStep(pl.Callback):
    """Scales the gradient of the last step of an epoch where it has fewer micro-batches than the others.

    Lightning divides the loss of every micro-batch by their usual number.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Make the gradient that of the mean over the micro-batches there are."""
        usual = trainer.accumulate_grad_batches
        present = trainer.fit_loop.batch_idx % usual + 1
        if present < usual:
            for parameter in pl_module.parameters():
                if parameter.grad is not None:
                    parameter.grad *= usual / present
