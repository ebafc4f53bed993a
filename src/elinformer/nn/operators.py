"""Operators by name, and those that hold tensors of their own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from elinformer.errors import InputError
from elinformer.ops.baselines import (
    focused_attention,
    linformer_attention,
    orthogonal_projection,
    performer_attention,
)
from elinformer.ops.eala import eala_attention
from elinformer.ops.eala.features import check_feature_map
from elinformer.ops.eala.partitioned import partitioned_attention
from elinformer.ops.registry import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.ops.eala.features import FeatureMap
    from elinformer.ops.eala.partitioned import Exchange


@dataclass(frozen=True)
class EalaOperator:
    """`eala_attention` under a feature map.

    What computes the same otherwise, in parts or on several ranks, reads the map here.

    Raises:
        InputError: No feature map of that name.
    """

    feature_map: FeatureMap = "relu"

    def __post_init__(self) -> None:
        check_feature_map(self.feature_map)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """As `elinformer.ops.eala_attention`."""
        return eala_attention(query, key, value, feature_map=self.feature_map, **options)


class EalaAmongOthers(ABC):
    """EALA to the keys at hand and to those that others hold."""

    def __init__(self, alone: EalaOperator) -> None:
        self.alone = alone

    @abstractmethod
    def exchange(self) -> Exchange:
        """Access to the other keys."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, is_causal: bool = False, **options: Any) -> Tensor:
        """As `elinformer.ops.eala_attention`, which keys in several places have no causal form of."""
        if is_causal:
            raise InputError("expected is_causal=False for keys in several places, got True: they have no order")
        exchange, phi = self.exchange(), self.alone.feature_map
        return partitioned_attention(query, key, value, exchange=exchange, feature_map=phi, **options)

    def mean_of_values(self, query: Tensor, key: Tensor, value: Tensor, **masks: Any) -> Tensor:
        """As `elinformer.ops.baselines.mean_attention`."""
        return self(query, key, value, sharpness=0.0, **masks)


class PerformerOperator(nn.Module):
    """`performer_attention` with directions drawn once, E log E of them unless told, as its authors take."""

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
        drawn = orthogonal_projection(features or max(1, int(head_dim * math.log(head_dim))), head_dim)
        self.register_buffer("projection", drawn.to(device=device, dtype=dtype))

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Shapes as `elinformer.ops.eala_attention`."""
        return performer_attention(
            query, key, value, projection=self.projection, key_mask=key_mask, is_causal=is_causal
        )


class LinformerOperator(nn.Module):
    """`linformer_attention` with learned mixtures of exactly `length` keys, the same for all heads."""

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
        """Shapes as `elinformer.ops.eala_attention`, with Lk = length."""
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
    """`focused_attention` with a learned convolution over `width` neighbours, the same for all heads."""

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
        """Shapes as `elinformer.ops.eala_attention`, with Lq = Lk."""
        return focused_attention(query, key, value, kernel=self.kernel, key_mask=key_mask, is_causal=is_causal)


def operator_for(
    operator: str | Callable[..., Tensor],
    head_dim: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Callable[..., Tensor]:
    """The operator of that name, with tensors of its own where it needs some, or the one that was given.

    Raises:
        InputError: A name that no operator has, or "linformer", which has to know the length.
    """
    if operator == "eala" or operator is eala_attention:
        return EalaOperator()
    if not isinstance(operator, str):
        return operator
    if operator not in OPERATORS:
        raise InputError(f"expected operator to be callable or one of {', '.join(OPERATORS)}, got {operator!r}")
    if operator == "linformer":
        raise InputError("expected LinformerOperator(length), got 'linformer', whose projections need the length")
    holders = {"performer": PerformerOperator, "focused": FocusedOperator}
    if operator in holders:
        return holders[operator](head_dim, device=device, dtype=dtype)
    return OPERATORS[operator].call


def is_of_ours(operator: Callable[..., Tensor]) -> bool:
    """Whether it is one of the library's, which decide by themselves what of them may be in half precision."""
    holders = (EalaOperator, PerformerOperator, LinformerOperator, FocusedOperator)
    return isinstance(operator, holders) or any(operator is known.call for known in OPERATORS.values())
