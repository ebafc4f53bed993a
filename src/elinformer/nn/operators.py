"""Operators by name, and modules for operators that have tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from elinformer.errors import InputError
from elinformer.ops.baselines.focused import focused_attention
from elinformer.ops.baselines.linformer import linformer_attention
from elinformer.ops.baselines.performer import orthogonal_projection, performer_attention
from elinformer.ops.eala import eala_attention
from elinformer.ops.eala.features import check_feature_map
from elinformer.ops.registry import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.ops.eala.features import FeatureMap


@dataclass(frozen=True)
class EalaOperator:
    """EALA with a fixed feature map.

    Attributes:
        feature_map: Name of the feature map. Code that computes EALA in partitions or on several ranks reads it.

    Raises:
        InputError: No feature map has this name.
    """

    feature_map: FeatureMap = "relu"

    def __post_init__(self) -> None:
        check_feature_map(self.feature_map)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """Attend; arguments as in `elinformer.ops.eala_attention`."""
        return eala_attention(query, key, value, feature_map=self.feature_map, **options)


class PerformerOperator(nn.Module):
    """Performer attention with random directions that are drawn once.

    Args:
        head_dim: E.
        features: Number of directions; by default E log E, as in the paper of its authors.
        device: Device of the directions.
        dtype: Data type of the directions.
    """

    projection: Tensor

    def __init__(
        self,
        head_dim: int,
        features: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        projection = orthogonal_projection(features or max(1, int(head_dim * math.log(head_dim))), head_dim)
        self.register_buffer("projection", projection.to(device=device, dtype=dtype))

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend; shapes as in `elinformer.ops.eala_attention`."""
        return performer_attention(
            query, key, value, projection=self.projection, key_mask=key_mask, is_causal=is_causal
        )


class LinformerOperator(nn.Module):
    """Linformer attention: every head attends to `rank` learned mixtures of the keys.

    Args:
        length: Lk, the number of keys. It is fixed.
        rank: Number of mixtures.
        device: Device of the parameters.
        dtype: Data type of the parameters.
    """

    def __init__(
        self,
        length: int,
        rank: int = 64,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.key_projection, self.value_projection = (
            nn.Parameter(torch.empty(rank, length, device=device, dtype=dtype)) for _ in range(2)
        )
        for projection in (self.key_projection, self.value_projection):
            nn.init.uniform_(projection, -(rank**-0.5), rank**-0.5)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend; shapes as in `elinformer.ops.eala_attention`, with Lk = length."""
        return linformer_attention(
            query,
            key,
            value,
            key_projection=self.key_projection,
            value_projection=self.value_projection,
            key_mask=key_mask,
            is_causal=is_causal,
        )


class FocusedOperator(nn.Module):
    """Focused linear attention with a learned convolution that all heads share.

    Args:
        head_dim: E.
        width: Number of neighbours in the convolution.
        device: Device of the parameters.
        dtype: Data type of the parameters.
    """

    def __init__(
        self,
        head_dim: int,
        width: int = 5,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(head_dim, width, device=device, dtype=dtype))
        nn.init.uniform_(self.kernel, -(width**-0.5), width**-0.5)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend; shapes as in `elinformer.ops.eala_attention`, with Lq = Lk."""
        return focused_attention(query, key, value, kernel=self.kernel, key_mask=key_mask, is_causal=is_causal)


def make_operator(
    operator: str | Callable[..., Tensor],
    head_dim: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Callable[..., Tensor]:
    """Return the operator with a name, or `operator` itself where it is callable.

    Args:
        operator: A name of `elinformer.ops.registry.OPERATORS`, or a callable.
        head_dim: E.
        device: Device of the tensors of the operator.
        dtype: Data type of the tensors of the operator.

    Raises:
        InputError: No operator has this name, or the name is "linformer", which needs the number of keys.
    """
    if operator == "eala" or operator is eala_attention:
        return EalaOperator()
    if not isinstance(operator, str):
        return operator
    if operator not in OPERATORS:
        raise InputError(f"expected operator to be callable or one of {', '.join(OPERATORS)}, got {operator!r}")
    if operator == "linformer":
        raise InputError("expected LinformerOperator(length), got 'linformer': its projections need the length")
    modules = {"performer": PerformerOperator, "focused": FocusedOperator}
    if operator in modules:
        return modules[operator](head_dim, device=device, dtype=dtype)
    return OPERATORS[operator].call


def is_library_operator(operator: Callable[..., Tensor]) -> bool:
    """Return True for operators of this library: they choose by themselves which steps run in half precision."""
    classes = (EalaOperator, PerformerOperator, LinformerOperator, FocusedOperator)
    return isinstance(operator, classes) or any(operator is entry.call for entry in OPERATORS.values())


def operator_name(operator: Callable[..., Tensor]) -> str:
    """Return the name of an operator for messages."""
    if isinstance(operator, EalaOperator):
        return str(operator)
    return getattr(operator, "__name__", type(operator).__name__)
