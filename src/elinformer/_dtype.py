"""PyTorch's default dtype, which forecasts must not depend on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def float32_default() -> Generator[None]:
    """Make float32 the default dtype within a context, or in a function that this decorates."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
