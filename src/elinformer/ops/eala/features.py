"""Element-wise feature maps phi of EALA (theory, notation), and the scale of the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch.nn.functional import relu, softplus

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

FeatureMap = Literal["relu", "softplus", "identity"]


def _identity(x: Tensor) -> Tensor:
    return x


FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "softplus": softplus, "identity": _identity}


def check_feature_map(name: str, *more: str) -> None:
    """Refuse a name that is neither a feature map nor one of `more`."""
    known = (*FEATURE_MAPS, *more)
    if name not in known:
        raise InputError(f"expected feature_map to be one of {', '.join(known)}, got {name!r}")
