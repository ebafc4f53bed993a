"""Dropout that draws its mask fast on a processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BITS = 16
"""Random bits for a number: the share that is dropped is a multiple of 1 / 65,536."""


class Dropout(nn.Dropout):
    """Dropout as PyTorch has it. On a CPU its mask takes a quarter of the time: four numbers share a random word."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in PyTorch
        """Drop numbers in training, and scale the others so that the mean stays."""
        if not (self.training and 0 < self.p < 1) or input.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(input)
        levels = 1 << BITS
        dropped = min(levels - 1, max(1, round(self.p * levels)))
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
        kept = words.view(torch.int16)[: input.numel()].view(input.shape) >= dropped - levels // 2
        return input * kept.to(input.dtype).mul_(levels / (levels - dropped))
