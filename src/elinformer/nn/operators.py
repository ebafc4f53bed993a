"""Operators by name, with the tensors that some of them hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elinformer.errors import InputError
from elinformer.ops import eala_attention

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

OPERATORS: dict[str, Callable[..., Tensor]] = {"eala": eala_attention}


def operator_for(
    operator: str | Callable[..., Tensor],
    head_dim: int,  # noqa: ARG001
    *,
    device: torch.device | str | None,  # noqa: ARG001
    dtype: torch.dtype | None,  # noqa: ARG001
) -> Callable[..., Tensor]:
    """The operator of that name, or the one that was given.

    Raises:
        InputError: A name that no operator has.
    """
    if not isinstance(operator, str):
        return operator
    if operator not in OPERATORS:
        raise InputError(f"expected operator to be callable or one of {', '.join(OPERATORS)}, got {operator!r}")
    return OPERATORS[operator]
