"""The attentions an ELinFormer can have, by the names of its twins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elinformer.errors import InputError
from elinformer.nn import EalaOperator, LinformerOperator
from elinformer.ops.checks import check_feature_map
from elinformer.ops.others import mean_attention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.ops.features import FeatureMap

NO_ATTENTION = "none"
"""No attention sublayer at all: every token by itself."""


ATTENTIONS: dict[str, str | Callable[..., Tensor]] = {
    "eala": "eala",
    "softmax": "softmax",
    "linear": "elu",
    "efficient": "efficient",
    "performer": "performer",
    "linformer": "linformer",
    "cosformer": "cosformer",
    "nystrom": "nystromformer",
    "focused": "focused",
    "taylor": "taylor",
    "mean": mean_attention,
}
"""What stands for the name in `EntropyLinearAttention(operator=...)`."""


def check_attention(name: str, feature_map: FeatureMap) -> None:
    """Raise InputError for a name that no attention has, or no feature map."""
    check_feature_map(feature_map)
    if name not in {*ATTENTIONS, NO_ATTENTION}:
        raise InputError(f"expected attention out of {', '.join(ATTENTIONS)}, {NO_ATTENTION}, got {name!r}")


def attention_operator(name: str, length: int, feature_map: FeatureMap) -> str | Callable[..., Tensor]:
    """The operator of that name, for `length` tokens; `feature_map` is that of EALA."""
    if name == "eala":
        return EalaOperator(feature_map)
    return LinformerOperator(length) if name == "linformer" else ATTENTIONS[name]
