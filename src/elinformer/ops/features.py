"""The element-wise feature maps phi of EALA (theory, notation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch.nn.functional import relu, softplus

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

FeatureMap = Literal["relu", "softplus", "identity"]


def _identity(x: Tensor) -> Tensor:
    return x


FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "softplus": softplus, "identity": _identity}
