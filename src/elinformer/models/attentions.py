"""The attentions an ELinFormer can have, by the names of its twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from elinformer.errors import InputError
from elinformer.nn import EalaOperator, EntropyLinearAttention, LinformerOperator
from elinformer.ops.baselines import mean_attention
from elinformer.ops.eala.features import FeatureMap, check_feature_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.models.elinformer_config import ELinFormerConfig

HeadFeatures = FeatureMap | Literal["mixed"]

MIXED: Final = "mixed"
"""The features of EALA where half of the heads have softplus's, and the others read queries and keys as they are."""

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


def check_attention(name: str, feature_map: HeadFeatures) -> None:
    """Raise InputError for a name that no attention has, or no feature map."""
    check_feature_map(feature_map, MIXED)
    if name not in {*ATTENTIONS, NO_ATTENTION}:
        raise InputError(f"expected attention out of {', '.join(ATTENTIONS)}, {NO_ATTENTION}, got {name!r}")


def attention_layer(config: ELinFormerConfig) -> EntropyLinearAttention:
    """The layer of the attention that an ELinFormer of that shape has."""
    operator, positive_heads = ATTENTIONS[config.attention], 0
    if config.attention == "eala":
        operator = EalaOperator(operator_features(config.feature_map))
        positive_heads = config.n_heads // 2 if config.feature_map == MIXED else 0
    elif config.attention == "linformer":
        operator = LinformerOperator(config.n_tokens)
    return EntropyLinearAttention(
        config.width,
        config.n_heads,
        batch_first=True,
        operator=operator,
        positive_heads=positive_heads,
        own_value=config.own_value,
    )


def operator_features(feature_map: HeadFeatures) -> FeatureMap:
    """What the operator itself does to queries and keys: to those of `MIXED` the layer has done it already."""
    return "identity" if feature_map == MIXED else feature_map
