"""Operators know by themselves which of their products may be in half precision."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def own_precision(device: torch.device) -> AbstractContextManager[object]:
    """Keep autocast, where it is at work, out of what an operator does; inputs come in half precision as they are."""
    if not torch.amp.is_autocast_available(device.type) or not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
