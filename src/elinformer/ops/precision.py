"""Autocast of operators: inputs are cast to its dtype, and the operator then chooses its own precision."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in autocast's dtype where it is on; float64 stays, as everywhere in PyTorch."""
    device = tensors[0].device
    if not _is_on(device) or torch.float64 in {x.dtype for x in tensors}:
        return tensors
    return tuple(x.to(torch.get_autocast_dtype(device.type)) if x.is_floating_point() else x for x in tensors)


def own_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off within an operator, which chooses itself the products in half precision."""
    return torch.autocast(device.type, enabled=False) if _is_on(device) else nullcontext()


def _is_on(device: torch.device) -> bool:
    """Say if autocast is on; PyTorch refuses to answer for devices without autocast, such as "meta"."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
