"""Mixed precision: whether the products of training steps are computed in bfloat16."""

from __future__ import annotations

from typing import Literal

import torch

from elinformer.errors import InputError

Precision = Literal["auto", "32-true", "bf16-mixed"]


def is_mixed(precision: Precision, device: str) -> bool:
    """Return True if products are computed in bfloat16 on this type of device.

    Raises:
        InputError: bf16-mixed on a processor that would emulate bfloat16, several times slower than float32.
    """
    if precision == "bf16-mixed" and not has_bfloat16(device):
        raise InputError(
            f"expected a precision that this {device} has, got bf16-mixed, which would be emulated several times "
            "slower: use precision 32-true, or auto"
        )
    return precision != "32-true" and has_bfloat16(device)


def has_bfloat16(device: str) -> bool:
    """Return True if this type of device multiplies numbers in bfloat16 at full speed."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check is not None and check() for check in checks)
